//! Commands as operators type them: each is printed after a prompt, with its output.

use std::{
    fs,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::{process::Command, time::timeout};

use super::SiteHost;
use crate::demo::{cast::Cast, real};
use terminal::Failure;

const TIMEOUT: Duration = Duration::from_secs(1800);

/// What a command must end with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Success,
    Failure,
    /// Its end is shown and checked elsewhere.
    Anything,
}

/// The shells of two people, in a folder of their own.
pub struct Shell {
    program: PathBuf,
    folder: PathBuf,
    port_base: u16,
}

impl Shell {
    pub fn new(data_dir: &Path, port_base: u16, cast: &Cast) -> Result<Self, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::new(format!("cannot find the running program: {error}")))?;
        let shell = Self { program, folder: data_dir.join("shell"), port_base };
        shell.write_text("olivia.token", &cast.olivia_token)?;
        shell.write_text("arjun.token", &cast.arjun_token)?;
        Ok(shell)
    }

    pub async fn olivia(&self, arguments: &[&str], expected: Expected) -> Result<(), Failure> {
        self.run("olivia", arguments, expected).await
    }

    pub async fn arjun(&self, arguments: &[&str]) -> Result<(), Failure> {
        self.run("arjun", arguments, Expected::Success).await
    }

    async fn run(&self, person: &str, arguments: &[&str], expected: Expected) -> Result<(), Failure> {
        println!("\n{person}$ patchctl {}", shown(arguments));
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null()).kill_on_drop(true);
        command.env("PATCH_PORT_BASE", self.port_base.to_string());
        command.env("PATCH_TOKEN_FILE", self.folder.join(format!("{person}.token")));
        let ended = timeout(TIMEOUT, command.status()).await;
        let status = match ended {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return Err(Failure::new(format!("cannot run patchctl: {error}"))),
            Err(_) => return Err(Failure::new("the command took too long")),
        };
        let as_expected = match expected {
            Expected::Success => status.success(),
            Expected::Failure => !status.success(),
            Expected::Anything => true,
        };
        if as_expected {
            Ok(())
        } else {
            Err(Failure::new(format!("the demo failed: `patchctl {}` ended with {status}", shown(arguments))))
        }
    }

    /// A command on a host, printed with its output.
    pub async fn host(&self, host: &SiteHost, command: &str) -> Result<String, Failure> {
        println!("\nroot@{}# {command}", host.id);
        let output = real::run_command(&host.id, &host.ssh, command).await?;
        println!("{output}");
        Ok(output)
    }

    pub fn write(&self, name: &str, content: &Value) -> Result<(), Failure> {
        self.write_text(name, &format!("{content:#}\n"))
    }

    /// Only its owner can read it: some are tokens.
    pub fn write_text(&self, name: &str, text: &str) -> Result<(), Failure> {
        let file = self.folder.join(name);
        let written = fs::create_dir_all(file.parent().unwrap_or(&self.folder)).and_then(|()| {
            let options =
                fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&file);
            options.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        });
        written.map_err(|error| Failure::new(format!("cannot write `{}`: {error}", file.display())))
    }
}

/// As a shell would need them.
fn shown(arguments: &[&str]) -> String {
    let quoted = |argument: &&str| {
        if argument.contains(' ') { format!("'{argument}'") } else { (*argument).to_owned() }
    };
    arguments.iter().map(quoted).collect::<Vec<_>>().join(" ")
}
