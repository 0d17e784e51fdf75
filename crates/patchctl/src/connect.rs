//! Clients of the services, from the global options.

use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use api_client::RetryRule;
use api_client::access::AccessClient;
use api_client::cmdb::CmdbClient;
use api_client::itsm::ItsmClient;
use api_client::patch::PatchClient;
use api_client::releases::ReleasesClient;
use api_client::sim::SimClient;
use reqwest::Url;

use crate::arguments::GlobalOptions;
use crate::failure::Failure;
use crate::platform::{Addresses, default_data_dir};

/// A person waits: half a second covers a restart of one replica, and a platform that is down is told soon.
const RETRY: RetryRule = RetryRule { attempts: 3, first_wait: Duration::from_millis(150) };

/// Where the platform is and who asks: what every command that speaks to the platform needs.
pub struct Connection {
    pub addresses: Addresses,
    token: String,
}

impl Connection {
    pub fn new(global: &GlobalOptions) -> Result<Self, Failure> {
        Ok(Self { addresses: addresses(global)?, token: token(global)? })
    }

    pub fn patch(&self) -> PatchClient {
        PatchClient::new(&self.addresses.patch_manager, &self.token).with_retry(RETRY)
    }

    pub fn releases(&self) -> ReleasesClient {
        ReleasesClient::new(&self.addresses.patch_manager, &self.token).with_retry(RETRY)
    }

    pub fn cmdb(&self) -> CmdbClient {
        CmdbClient::new(&self.addresses.cmdb, &self.token).with_retry(RETRY)
    }

    pub fn itsm(&self) -> ItsmClient {
        ItsmClient::new(&self.addresses.itsm, &self.token).with_retry(RETRY)
    }

    pub fn sim(&self) -> SimClient {
        SimClient::new(&self.addresses.sim_engine, &self.token).with_retry(RETRY)
    }

    pub fn access(&self) -> AccessClient {
        AccessClient::new(&self.addresses.patch_manager, &self.token).with_retry(RETRY)
    }
}

/// The services' addresses: each as given, else on the ports behind the patch-manager's.
pub fn addresses(global: &GlobalOptions) -> Result<Addresses, Failure> {
    let mut addresses = match &global.server {
        None => Addresses::new(Ipv4Addr::LOCALHOST.into(), global.port_base),
        Some(server) => behind(server)?,
    };
    let given = [
        (&mut addresses.cmdb, &global.cmdb_url),
        (&mut addresses.itsm, &global.itsm_url),
        (&mut addresses.sim_engine, &global.sim_engine_url),
    ];
    for (address, given) in given {
        if let Some(given) = given {
            *address = http_url(given)?.as_str().trim_end_matches('/').to_owned();
        }
    }
    Ok(addresses)
}

fn behind(server: &str) -> Result<Addresses, Failure> {
    let url = http_url(server)?;
    let port = url.port_or_known_default().unwrap_or(80);
    let at = |offset: u16| {
        let mut url = url.clone();
        let port = port.checked_add(offset).filter(|_| offset > 0);
        if let Some(port) = port {
            // Fails for URLs without a host alone, which `http_url` refuses.
            let _ = url.set_port(Some(port));
        }
        url.as_str().trim_end_matches('/').to_owned()
    };
    Ok(Addresses { patch_manager: at(0), cmdb: at(1), itsm: at(2), sim_engine: at(3) })
}

fn http_url(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| {
        Failure::usage(format!("`{text}` is no address, write it like `http://127.0.0.1:8080`"))
    })
}

/// The data folder as chosen, or the usual one.
pub fn data_dir(global: &GlobalOptions) -> Result<PathBuf, Failure> {
    let chosen = global.data_dir.clone().or_else(default_data_dir);
    chosen.ok_or_else(|| {
        Failure::usage("there is no home folder to keep data in; name a folder with --data-dir")
    })
}

fn token(global: &GlobalOptions) -> Result<String, Failure> {
    const HINT: &str = "name the file that holds your token with --token-file, or set PATCH_TOKEN";
    if global.token_file.is_none()
        && let Ok(token) = std::env::var("PATCH_TOKEN")
    {
        return checked(&token, "PATCH_TOKEN");
    }
    let file = match &global.token_file {
        Some(file) => file.clone(),
        None => data_dir(global)?.join("admin-token"),
    };
    let text = fs::read_to_string(&file).map_err(|error| {
        let reason = match error.kind() {
            ErrorKind::NotFound => "there is no such file".to_owned(),
            _ => error.to_string(),
        };
        Failure::new(format!("cannot read the token from `{}`: {reason}", file.display())).hint(HINT)
    })?;
    checked(&text, &file.display().to_string())
}

/// What is no token is not sent: it may be another secret, given by mistake.
fn checked(text: &str, place: &str) -> Result<String, Failure> {
    let token = text.trim();
    match token.starts_with("pm_") && token.len() <= 200 && token.bytes().all(|byte| byte.is_ascii_graphic())
    {
        true => Ok(token.to_owned()),
        false => Err(Failure::new(format!("`{place}` does not hold a token (`pm_...`)"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_services_are_behind_the_first() {
        let addresses = behind("http://patch.example.com:9000/").unwrap();
        assert_eq!(addresses.patch_manager, "http://patch.example.com:9000");
        assert_eq!(addresses.sim_engine, "http://patch.example.com:9003");
        assert!(behind("patch.example.com").is_err() && behind("file:///etc/passwd").is_err());
    }

    #[test]
    fn only_a_token_is_sent() {
        assert!(checked("pm_0123\n", "f").is_ok());
        assert!(checked("-----BEGIN PRIVATE KEY-----", "f").is_err());
    }
}
