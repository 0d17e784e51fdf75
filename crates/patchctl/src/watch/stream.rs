//! Server-sent events, read as they come.

use std::time::Duration;

use api_types::patch::CloudEvent;
use reqwest::Response;

/// The service sends something at least every 15 s; a stream that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(60);
/// Most bytes of one event.
const EVENT_BYTES: usize = 4 << 20;

pub struct EventStream {
    response: Response,
    buffer: Vec<u8>,
    data: String,
}

pub enum Next {
    Event(Box<CloudEvent>),
    /// It ended or broke; open it again behind the last event.
    Closed,
}

impl EventStream {
    pub fn new(response: Response) -> Self {
        Self { response, buffer: Vec::new(), data: String::new() }
    }

    pub async fn next(&mut self) -> Next {
        loop {
            while let Some(line) = self.take_line() {
                if let Some(event) = self.take_in(&line) {
                    return Next::Event(Box::new(event));
                }
            }
            match tokio::time::timeout(SILENCE, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) if self.buffer.len() + self.data.len() < EVENT_BYTES => {
                    self.buffer.extend_from_slice(&bytes);
                }
                _ => return Next::Closed,
            }
        }
    }

    fn take_line(&mut self) -> Option<String> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned())
    }

    /// Takes one line in; an empty one ends an event. Comments keep the connection alive and say nothing; events that
    /// this version does not understand are passed over.
    fn take_in(&mut self, line: &str) -> Option<CloudEvent> {
        if line.is_empty() {
            return serde_json::from_str(&std::mem::take(&mut self.data)).ok();
        }
        if let Some(data) = line.strip_prefix("data:") {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        }
        None
    }
}
