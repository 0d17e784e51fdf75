//! Every `patchctl` command of the documents is one that this program accepts.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

use super::Arguments;

const SOME_ID: &str = "018f4e3a-0000-7000-8000-000000000002";

#[derive(Debug, PartialEq)]
enum Mention {
    /// A line to copy.
    Line(Vec<String>),
    /// In running text, where a command may be named without its arguments.
    Inline(Vec<String>),
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md"].iter().map(|name| root.join(name)).collect();
    for folder in ["docs", "docs/adr"] {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        found.extend(
            entries
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|e| e == "md")),
        );
    }
    found
}

fn mentions(text: &str) -> Vec<Mention> {
    let is_block = |line: &&str| line.starts_with("    ");
    let lines = text.lines().filter(is_block).filter_map(|line| {
        let line = line.trim_start();
        let is_command = line.starts_with("patchctl ") || line.starts_with("docker-compose run ");
        let command = line.get(line.find("patchctl ")?..).filter(|_| is_command)?;
        // A diagram has arrows behind the names of crates.
        (!command.starts_with("patchctl --> ")).then(|| Mention::Line(words(command)))
    });
    // Inline code may go on in the next line; between two block lines there is none.
    let prose = text.lines().filter(|line| !is_block(line)).collect::<Vec<_>>().join("\n");
    let inline = prose.split('`').skip(1).step_by(2).filter(|code| code.starts_with("patchctl "));
    let inline: Vec<Mention> = inline.map(|code| Mention::Inline(words(code))).collect();
    lines.chain(inline).collect()
}

/// As a shell would split them, up to a comment or a redirection, with values for placeholders.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for character in command.chars().chain([' ']) {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, _) if character.is_whitespace() => {
                if matches!(word.as_str(), "|" | "<" | ">" | "&&" | ";") || word.starts_with('#') {
                    break;
                }
                // After a word it stands for more of them, after an option for its value.
                let is_more =
                    word == "..." && !words.last().is_some_and(|last: &String| last.starts_with("--"));
                if !word.is_empty() && !is_more {
                    words.push(value(&word));
                }
                word.clear();
            }
            _ => word.push(character),
        }
    }
    words
}

fn value(word: &str) -> String {
    match word {
        "RUN" | "ID" => SOME_ID.to_owned(),
        "SECONDS" => "60".to_owned(),
        "CHG..." => "CHG0000001".to_owned(),
        _ => word.strip_suffix("...").filter(|rest| !rest.is_empty()).unwrap_or(word).to_owned(),
    }
}

#[test]
fn every_documented_command_parses() {
    let mut checked = 0;
    let mut wrong = Vec::new();
    for path in documents() {
        for mention in mentions(&fs::read_to_string(&path).unwrap()) {
            let (words, names_only) = match &mention {
                Mention::Line(words) => (words, false),
                Mention::Inline(words) => (words, true),
            };
            checked += 1;
            let Err(error) = Arguments::try_parse_from(words) else { continue };
            let is_fine = match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
                ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => names_only,
                _ => false,
            };
            if !is_fine {
                wrong.push(format!("{}: `{}`\n{error}", path.display(), words.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 50, "only {checked} commands were found");
}

#[test]
fn commands_are_found_in_blocks_and_in_text() {
    let text = "Use `patchctl run\nresume` or\n\n    patchctl run watch RUN   # until it ends\n    patchctl --> domain\n\
                \x20   docker-compose run --rm -T patchctl policy create -f - < policy.json\n";
    let line = |words: &[&str]| Mention::Line(words.iter().map(|word| (*word).to_owned()).collect());
    assert_eq!(
        mentions(text),
        [
            line(&["patchctl", "run", "watch", SOME_ID]),
            line(&["patchctl", "policy", "create", "-f", "-"]),
            Mention::Inline(vec!["patchctl".into(), "run".into(), "resume".into()]),
        ]
    );
    assert_eq!(words("patchctl a --reason \"b c\" ..."), ["patchctl", "a", "--reason", "b c"]);
    assert_eq!(words("patchctl a --reason \"...\""), ["patchctl", "a", "--reason", "..."]);
}
