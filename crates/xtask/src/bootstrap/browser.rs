//! Node, Chromium, the packages of the console, with which its pages are built and tested, and the identity provider of the tests.

use std::path::{Path, PathBuf};

use super::apt::Apt;
use super::{python, say};
use crate::web;
use crate::workspace::Workspace;

const CHROMIUM: [&str; 2] = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];

/// A machine's own Node is used if it is new enough.
pub fn ensure(workspace: &Workspace, apt: &mut Apt) -> anyhow::Result<String> {
    if web::obstacle(workspace).is_some() {
        python::ensure_node(workspace, apt)?;
    }
    if let Some(obstacle) = web::obstacle(workspace) {
        return Ok(format!("no browser ({obstacle})"));
    }
    web::install(workspace)?;
    web::install_identity_provider(workspace)?;
    if find_chromium().is_none() {
        say("Chromium is missing");
        apt.install(&["chromium"])?;
    }
    Ok("Chromium".to_owned())
}

/// The browser that `PATCH_CHROMIUM` names, or Debian's.
pub fn find_chromium() -> Option<PathBuf> {
    let named = std::env::var_os("PATCH_CHROMIUM").map(PathBuf::from);
    let mut all = named.into_iter().chain(CHROMIUM.map(|path| Path::new(path).to_owned()));
    all.find(|path| path.is_file())
}
