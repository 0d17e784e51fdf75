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

const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Maximum length of the output in an error: its end.
const MAX_OUTPUT: usize = 600;

/// Runs a program to its end and returns what it printed.
pub fn run(command: &mut Command, deadline: Duration) -> Result<String, FleetError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |output: String| FleetError::Program { program: program.clone(), output };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let group = i32::try_from(child.id()).map(Pid::from_raw);
    let (stdout, stderr) = (read_in_background(child.stdout.take()), read_in_background(child.stderr.take()));
    let until = Instant::now() + deadline;
    let status = loop {
        match child.try_wait().map_err(|error| failed(error.to_string()))? {
            Some(status) => break status,
            None if Instant::now() >= until => {
                if let Ok(group) = group {
                    // Fails only if the process has just ended.
                    let _ = killpg(group, Signal::SIGKILL);
                }
                let _ = child.wait();
                return Err(FleetError::Timeout { program, after: deadline });
            }
            None => sleep(POLL_INTERVAL),
        }
    };
    let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    if status.success() {
        Ok(stdout)
    } else if stderr.trim().is_empty() {
        Err(failed(status.to_string()))
    } else {
        Err(failed(tail(&stderr, MAX_OUTPUT)))
    }
}

/// Runs `program arguments...` within ten seconds.
pub fn quick(program: &str, arguments: &[&str]) -> Result<String, FleetError> {
    run(Command::new(program).args(arguments), Duration::from_secs(10))
}

/// The end of a text, at most `max` bytes.
pub fn tail(text: &str, max: usize) -> String {
    let text = text.trim();
    let start = text.ceil_char_boundary(text.len().saturating_sub(max));
    text[start..].to_owned()
}

/// Reads to the end in another thread, so that no pipe fills up.
fn read_in_background(stream: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // After an error, the bytes read so far are all there is to report.
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
