//! Programs of the machine, each with a deadline.

use std::{
    io::Read,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::FleetError;

const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What is told of a program that failed: the end of what it said.
const MOST_SAID: usize = 600;

/// Runs a program to its end and returns what it printed.
pub fn run(command: &mut Command, deadline: Duration) -> Result<String, FleetError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |said: String| FleetError::Program { program: program.clone(), said };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let group = i32::try_from(child.id()).map(Pid::from_raw);
    let (printed, complained) = (read_along(child.stdout.take()), read_along(child.stderr.take()));
    let until = Instant::now() + deadline;
    let status = loop {
        match child.try_wait().map_err(|error| failed(error.to_string()))? {
            Some(status) => break status,
            None if Instant::now() >= until => {
                if let Ok(group) = group {
                    // It may have ended this very moment; then there is nobody left to kill.
                    let _ = killpg(group, Signal::SIGKILL);
                }
                let _ = child.wait();
                return Err(FleetError::Slow { program, after: deadline });
            }
            None => sleep(LOOK_EVERY),
        }
    };
    let (printed, complained) = (printed.join().unwrap_or_default(), complained.join().unwrap_or_default());
    match status.success() {
        true => Ok(printed),
        false if complained.trim().is_empty() => Err(failed(format!("it ended with {status}"))),
        false => Err(failed(end_of(&complained, MOST_SAID))),
    }
}

/// `program arguments...`, within ten seconds.
pub fn quick(program: &str, arguments: &[&str]) -> Result<String, FleetError> {
    run(Command::new(program).args(arguments), Duration::from_secs(10))
}

/// The last part of a text, of at most `most` bytes.
pub fn end_of(text: &str, most: usize) -> String {
    let text = text.trim();
    let start = text.ceil_char_boundary(text.len().saturating_sub(most));
    text[start..].to_owned()
}

/// Reads to the end beside the caller, so that no pipe fills up.
fn read_along(stream: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read until an error is all there is to tell.
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
