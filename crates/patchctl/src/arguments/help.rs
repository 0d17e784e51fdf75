//! The command line as it presents itself: commands in groups, each with an example.

use clap::{Command, CommandFactory};

use super::Arguments;
use super::examples::EXAMPLES;

/// Every command, in the group where one looks for it.
const GROUPS: [(&str, &[&str]); 7] = [
    ("Start", &["up", "demo", "login", "logout", "whoami", "context", "doctor", "health"]),
    ("Fleet", &["ci", "relationship", "inventory", "package", "search", "vm", "fault", "repository"]),
    ("Compliance", &["compliance", "policy", "advisory", "feed", "exception"]),
    ("Runs", &["run", "plan", "simulate", "predictions", "schedule"]),
    ("Change control", &["change", "incident", "problem", "notification", "calendar"]),
    ("Releases", &["release"]),
    (
        "Platform",
        &[
            "token",
            "person",
            "proposal",
            "webhook",
            "audit",
            "backup",
            "restore",
            "explain",
            "completions",
            "version",
            "help",
        ],
    ),
];

/// The command line with its groups and examples.
pub fn command() -> Command {
    let root = with_examples(Arguments::command(), "");
    let commands = groups(&root);
    root.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{commands}Global options:\n{{options}}{{after-help}}"
    ))
}

fn groups(root: &Command) -> String {
    let about = |name: &str| match name {
        "help" => "Print the help of a command".to_owned(),
        name => root
            .find_subcommand(name)
            .and_then(Command::get_about)
            .map(ToString::to_string)
            .unwrap_or_default(),
    };
    let lines = |names: &[&str]| -> String {
        names.iter().map(|name| format!("  {name:<14} {}\n", about(name))).collect()
    };
    GROUPS.iter().map(|(title, names)| format!("{title}:\n{}\n", lines(names))).collect()
}

/// Adds the example of each command that has none of its own.
fn with_examples(command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    let command = names.iter().fold(command, |command, name| {
        let path = format!("{path} {name}").trim_start().to_owned();
        command.mut_subcommand(name, |inner| with_examples(inner, &path))
    });
    let has_own = command.get_after_help().is_some() || command.get_after_long_help().is_some();
    match EXAMPLES.iter().find(|(one, _)| *one == path) {
        Some((_, example)) if !has_own => command.after_help(format!("Example:\n  patchctl {example}")),
        _ => command,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Each command without subcommands, and those that also work without one.
    fn leaves(command: &Command, path: &str) -> Vec<(String, bool)> {
        let inner = command.get_subcommands().filter(|inner| !inner.is_hide_set());
        let below: Vec<_> = inner
            .flat_map(|inner| leaves(inner, format!("{path} {}", inner.get_name()).trim_start()))
            .collect();
        if below.is_empty() {
            let help = command.get_after_help().or(command.get_after_long_help());
            return vec![(path.to_owned(), help.is_some_and(|help| help.to_string().contains("xample")))];
        }
        below
    }

    #[test]
    fn every_command_is_in_one_group() {
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let unique: BTreeSet<&str> = grouped.iter().copied().collect();
        assert_eq!(unique.len(), grouped.len());
        let root = Arguments::command();
        let mut all: BTreeSet<&str> =
            root.get_subcommands().filter(|one| !one.is_hide_set()).map(Command::get_name).collect();
        all.insert("help");
        assert_eq!(unique, all);
    }

    #[test]
    fn every_command_has_an_example() {
        let without: Vec<String> =
            leaves(&command(), "").into_iter().filter(|(_, has)| !has).map(|(path, _)| path).collect();
        assert!(without.is_empty(), "{without:?}");
    }

    #[test]
    fn every_example_is_accepted_and_is_of_its_command() {
        for (path, example) in EXAMPLES {
            assert!(example.starts_with(path), "{path}: {example}");
            let first = example.split(" > ").next().unwrap_or_default();
            let words = std::iter::once("patchctl".to_owned()).chain(shlex::split(first).unwrap());
            let result = command().try_get_matches_from(words);
            assert!(result.is_ok(), "{example}: {}", result.unwrap_err());
        }
    }

    #[test]
    fn tables_of_hints_name_commands_that_exist() {
        let root = command();
        let exists = |path: &str| {
            path.split(' ').try_fold(&root, |command, name| command.find_subcommand(name)).is_some()
        };
        for path in terminal::hinted_commands() {
            assert!(exists(path), "{path}");
        }
    }

    #[test]
    fn help_shows_groups_in_order() {
        let help = command().render_help().to_string();
        let mut rest = help.as_str();
        for (title, _) in GROUPS {
            let at = rest.find(&format!("\n{title}:\n")).unwrap_or_else(|| panic!("{title} in {help}"));
            rest = &rest[at + title.len()..];
        }
        assert!(rest.contains("Global options"), "{help}");
    }
}
