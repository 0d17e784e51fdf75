//! Devices and virtual machines from the API of NetBox, page by page.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::Source;
use crate::connect::http_url;
use crate::input;
use terminal::Failure;

const LISTS: [(&str, &str); 2] =
    [("devices", "api/dcim/devices/"), ("virtual machines", "api/virtualization/virtual-machines/")];
const PAGE: u64 = 200;
/// As many records as the CMDB imports at once.
const MAX_RECORDS: usize = 100_000;
const MAX_PAGE_BYTES: usize = 32 << 20;
const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The fields that an import reads; the others make a list many times larger.
const FIELDS: [&str; 18] = [
    "id",
    "name",
    "display",
    "status",
    "role",
    "device_role",
    "device_type",
    "platform",
    "site",
    "rack",
    "cluster",
    "tenant",
    "primary_ip",
    "primary_ip4",
    "primary_ip6",
    "tags",
    "custom_fields",
    "vcpus",
];

#[derive(Deserialize)]
struct Page {
    count: u64,
    results: Vec<Map<String, Value>>,
}

pub async fn list(url: &str, token_file: &Path) -> Result<Source, Failure> {
    let mut base = http_url(url)?;
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    let mut notes = Vec::new();
    if base.scheme() == "http" {
        notes.push(format!("`{base}` is not encrypted, so others on the way can read the token"));
    }
    let netbox = Netbox { client: client()?, base, authorization: authorization(token_file)? };
    let (mut records, mut count) = (Vec::new(), 0);
    for (what, path) in LISTS {
        count += netbox.read(what, path, &mut records).await?;
    }
    let list = json!({ "count": count, "next": null, "results": records });
    Ok(Source { content: list.to_string().into_bytes(), format: Some("netbox"), notes, is_part: false })
}

fn client() -> Result<Client, Failure> {
    // A redirect could send the token elsewhere.
    Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
        .map_err(|error| Failure::new(format!("cannot prepare requests: {error}")))
}

fn authorization(token_file: &Path) -> Result<HeaderValue, Failure> {
    let token = SecretString::from(input::read_text(token_file)?.trim().to_owned());
    let text = token.expose_secret();
    // Tokens of the newer kind name themselves.
    let scheme = if text.starts_with("nbt_") { "Bearer" } else { "Token" };
    let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let value = HeaderValue::from_str(&format!("{scheme} {text}")).ok().filter(|_| is_token);
    let mut value = value
        .ok_or_else(|| Failure::usage(format!("`{}` does not contain one token", token_file.display())))?;
    value.set_sensitive(true);
    Ok(value)
}

struct Netbox {
    client: Client,
    base: Url,
    authorization: HeaderValue,
}

impl Netbox {
    /// Reads every page. Returns how many records NetBox counts.
    async fn read(&self, what: &str, path: &str, records: &mut Vec<Value>) -> Result<u64, Failure> {
        let mut seen = BTreeSet::new();
        let mut offset = 0;
        loop {
            let page = self.page(what, path, offset).await?;
            let received = page.results.len() as u64;
            for mut record in page.results {
                // A page repeats a record when another one was deleted in the meantime.
                let is_new = record.get("id").and_then(Value::as_u64).is_none_or(|id| seen.insert(id));
                if is_new {
                    record.retain(|field, value| {
                        FIELDS.contains(&field.as_str()) && !value.is_null() || field == "name"
                    });
                    records.push(record.into());
                }
            }
            if records.len() > MAX_RECORDS {
                return Err(Failure::new(format!("NetBox has more than {MAX_RECORDS} records"))
                    .hint("export parts of the list, and import them one after the other"));
            }
            // NetBox may be configured for shorter pages than asked for.
            offset += received;
            if received == 0 || offset >= page.count {
                return Ok(page.count);
            }
        }
    }

    /// The offset is computed here: the link to the next page could name another host.
    async fn page(&self, what: &str, path: &str, offset: u64) -> Result<Page, Failure> {
        let mut url = self.base.join(path).map_err(|error| Failure::new(error.to_string()))?;
        url.query_pairs_mut()
            .append_pair("limit", &PAGE.to_string())
            .append_pair("offset", &offset.to_string())
            .append_pair("ordering", "id")
            .append_pair("exclude", "config_context");
        let mut wait = FIRST_WAIT;
        let mut attempt = 1;
        loop {
            let failure = match self.ask(&url, what).await {
                Ok(page) => return Ok(page),
                Err(Attempt { failure, is_transient: false, .. }) => return Err(failure),
                Err(Attempt { failure, .. }) if attempt == ATTEMPTS => return Err(failure),
                Err(failure) => failure,
            };
            sleep(failure.after.unwrap_or(wait).min(LONGEST_WAIT)).await;
            wait *= 2;
            attempt += 1;
        }
    }

    async fn ask(&self, url: &Url, what: &str) -> Result<Page, Attempt> {
        let request = self.client.get(url.clone()).header(AUTHORIZATION, self.authorization.clone());
        let answer = request.header("Accept", "application/json").send().await;
        let mut response = answer.map_err(|error| {
            Attempt::again(Failure::new(format!("NetBox does not answer: {}", chain(&error.without_url()))))
        })?;
        let status = response.status();
        if !status.is_success() {
            let after =
                response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(Attempt {
                after: after.map(Duration::from_secs),
                is_transient: status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS,
                failure: refused(status, what),
            });
        }
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await.map_err(|error| {
                Attempt::again(Failure::new(format!(
                    "NetBox's answer ended early: {}",
                    chain(&error.without_url())
                )))
            })?;
            let Some(chunk) = chunk else { break };
            body.extend_from_slice(&chunk);
            if body.len() > MAX_PAGE_BYTES {
                return Err(Attempt::last(Failure::new(format!(
                    "a page of NetBox is larger than {} MB",
                    MAX_PAGE_BYTES >> 20
                ))));
            }
        }
        serde_json::from_slice(&body).map_err(|error| {
            Attempt::last(
                Failure::new(format!("the answer is not a list of NetBox's {what}: {error}"))
                    .hint("pass the address of NetBox itself, as in a browser, without `/api`"),
            )
        })
    }
}

struct Attempt {
    failure: Failure,
    is_transient: bool,
    after: Option<Duration>,
}

impl Attempt {
    fn again(failure: Failure) -> Self {
        Self { failure, is_transient: true, after: None }
    }

    fn last(failure: Failure) -> Self {
        Self { failure, is_transient: false, after: None }
    }
}

fn refused(status: StatusCode, what: &str) -> Failure {
    let failure = Failure::new(format!("NetBox refused the list of {what}: {status}"));
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => failure.hint(format!(
            "the token must be valid and may read {what}; it is not the platform's token, which --token-file names"
        )),
        StatusCode::NOT_FOUND => {
            failure.hint("pass the address of NetBox itself, as in a browser, without `/api`")
        }
        status if status.is_redirection() => {
            failure.hint("pass the address to which NetBox redirects, such as the one with https")
        }
        _ => failure,
    }
}

/// The error with its causes, which name what went wrong.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_as_its_kind_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let header = |text: &str| {
            std::fs::write(&file, text).unwrap();
            authorization(&file)
        };
        let value = header("0123abcd\n").unwrap();
        assert_eq!(value.to_str().unwrap(), "Token 0123abcd");
        assert!(!format!("{value:?}").contains("0123abcd"));
        assert_eq!(header("nbt_a.b").unwrap().to_str().unwrap(), "Bearer nbt_a.b");
        for text in ["", "two words", "a\nb"] {
            let failure = header(text).unwrap_err();
            assert!(text.is_empty() || !failure.to_string().contains(text), "{failure}");
        }
    }
}
