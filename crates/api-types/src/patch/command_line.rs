//! Commands as one line of text. No shell reads them: what only a shell understands is refused with its position.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A command as a list of arguments, or as one line of arguments separated by blanks. No shell reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum CommandLine {
    Line(String),
    Words(Vec<String>),
}

/// Characters that only a shell interprets.
const SHELL: &[char] = &[
    '|', '&', ';', '<', '>', '(', ')', '$', '`', '\\', '"', '\'', '*', '?', '{', '}', '~', '#', '\n', '\r',
    '\0',
];
const AND: &str = "&&";

/// Why a line is not a list of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCommands {
    /// The position counts characters from 1.
    Shell {
        character: char,
        position: usize,
    },
    Empty {
        position: usize,
    },
}

impl fmt::Display for NotCommands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell { character, position } => {
                let character = character.escape_default();
                write!(f, "has `{character}` at character {position}, which needs a shell, and none is used")
            }
            Self::Empty { position } => write!(f, "has no command before character {position}"),
        }
    }
}

impl CommandLine {
    /// Program and arguments; `None` if reading it needs a shell.
    pub fn words(&self) -> Option<Vec<String>> {
        let words = match self {
            Self::Words(words) => words.clone(),
            Self::Line(line) => match split_commands(line).ok()?.as_slice() {
                [words] => words.clone(),
                _ => return None,
            },
        };
        words.first().is_some_and(|program| !program.trim().is_empty()).then_some(words)
    }
}

/// The commands of a line in which `&&` stands between commands: the next one runs when the one before it has succeeded. Words
/// are separated by blanks.
pub fn split_commands(line: &str) -> Result<Vec<Vec<String>>, NotCommands> {
    let mut commands = Vec::new();
    let mut begin = 0;
    let position = |at: usize| line[..at].chars().count() + 1;
    for part in line.split(AND) {
        if let Some((at, character)) = part.char_indices().find(|(_, character)| SHELL.contains(character)) {
            return Err(NotCommands::Shell { character, position: position(begin + at) });
        }
        let words: Vec<String> = part.split_whitespace().map(str::to_owned).collect();
        let end = begin + part.len();
        if words.is_empty() {
            return Err(NotCommands::Empty { position: position(end) });
        }
        commands.push(words);
        begin = end + AND.len();
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn and_stands_between_commands() {
        let commands = split_commands(" /opt/fetch --all&& /opt/apply  -y ").unwrap();
        assert_eq!(commands, [vec!["/opt/fetch", "--all"], vec!["/opt/apply", "-y"]]);
    }

    #[test]
    fn other_syntax_of_a_shell_is_refused_with_its_position() {
        for (line, character, position) in [
            ("/opt/a | sh", '|', 8),
            ("/opt/a; b", ';', 7),
            ("/opt/ä && b $(c)", '$', 13),
            ("/opt/a &", '&', 8),
            ("/opt/a &&& b", '&', 10),
            ("/opt/a || b", '|', 8),
            ("/opt/a \"b c\"", '"', 8),
            ("/opt/a\nb", '\n', 7),
        ] {
            assert_eq!(split_commands(line), Err(NotCommands::Shell { character, position }), "{line}");
        }
        let error = split_commands("a\nb").unwrap_err().to_string();
        assert_eq!(error, "has `\\n` at character 2, which needs a shell, and none is used");
    }

    #[test]
    fn empty_commands_are_refused() {
        for (line, position) in [("", 1), ("&& a", 1), ("a &&", 5), ("a && && b", 6)] {
            assert_eq!(split_commands(line), Err(NotCommands::Empty { position }), "{line}");
        }
    }

    #[test]
    fn script_is_one_command() {
        let words = |line: &str| CommandLine::Line(line.to_owned()).words();
        assert_eq!(words("/opt/a --b").unwrap(), ["/opt/a", "--b"]);
        for line in ["a && b", "a; b", " "] {
            assert_eq!(words(line), None, "{line}");
        }
    }
}
