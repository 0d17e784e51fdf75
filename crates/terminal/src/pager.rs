//! Shows a long table in a pager, like `git` and `man` do. Only on a terminal.

use std::io::Write;
use std::process::{Command, Stdio};

use tokio::signal::unix::{SignalKind, signal};

/// Shows a text in the pager of the user. `false` if there is none, or it cannot be started: the caller prints the text.
pub fn show(text: &str) -> bool {
    let variable = |name| std::env::var(name).ok();
    let Some(words) = words(variable("PATCHCTL_PAGER"), variable("PAGER")) else { return false };
    let Some((program, arguments)) = words.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Leave at once if it fits, keep colours, and leave the text on the screen.
        command.env("LESS", "FRX");
    }
    let Ok(mut pager) = command.spawn() else { return false };
    // Ctrl-C belongs to the pager, which stays: while somebody listens here, it does not end this process.
    let _held = signal(SignalKind::interrupt());
    if let Some(mut input) = pager.stdin.take() {
        // A pager that was left early does not read the rest.
        let _ = input.write_all(text.as_bytes());
    }
    pager.wait().is_ok()
}

/// The pager and its arguments: never run by a shell. An empty choice, or `cat`, is none.
fn words(own: Option<String>, usual: Option<String>) -> Option<Vec<String>> {
    let chosen = own.or(usual).unwrap_or_else(|| "less".to_owned());
    let words = shlex::split(&chosen)?;
    words.first().is_some_and(|program| program != "cat").then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pager_is_a_list_of_words_and_own_choice_comes_first() {
        let of = |own: Option<&str>, usual: Option<&str>| words(own.map(Into::into), usual.map(Into::into));
        assert_eq!(of(None, None).unwrap(), ["less"]);
        assert_eq!(of(Some("less -S '-P a b'"), Some("more")).unwrap(), ["less", "-S", "-P a b"]);
        assert_eq!(of(None, Some("more; touch x")).unwrap(), ["more;", "touch", "x"]);
        assert_eq!(of(Some(""), Some("less")), None);
        assert_eq!(of(None, Some("cat")), None);
        assert_eq!(of(Some("less 'a"), None), None);
    }
}
