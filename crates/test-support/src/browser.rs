//! A browser without scripts: it keeps cookies of each origin, follows redirects and submits forms.

use std::collections::{BTreeMap, HashMap};

use reqwest::{Client, Method, StatusCode, Url, header, redirect};

const MOST_REDIRECTS: usize = 20;

/// A page that was opened.
#[derive(Debug)]
pub struct Shown {
    pub url: Url,
    pub status: StatusCode,
    pub headers: header::HeaderMap,
    pub text: String,
}

pub struct Browser {
    client: Client,
    cookies: HashMap<String, BTreeMap<String, String>>,
}

impl Default for Browser {
    fn default() -> Self {
        let client =
            Client::builder().no_proxy().redirect(redirect::Policy::none()).build().expect("a client");
        Self { client, cookies: HashMap::new() }
    }
}

impl Browser {
    /// One request, without its redirect.
    pub async fn send(&mut self, method: Method, url: &str, headers: &[(&str, &str)], body: String) -> Shown {
        let url = Url::parse(url).expect("an address");
        let origin = url.origin().ascii_serialization();
        let mut request = self.client.request(method, url.clone()).body(body);
        let own = self.cookies.entry(origin).or_default();
        if !own.is_empty() {
            let sent: Vec<String> = own.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, sent.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        for set in answer.headers().get_all(header::SET_COOKIE) {
            let set = set.to_str().expect("a cookie");
            let (name, value) =
                set.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            if value.is_empty() || set.contains("Max-Age=0") {
                own.remove(name);
            } else {
                own.insert(name.to_owned(), value.to_owned());
            }
        }
        let (status, headers) = (answer.status(), answer.headers().clone());
        Shown { url, status, headers, text: answer.text().await.expect("a text") }
    }

    /// Opens a page, without its redirect.
    pub async fn get(&mut self, url: &str) -> Shown {
        self.send(Method::GET, url, &[], String::new()).await
    }

    /// Opens a page and follows redirects, until the next address begins with `stop`, which is not opened.
    pub async fn open_until(&mut self, url: &str, stop: Option<&str>) -> Shown {
        let mut shown = self.get(url).await;
        for _ in 0..MOST_REDIRECTS {
            let Some(next) = shown.next() else { return shown };
            if stop.is_some_and(|stop| next.starts_with(stop)) {
                return shown;
            }
            shown = self.get(&next).await;
        }
        panic!("too many redirects: {shown:?}");
    }

    pub async fn open(&mut self, url: &str) -> Shown {
        self.open_until(url, None).await
    }

    /// Submits the only form of a page with these fields and its hidden ones, and follows redirects.
    async fn submit(&mut self, page: &Shown, fields: &[(&str, &str)], stop: Option<&str>) -> Shown {
        let action = attribute(&page.text, "action=").expect("a form");
        let url = page.url.join(&action).expect("an address").to_string();
        let mut form = Url::parse("http://form/").expect("an address");
        for input in page.text.split("<input").skip(1) {
            let input = input.split('>').next().unwrap_or_default();
            if let (true, Some(name), Some(value)) =
                (input.contains("hidden"), attribute(input, "name="), attribute(input, "value="))
            {
                form.query_pairs_mut().append_pair(&name, &value);
            }
        }
        form.query_pairs_mut().extend_pairs(fields);
        let body = form.query().unwrap_or_default().to_owned();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let shown = self.send(Method::POST, &url, &headers, body).await;
        match shown.next() {
            Some(next) if stop.is_none_or(|stop| !next.starts_with(stop)) => {
                self.open_until(&next, stop).await
            }
            _ => shown,
        }
    }

    /// Goes through the pages of the identity provider as the person of an account, until the browser is sent to `stop`, or to a page
    /// without a form.
    pub async fn sign_in(&mut self, url: &str, account: &str, stop: Option<&str>) -> Shown {
        let mut shown = self.open_until(url, stop).await;
        for _ in 0..6 {
            if shown.next().is_some() || !shown.text.contains("<form") {
                return shown;
            }
            let login = [("login", account), ("password", "any")];
            let fields = if shown.text.contains("name=\"login\"") { &login[..] } else { &[] };
            shown = self.submit(&shown, fields, stop).await;
        }
        panic!("the sign-in does not end: {shown:?}");
    }

    /// A cookie that a service has set.
    pub fn cookie(&self, base: &str, name: &str) -> Option<&str> {
        let origin = Url::parse(base).expect("an address").origin().ascii_serialization();
        self.cookies.get(&origin)?.get(name).map(String::as_str)
    }

    /// Gives the browser a cookie of another one.
    pub fn set_cookie(&mut self, base: &str, name: &str, value: &str) {
        let origin = Url::parse(base).expect("an address").origin().ascii_serialization();
        self.cookies.entry(origin).or_default().insert(name.to_owned(), value.to_owned());
    }
}

impl Shown {
    /// Where it redirects to.
    pub fn next(&self) -> Option<String> {
        let location = self.headers.get(header::LOCATION)?.to_str().ok()?;
        self.status.is_redirection().then(|| self.url.join(location).expect("an address").to_string())
    }
}

/// The value of the first attribute of this name, as `name="value"`.
fn attribute(text: &str, name: &str) -> Option<String> {
    let rest = text.split_once(name)?.1;
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..]
        .split_once(quote)
        .map(|(value, _)| value.replace("&amp;", "&").replace("&#x2F;", "/").replace("&#x3D;", "="))
}
