//! Platforms that a person works with, each under a name, in `~/.config/patchctl`.
//!
//! ```text
//! ~/.config/patchctl/   0700
//!   contexts.json       0600  addresses, and which one is current
//!   NAME.token          0600  the token of a sign-in
//! ```

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::arguments::global::{DEFAULT_PORT_BASE, GlobalOptions};
use crate::private_file;
use terminal::Failure;

const LONGEST_NAME: usize = 60;
/// Contexts of one person.
const MOST: usize = 1000;
/// A file of contexts is not larger than this.
const LARGEST_FILE: u64 = 1024 * 1024;

/// The addresses of a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    pub server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdb_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub itsm_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sim_engine_url: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    current: Option<String>,
    contexts: BTreeMap<String, Context>,
}

/// All contexts of a person.
pub struct Contexts {
    folder: PathBuf,
    stored: Stored,
}

/// A context that a command uses.
pub struct Chosen {
    pub name: String,
    pub context: Context,
}

impl Contexts {
    /// Empty if there are none yet.
    pub fn open() -> Result<Self, Failure> {
        let folder = folder()
            .ok_or_else(|| Failure::usage("cannot find your home folder; set HOME or XDG_CONFIG_HOME"))?;
        Self::open_in(folder)
    }

    fn open_in(folder: PathBuf) -> Result<Self, Failure> {
        let file = folder.join("contexts.json");
        let stored = match read_private(&file)? {
            Some(text) => serde_json::from_str(&text)
                .map_err(|error| Failure::new(format!("cannot read `{}`: {error}", file.display())))?,
            None => Stored::default(),
        };
        Ok(Self { folder, stored })
    }

    pub fn current(&self) -> Option<&str> {
        self.stored.current.as_deref()
    }

    /// In the order of their names.
    pub fn list(&self) -> impl Iterator<Item = (&str, &Context)> {
        self.stored.contexts.iter().map(|(name, context)| (name.as_str(), context))
    }

    pub fn get(&self, name: &str) -> Result<Chosen, Failure> {
        let context = self.stored.contexts.get(name).ok_or_else(|| {
            Failure::usage(format!("there is no context `{name}`; `patchctl context list` lists them"))
        })?;
        Ok(Chosen { name: name.to_owned(), context: context.clone() })
    }

    /// The context of a platform: the current one if it is that of the address.
    fn find_by_server(&self, server: &str) -> Option<Chosen> {
        let is_of = |(_, context): &(&str, &Context)| same_server(&context.server, server);
        let current = self.list().find(|one| is_of(one) && Some(one.0) == self.current());
        let (name, context) = current.or_else(|| self.list().find(is_of))?;
        Some(Chosen { name: name.to_owned(), context: context.clone() })
    }

    pub fn make_current(&mut self, name: &str) -> Result<(), Failure> {
        self.get(name)?;
        self.stored.current = Some(name.to_owned());
        self.write()
    }

    /// Keeps the token of a sign-in, and makes its context the current one.
    pub fn sign_in(&mut self, name: &str, context: Context, token: &str) -> Result<(), Failure> {
        check_name(name)?;
        if self.stored.contexts.len() >= MOST && !self.stored.contexts.contains_key(name) {
            return Err(Failure::new(format!(
                "there are {MOST} contexts already; choose one of them with --name"
            )));
        }
        self.create_folder()?;
        let file = self.token_file(name);
        private_file::replace(&file, &format!("{token}\n"))
            .map_err(|error| failed("write", &file, &error))?;
        self.stored.contexts.insert(name.to_owned(), context);
        self.stored.current = Some(name.to_owned());
        self.write()
    }

    /// The token of a context; `None` if nobody is signed in.
    pub fn token(&self, name: &str) -> Result<Option<String>, Failure> {
        read_private(&self.token_file(name))
    }

    pub fn token_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.token"))
    }

    /// Forgets the token of a context.
    pub fn sign_out(&self, name: &str) -> Result<(), Failure> {
        let file = self.token_file(name);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", &file, &error)),
            _ => Ok(()),
        }
    }

    fn create_folder(&self) -> Result<(), Failure> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|error| failed("create", &self.folder, &error))
    }

    fn write(&self) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(&self.stored)
            .map_err(|error| Failure::new(format!("contexts cannot be written: {error}")))?;
        self.create_folder()?;
        let file = self.folder.join("contexts.json");
        private_file::replace(&file, &format!("{text}\n")).map_err(|error| failed("write", &file, &error))
    }
}

/// The context of a command, if it uses one: the one that is named, that of the given address, or the current one. A platform that is
/// chosen by its port or data folder has none: its token must not go to another platform.
pub fn chosen(global: &GlobalOptions) -> Result<Option<Chosen>, Failure> {
    if let Some(name) = &global.context {
        let chosen = Contexts::open()?.get(name)?;
        if global.server.as_ref().is_some_and(|server| !same_server(server, &chosen.context.server)) {
            return Err(Failure::usage(format!(
                "--server is not the address of context `{name}`; give one of both"
            )));
        }
        return Ok(Some(chosen));
    }
    if global.data_dir.is_some() || global.port_base != DEFAULT_PORT_BASE || folder().is_none() {
        return Ok(None);
    }
    let contexts = Contexts::open()?;
    match (&global.server, contexts.current()) {
        (Some(server), _) => Ok(contexts.find_by_server(server)),
        (None, Some(name)) => contexts.get(name).map(Some),
        (None, None) => Ok(None),
    }
}

fn same_server(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// A name that is also part of the name of a file.
pub fn check_name(name: &str) -> Result<(), Failure> {
    let is_name = (1..=LONGEST_NAME).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    if is_name {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "`{name}` must be 1 to {LONGEST_NAME} of `a-z 0-9 . _ -` and begin with a letter or digit"
    )))
}

fn folder() -> Option<PathBuf> {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = given("XDG_CONFIG_HOME").or_else(|| Some(given("HOME")?.join(".config")))?;
    Some(config.join("patchctl"))
}

/// A file that only its owner can read; `None` if there is none.
fn read_private(path: &Path) -> Result<Option<String>, Failure> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| failed("read", path, &error))?,
    };
    let metadata = file.metadata().map_err(|error| failed("read", path, &error))?;
    if metadata.mode() & 0o077 != 0 || metadata.uid() != geteuid().as_raw() {
        let shown = path.display();
        return Err(Failure::new(format!("`{shown}` may be read or written by others, so it is not used"))
            .hint(format!("make it your own and run `chmod 600 {shown}`; if others may have read a token in it, sign in again")));
    }
    let mut text = String::new();
    file.take(LARGEST_FILE).read_to_string(&mut text).map_err(|error| failed("read", path, &error))?;
    Ok(Some(text))
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {what} `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn at(server: &str) -> Context {
        Context { server: server.to_owned(), cmdb_url: None, itsm_url: None, sim_engine_url: None }
    }

    #[test]
    fn token_is_closed_to_others_and_one_that_is_not_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("patchctl");
        let mut contexts = Contexts::open_in(folder.clone()).unwrap();
        contexts.sign_in("ops", at("https://patch.example.org"), "pm_1").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        for name in ["contexts.json", "ops.token"] {
            let file = folder.join(name);
            assert_eq!(mode(&file), 0o600, "{name}");
            for open in [0o640, 0o604, 0o620] {
                fs::set_permissions(&file, fs::Permissions::from_mode(open)).unwrap();
                let refused = Contexts::open_in(folder.clone()).and_then(|contexts| contexts.token("ops"));
                assert!(refused.unwrap_err().to_string().contains(name), "{name} {open:o}");
            }
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let contexts = Contexts::open_in(folder).unwrap();
        assert_eq!(contexts.token("ops").unwrap().as_deref(), Some("pm_1\n"));
        contexts.sign_out("ops").unwrap();
        assert_eq!(contexts.token("ops").unwrap(), None);
    }

    #[test]
    fn last_sign_in_is_current_until_another_one_is_chosen() {
        let root = tempfile::tempdir().unwrap();
        let mut contexts = Contexts::open_in(root.path().to_owned()).unwrap();
        contexts.sign_in("one", at("https://one.example.org"), "pm_1").unwrap();
        contexts.sign_in("two", at("https://two.example.org"), "pm_2").unwrap();
        assert_eq!(contexts.current(), Some("two"));
        contexts.make_current("one").unwrap();
        assert!(contexts.make_current("three").is_err());
        let contexts = Contexts::open_in(root.path().to_owned()).unwrap();
        assert_eq!(contexts.current(), Some("one"));
        assert_eq!(contexts.find_by_server("https://two.example.org/").unwrap().name, "two");
        assert!(contexts.find_by_server("https://three.example.org").is_none());
    }

    #[test]
    fn name_is_never_a_path() {
        for name in ["ops", "10.0.0.1-8080", "a_b"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "../x", "a/b", "A", "-x", "a b"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
