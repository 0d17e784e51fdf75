//! Requests for feeds: through the outbound guard at every redirect, with a deadline for every part of the answer.

use std::{fs::File, time::Duration};

use axum::body::Bytes;
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{ACCEPT_ENCODING, IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION, RETRY_AFTER},
};
use service_kit::{
    error::chain,
    outbound::{Receivers, client_through},
};

use crate::settings::FeedSettings;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two parts of a body.
const PART_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: usize = 5;

/// What became of a request for a feed.
pub enum Fetched {
    /// The server says that nothing has changed.
    Unchanged,
    New {
        file: File,
        etag: Option<String>,
        last_modified: Option<String>,
    },
}

/// Why a feed could not be fetched, for people. It never has an address: a query may contain a secret.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    text: String,
    retry_after: Option<Duration>,
}

impl Fault {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), retry_after: None }
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// What identifies the version that the platform has.
#[derive(Default)]
pub struct Conditions<'a> {
    pub etag: Option<&'a str>,
    pub last_modified: Option<&'a str>,
}

pub struct Requests<'a> {
    receivers: &'a Receivers,
    settings: &'a FeedSettings,
}

impl<'a> Requests<'a> {
    pub fn new(receivers: &'a Receivers, settings: &'a FeedSettings) -> Self {
        Self { receivers, settings }
    }

    /// The head of the answer; `None` if nothing has changed.
    pub async fn get(&self, url: &str, conditions: &Conditions<'_>) -> Result<Option<Answer>, Fault> {
        let mut url = mirrored(self.settings.feed_mirror.as_deref(), url);
        for _ in 0..=MAX_REDIRECTS {
            let (client, target) = self.client(&url).await?;
            let mut request = client.get(target.clone()).header(ACCEPT_ENCODING, "identity");
            if let Some(etag) = conditions.etag {
                request = request.header(IF_NONE_MATCH, etag);
            }
            if let Some(time) = conditions.last_modified {
                request = request.header(IF_MODIFIED_SINCE, time);
            }
            let response = match tokio::time::timeout(HEAD_TIMEOUT, request.send()).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => {
                    return Err(Fault::new(format!("no answer: {}", chain(&error.without_url()))));
                }
                Err(_) => return Err(Fault::new(format!("no answer within {} s", HEAD_TIMEOUT.as_secs()))),
            };
            match response.status() {
                StatusCode::OK => return Ok(Some(Answer { length: response.content_length(), response })),
                StatusCode::NOT_MODIFIED => return Ok(None),
                status if status.is_redirection() => url = redirected(&target, &response)?,
                status => {
                    let retry_after = retry_after(&response);
                    return Err(Fault { text: format!("the server answered {status}"), retry_after });
                }
            }
        }
        Err(Fault::new(format!("the server redirected more than {MAX_REDIRECTS} times")))
    }

    async fn client(&self, url: &str) -> Result<(Client, Url), Fault> {
        let no_client =
            |error: reqwest::Error| Fault::new(format!("no HTTP client: {}", chain(&error.without_url())));
        if let Some(proxy) = &self.settings.feed_proxy {
            let target = self
                .receivers
                .check(url)
                .map_err(|refusal| Fault::new(format!("the feed's address {refusal}")))?;
            return Ok((client_through(proxy, CONNECT_TIMEOUT).map_err(no_client)?, target));
        }
        let receiver = self.receivers.resolve(url).await.map_err(|error| Fault::new(error.to_string()))?;
        Ok((receiver.client(CONNECT_TIMEOUT).map_err(no_client)?, receiver.url))
    }
}

/// Where an answer leads to. What was encrypted stays so.
fn redirected(from: &Url, response: &Response) -> Result<String, Fault> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let target = location.and_then(|location| from.join(location).ok());
    let target = target.ok_or_else(|| Fault::new("the server redirects to nowhere"))?;
    if from.scheme() == "https" && target.scheme() != "https" {
        return Err(Fault::new("the server redirects from https to another scheme"));
    }
    Ok(target.into())
}

/// Only in seconds; servers of feeds give no dates.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An answer whose body is still to be read.
pub struct Answer {
    /// As announced.
    length: Option<u64>,
    response: Response,
}

impl Answer {
    /// Refuses early what will be too large.
    pub fn check_length(&self, most: u64) -> Result<(), Fault> {
        match self.length {
            Some(length) if length > most => {
                Err(Fault::new(format!("the feed has {length} bytes, more than the allowed {most}")))
            }
            _ => Ok(()),
        }
    }

    /// Nothing was lost on the way.
    pub fn check_end(&self, bytes: u64) -> Result<(), Fault> {
        match self.length {
            Some(length) if length != bytes => {
                Err(Fault::new(format!("the feed ended after {bytes} of {length} bytes")))
            }
            _ => Ok(()),
        }
    }

    pub async fn next_part(&mut self) -> Result<Option<Bytes>, Fault> {
        match tokio::time::timeout(PART_TIMEOUT, self.response.chunk()).await {
            Ok(Ok(part)) => Ok(part),
            Ok(Err(error)) => Err(Fault::new(format!("the feed broke off: {}", chain(&error.without_url())))),
            Err(_) => Err(Fault::new(format!("the feed stopped for {} s", PART_TIMEOUT.as_secs()))),
        }
    }

    pub fn header(&self, name: &str) -> Option<String> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }
}

/// The address at the mirror, if there is one.
pub fn mirrored(mirror: Option<&str>, url: &str) -> String {
    let mirror = mirror.map(|mirror| mirror.trim_end_matches('/'));
    match (mirror, url.split_once("://")) {
        (Some(mirror), Some((_, rest))) if !url.starts_with(&format!("{mirror}/")) => {
            format!("{mirror}/{rest}")
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirror_has_hosts_as_folders() {
        let mirrored = |mirror| mirrored(mirror, "https://vendor.example/9/all.zip?x=1");
        assert_eq!(mirrored(None), "https://vendor.example/9/all.zip?x=1");
        assert_eq!(
            mirrored(Some("http://mirror:8080/feeds/")),
            "http://mirror:8080/feeds/vendor.example/9/all.zip?x=1"
        );
        let own = super::mirrored(Some("http://mirror:8080/feeds"), "http://mirror:8080/feeds/a.zip");
        assert_eq!(own, "http://mirror:8080/feeds/a.zip");
    }
}
