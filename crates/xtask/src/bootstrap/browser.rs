//! Chromium and the packages of the console, with which its pages are tested.

use std::path::Path;

use super::apt::Apt;
use super::say;
use crate::web;
use crate::workspace::Workspace;

const CHROMIUM: [&str; 2] = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];

/// Without Node there is nothing that could drive a browser, so none is installed.
pub fn ensure(workspace: &Workspace, apt: &mut Apt) -> anyhow::Result<String> {
    if let Some(obstacle) = web::obstacle() {
        return Ok(format!("no browser ({obstacle})"));
    }
    web::install(workspace)?;
    let is_named = std::env::var_os("PATCH_CHROMIUM").is_some_and(|path| Path::new(&path).is_file());
    if !is_named && !CHROMIUM.iter().any(|path| Path::new(path).is_file()) {
        say("Chromium is missing");
        apt.install(&["chromium"])?;
    }
    Ok("Chromium".to_owned())
}
