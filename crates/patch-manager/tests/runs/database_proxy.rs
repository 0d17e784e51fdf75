//! A proxy in front of PostgreSQL, as in a cluster with automatic failover, which a test takes its primary away from.

use std::path::PathBuf;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
};

/// What the proxy does with a connection. A change ends all open connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leads {
    ToServer,
    /// It accepts and closes: it has no server.
    Nowhere,
    /// It answers in a protocol of its own.
    ToErrorPage,
}

pub struct DatabaseProxy {
    port: u16,
    leads: watch::Sender<Leads>,
}

impl DatabaseProxy {
    /// Leads to the server with this socket.
    pub async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (leads, watched) = watch::channel(Leads::ToServer);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (socket, mut watched) = (socket.clone(), watched.clone());
                let leads = *watched.borrow_and_update();
                tokio::spawn(async move {
                    tokio::select! {
                        () = handle(client, leads, socket) => {}
                        _ = watched.changed() => {}
                    }
                });
            }
        });
        Self { port, leads }
    }

    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    pub fn lead(&self, leads: Leads) {
        self.leads.send_replace(leads);
    }
}

async fn handle(mut client: TcpStream, leads: Leads, socket: PathBuf) {
    match leads {
        Leads::ToServer => {
            if let Ok(mut server) = UnixStream::connect(socket).await {
                copy_bidirectional(&mut client, &mut server).await.ok();
            }
        }
        Leads::Nowhere => {}
        Leads::ToErrorPage => {
            // What the client says does not matter; that it has said something does.
            let _read = client.read(&mut [0; 64]).await;
            client.write_all(b"HTTP/1.0 503 Service Unavailable\r\n\r\n").await.ok();
        }
    }
}
