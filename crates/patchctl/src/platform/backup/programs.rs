//! The programs of PostgreSQL. They get the address of the database by their environment: other users can read arguments.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use tokio::process::Command;

use terminal::Failure;

/// No dump of a supported size takes longer.
const LIMIT: Duration = Duration::from_secs(12 * 3600);

/// Parameters of a URL, and the variables that mean the same to the programs.
const VARIABLES: [(&str, &str); 11] = [
    ("host", "PGHOST"),
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("dbname", "PGDATABASE"),
    ("sslmode", "PGSSLMODE"),
    ("ssl-mode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("ssl-root-cert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
];

pub struct Programs {
    folder: PathBuf,
    environment: Vec<(&'static str, SecretString)>,
}

impl Programs {
    pub fn new(folder: PathBuf, url: &SecretString) -> Result<Self, Failure> {
        let wrong = || {
            Failure::new("the database URL is not valid; write it like `postgres://user@host:5432/database`")
        };
        let url = Url::parse(url.expose_secret()).map_err(|_| wrong())?;
        let mut environment = Vec::new();
        let mut set = |name, value: String| environment.push((name, SecretString::from(value)));
        if let Some(host) = url.host_str() {
            set("PGHOST", decoded(host).trim_matches(['[', ']']).to_owned());
        }
        if let Some(port) = url.port() {
            set("PGPORT", port.to_string());
        }
        if !url.username().is_empty() {
            set("PGUSER", decoded(url.username()));
        }
        if let Some(password) = url.password() {
            set("PGPASSWORD", decoded(password));
        }
        let database = decoded(url.path().trim_start_matches('/'));
        if !database.is_empty() {
            set("PGDATABASE", database);
        }
        for (name, value) in url.query_pairs() {
            if let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| *known == name) {
                set(*variable, value.into_owned());
            }
        }
        Ok(Self { folder, environment })
    }

    /// Runs a program to its end. The error has its last words.
    pub async fn run<A: AsRef<OsStr>>(&self, program: &str, arguments: &[A]) -> Result<(), Failure> {
        let path = self.folder.join(program);
        let mut command = Command::new(&path);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        for (name, value) in &self.environment {
            command.env(name, value.expose_secret());
        }
        let ended = tokio::time::timeout(LIMIT, command.output()).await;
        let output = ended
            .map_err(|_| {
                Failure::new(format!("{program} has not ended after {} hours", LIMIT.as_secs() / 3600))
            })?
            .map_err(|error| {
                let hint = "install the client programs of PostgreSQL, or set PG_BINDIR to their folder";
                Failure::new(format!("cannot run `{}`: {error}", path.display())).hint(hint)
            })?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
        Err(Failure::new(format!("{program} failed: {last}")))
    }
}

/// A part of a URL without its escapes.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).and_then(|digits| {
            u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().filter(|_| *first == b'%')
        });
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_becomes_an_environment() {
        let url = "postgres://me:p%40ss%25@db.example:6000/patch?sslmode=require&host=%2Frun%2Fpg";
        let programs = Programs::new("/usr/bin".into(), &SecretString::from(url)).unwrap();
        let last = |name: &str| {
            let found = programs.environment.iter().rfind(|(known, _)| *known == name);
            found.map(|(_, value)| value.expose_secret().to_owned())
        };
        let set = ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSSLMODE"].map(last);
        let wanted = ["/run/pg", "6000", "me", "p@ss%", "patch", "require"].map(|text| Some(text.to_owned()));
        assert_eq!(set, wanted);
    }
}
