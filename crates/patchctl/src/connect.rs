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

use crate::arguments::global::GlobalOptions;
use crate::context::{self, Context, Contexts};
use crate::platform::{Addresses, Authority, default_data_dir};
use terminal::Failure;

/// A person is waiting: half a second covers the restart of a replica, and a platform that is down is reported soon.
const RETRY: RetryRule = RetryRule { attempts: 3, first_wait: Duration::from_millis(150) };

/// The addresses of the platform and the token of the caller.
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

    /// The same at the service of this name.
    pub fn access_at(&self, service: &str) -> AccessClient {
        let address = match service {
            "cmdb" => &self.addresses.cmdb,
            "itsm" => &self.addresses.itsm,
            "sim-engine" => &self.addresses.sim_engine,
            _ => &self.addresses.patch_manager,
        };
        AccessClient::new(address, &self.token).with_retry(RETRY)
    }
}

/// The addresses of the services: as given or as the context says, by default on the three ports after that of the patch-manager.
pub fn addresses(global: &GlobalOptions) -> Result<Addresses, Failure> {
    let context = context::chosen(global)?.map(|chosen| chosen.context);
    let mut addresses = match (&global.server, &context) {
        (Some(server), _) => next_to(server)?,
        (None, Some(context)) => {
            // It may be the platform on this machine.
            trust_own(global)?;
            next_to(&context.server)?
        }
        (None, None) => Addresses::new(Ipv4Addr::LOCALHOST.into(), global.port_base, trust_own(global)?),
    };
    let of_context =
        |of: fn(&Context) -> &Option<String>| context.as_ref().and_then(|context| of(context).as_ref());
    let given = [
        (&mut addresses.cmdb, global.cmdb_url.as_ref().or(of_context(|it| &it.cmdb_url))),
        (&mut addresses.itsm, global.itsm_url.as_ref().or(of_context(|it| &it.itsm_url))),
        (&mut addresses.sim_engine, global.sim_engine_url.as_ref().or(of_context(|it| &it.sim_engine_url))),
    ];
    for (address, given) in given {
        if let Some(given) = given {
            *address = http_url(given)?.as_str().trim_end_matches('/').to_owned();
        }
    }
    Ok(addresses)
}

/// Trusts the authority of the platform on this machine. `false` if it speaks plain HTTP.
fn trust_own(global: &GlobalOptions) -> Result<bool, Failure> {
    let authority = data_dir(global).ok().map(|data_dir| Authority::of(&data_dir));
    let Some(authority) = authority.filter(Authority::exists) else { return Ok(false) };
    let file = authority.file();
    let wrong = |reason: String| Failure::new(format!("cannot trust `{}`: {reason}", file.display()));
    let pem = fs::read(&file).map_err(|error| wrong(error.to_string()))?;
    api_client::trust(&pem).map_err(|error| wrong(error.to_string()))?;
    Ok(true)
}

fn next_to(server: &str) -> Result<Addresses, Failure> {
    let url = http_url(server)?;
    let port = url.port_or_known_default().unwrap_or(80);
    let at = |offset: u16| {
        let mut url = url.clone();
        let port = port.checked_add(offset).filter(|_| offset > 0);
        if let Some(port) = port {
            // Fails only for URLs without a host, which `http_url` refuses.
            let _ = url.set_port(Some(port));
        }
        url.as_str().trim_end_matches('/').to_owned()
    };
    Ok(Addresses { patch_manager: at(0), cmdb: at(1), itsm: at(2), sim_engine: at(3) })
}

pub fn http_url(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| {
        Failure::usage(format!("`{text}` is not an address, write it like `http://127.0.0.1:8080`"))
    })
}

/// The data folder as given, or the default one.
pub fn data_dir(global: &GlobalOptions) -> Result<PathBuf, Failure> {
    let chosen = global.data_dir.clone().or_else(default_data_dir);
    chosen.ok_or_else(|| {
        Failure::usage("there is no home folder to keep data in; set a folder with --data-dir")
    })
}

fn token(global: &GlobalOptions) -> Result<String, Failure> {
    const HINT: &str = "set the file that contains your token with --token-file, or set PATCH_TOKEN";
    if global.token_file.is_none()
        && let Ok(token) = std::env::var("PATCH_TOKEN")
    {
        return checked(&token, "PATCH_TOKEN");
    }
    if global.token_file.is_none()
        && let Some(chosen) = context::chosen(global)?
    {
        let contexts = Contexts::open()?;
        let Some(token) = contexts.token(&chosen.name)? else {
            return Err(Failure::new(format!("you are not signed in to `{}`", chosen.name))
                .hint("sign in with `patchctl login`"));
        };
        return checked(&token, &contexts.token_file(&chosen.name).display().to_string());
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

/// Only a token is sent: any other text may be another secret, given by mistake.
fn checked(text: &str, place: &str) -> Result<String, Failure> {
    let token = text.trim();
    if token.starts_with("pm_") && token.len() <= 200 && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(token.to_owned())
    } else {
        Err(Failure::new(format!("`{place}` does not contain a token (`pm_...`)")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_services_use_the_next_ports() {
        let addresses = next_to("http://patch.example.com:9000/").unwrap();
        assert_eq!(addresses.patch_manager, "http://patch.example.com:9000");
        assert_eq!(addresses.sim_engine, "http://patch.example.com:9003");
        assert!(next_to("patch.example.com").is_err() && next_to("file:///etc/passwd").is_err());
    }

    #[test]
    fn only_a_token_is_sent() {
        assert!(checked("pm_0123\n", "f").is_ok());
        assert!(checked("-----BEGIN PRIVATE KEY-----", "f").is_err());
    }
}
