//! Reads server-sent events as they arrive.

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

impl EventStream {
    pub fn new(response: Response) -> Self {
        Self { response, buffer: Vec::new(), data: String::new() }
    }

    /// The next event; `None` when the stream ended or broke: open it again after the last event.
    pub async fn next(&mut self) -> Option<CloudEvent> {
        loop {
            while let Some(line) = self.take_line() {
                if let Some(event) = self.push_line(&line) {
                    return Some(event);
                }
            }
            match tokio::time::timeout(SILENCE, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) if self.buffer.len() + self.data.len() < EVENT_BYTES => {
                    self.buffer.extend_from_slice(&bytes);
                }
                _ => return None,
            }
        }
    }

    fn take_line(&mut self) -> Option<String> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned())
    }

    /// Handles one line; an empty one ends an event. Comments only keep the connection alive; events that this version
    /// does not understand are ignored.
    fn push_line(&mut self, line: &str) -> Option<CloudEvent> {
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
