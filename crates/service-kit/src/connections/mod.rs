//! Serves HTTP on a listener so that no client can take all connections, nor all files of the process.
//!
//! A connection that waits for a request, or for the rest of one, has a deadline and makes room for a new one. A connection
//! whose request is being answered is never closed for another.

mod file_limit;
mod phase;
mod registry;
mod watched;

use std::{
    convert::Infallible,
    io::Write,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::limits::Limits;
use phase::{Phase, Served};
use registry::{Place, REGISTRY};
use watched::Watched;

pub use file_limit::raise_file_limit;

/// Pause after a connection could not be accepted, for lack of files for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Largest head of a request: the request line and all headers. A larger one is answered with 431.
const LARGEST_HEAD: usize = 32 << 10;
/// The answer to a connection beyond the limits.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// The address of the client, or of the proxy in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Peer(pub IpAddr);

/// What all connections of a listener share.
struct Shared {
    app: Router,
    /// `None` for plain HTTP.
    tls: Option<TlsAcceptor>,
    header_timeout: Duration,
    idle_timeout: Duration,
    stop: CancellationToken,
}

/// Accepts connections until `stop`, then returns when the open requests have been answered.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    tls: Option<TlsAcceptor>,
    limits: &Limits,
    stop: CancellationToken,
) {
    let open = TaskTracker::new();
    let local = listener.local_addr().map(|address| address.port()).unwrap_or_default();
    let shared = Arc::new(Shared {
        app,
        tls,
        header_timeout: limits.header_timeout(),
        idle_timeout: limits.idle_timeout(),
        stop: stop.clone(),
    });
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Either the client is gone already, or this process or machine has no files left.
                tracing::warn!(error.source = %error, "a connection could not be accepted");
                REGISTRY.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let phase = Arc::new(Phase::new());
        match REGISTRY.admit(local, peer.ip(), limits, phase.clone()) {
            Some(place) => {
                let connection = Connection { peer, phase, place, shared: shared.clone() };
                open.spawn(connection.serve(stream));
            }
            // By TLS, the client would not understand the answer.
            None if shared.tls.is_some() => {}
            None => refuse(stream),
        }
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// The socket takes so few bytes at once; a client that is gone needs no answer.
fn refuse(stream: TcpStream) {
    let _ = stream.into_std().and_then(|mut stream| stream.write(NO_ROOM));
}

/// The life of one connection.
struct Connection {
    peer: SocketAddr,
    phase: Arc<Phase>,
    place: Place,
    shared: Arc<Shared>,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // A delay of small answers would be added to each of them.
        let _ = stream.set_nodelay(true);
        let stream = Watched::new(stream, self.phase.clone());
        let Some(tls) = &self.shared.tls else { return self.talk(stream).await };
        let accepted = tokio::select! {
            accepted = tls.accept(stream) => accepted,
            () = self.place.evicted() => return,
            () = self.overdue() => return,
            () = self.shared.stop.cancelled() => return,
        };
        match accepted {
            Ok(stream) => {
                self.phase.is_secured();
                self.talk(stream).await;
            }
            // Not more than a scanner, or a client that does not trust the certificate.
            Err(error) => tracing::debug!(error.source = %error, "a connection did not become secure"),
        }
    }

    async fn talk(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send) {
        let (app, stop) = (&self.shared.app, &self.shared.stop);
        let service = service_fn(|request: hyper::Request<Incoming>| {
            answer(app.clone(), request.map(Body::new), self.peer, &self.phase)
        });
        let mut builder = http1::Builder::new();
        // `phase` distinguishes an idle connection from a head that does not arrive; the server's own timer does not.
        builder.timer(TokioTimer::new()).header_read_timeout(None::<Duration>);
        builder.max_buf_size(LARGEST_HEAD);
        let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut is_stopping = false;
        loop {
            tokio::select! {
                _ = served.as_mut() => break,
                () = self.place.evicted() => break,
                () = self.overdue() => break,
                () = stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    served.as_mut().graceful_shutdown();
                }
            }
        }
    }

    async fn overdue(&self) {
        self.phase.until_overdue(self.shared.header_timeout, self.shared.idle_timeout).await;
    }
}

fn answer(
    app: Router,
    mut request: Request,
    peer: SocketAddr,
    phase: &Arc<Phase>,
) -> impl Future<Output = Result<axum::response::Response, Infallible>> + Send + use<> {
    let answering = Phase::begin(phase);
    request.extensions_mut().insert(Peer(peer.ip().to_canonical()));
    async move {
        let response = app.oneshot(request).await?;
        Ok(response.map(|body| Body::new(Served::new(body, answering))))
    }
}
