//! Standard output and standard error.

use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::{
    colour,
    failure::{CommandResult, Failure, OK},
};

/// Prints a text and a line break at its end. A reader that closes the pipe (`| head`) is not an error.
pub fn print(text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        return Ok(());
    }
    let mut output = io::stdout().lock();
    let written = output
        .write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { output.write_all(b"\n") })
        .and_then(|()| output.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::new(format!("cannot write the answer: {error}"))),
    }
}

/// Prints a remark for people on standard error; programs read only standard output.
pub fn note(text: &str) {
    eprintln!("{text}");
}

/// Prints what the answer could not say: how to get what was probably meant, or what comes next.
pub fn hint(text: &str) {
    note(&format!("{} {text}", colour::hint_label()));
}

/// Ends a command that has no answer with a remark.
pub fn done(text: &str) -> CommandResult {
    note(text);
    OK
}

pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}
