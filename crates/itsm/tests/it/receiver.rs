//! A receiver of webhooks that answers as configured, and keeps what it received.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Notify};

#[derive(Clone)]
pub struct Receiver {
    pub address: String,
    state: Arc<Mutex<Answers>>,
}

/// What a request is answered with, and when.
#[derive(Debug, Clone)]
pub enum Reply {
    AtOnce(u16),
    /// Once the test says so.
    OnCall(u16, Arc<Notify>),
}

#[derive(Default)]
struct Answers {
    received: Vec<Received>,
    /// Given to the next requests; 204 when there is none left.
    next: Vec<Reply>,
}

#[derive(Debug, Clone)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Received {
    pub fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Receiver {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self { address: listener.local_addr().unwrap().to_string(), state: Arc::default() };
        let app = Router::new().route("/hook", post(receive)).with_state(receiver.state.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn answer_next(&self, replies: &[Reply]) {
        self.state.lock().unwrap().next.extend(replies.iter().rev().cloned());
    }

    pub fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }

    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        for _ in 0..400 {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} of {count} webhooks came", self.received().len());
    }
}

async fn receive(State(state): State<Arc<Mutex<Answers>>>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = {
        let mut state = state.lock().unwrap();
        state.received.push(Received { headers, body: body.to_vec() });
        state.next.pop()
    };
    let status = match answer {
        None => 204,
        Some(Reply::AtOnce(status)) => status,
        Some(Reply::OnCall(status, call)) => {
            call.notified().await;
            status
        }
    };
    (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, "/hook")]).into_response()
}
