//! A static inventory in the INI form.

use serde_json::Value;

use super::{Inventory, Variables, hosts::expand};

enum Section {
    Hosts(String),
    Children(String),
    Variables(String),
}

/// Whether every line can belong to such an inventory, and one is a section or sets a variable.
pub fn looks_like_ini(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(content).filter(|line| !line.is_empty()).collect();
    let is_section = |line: &str| line.starts_with('[') && line.ends_with(']');
    lines.iter().any(|line| is_section(line) || line.contains('=')) && read(text).is_ok()
}

pub fn read(text: &str) -> Result<Inventory, String> {
    let mut inventory = Inventory::default();
    let mut section = Section::Hosts("ungrouped".to_owned());
    for (number, line) in (1..).zip(text.lines()) {
        let line = content(line);
        if line.is_empty() {
            continue;
        }
        let at = |why: String| format!("line {number}: {why}");
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = section_of(name).map_err(at)?;
            let (Section::Hosts(group) | Section::Children(group) | Section::Variables(group)) = &section;
            inventory.group(group);
            continue;
        }
        match &section {
            Section::Hosts(group) => add_hosts(&mut inventory, group, line, number).map_err(at)?,
            Section::Children(group) => {
                inventory.group(line);
                inventory.group(group).children.insert(line.to_owned());
            }
            Section::Variables(group) => {
                let (name, value) = line
                    .split_once('=')
                    .ok_or_else(|| at(format!("`{}` is not `name=value`", super::shown(line))))?;
                let value = literal(value.trim());
                inventory.group(group).variables.insert(name.trim().to_owned(), value);
            }
        }
    }
    Ok(inventory)
}

/// The line without comments: `#` and `;` at its start, ` #` later on.
fn content(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with(['#', ';']) { "" } else { line.find(" #").map_or(line, |at| &line[..at]).trim() }
}

fn section_of(name: &str) -> Result<Section, String> {
    match name.trim().split_once(':') {
        None => Ok(Section::Hosts(name.trim().to_owned())),
        Some((group, "children")) => Ok(Section::Children(group.to_owned())),
        Some((group, "vars")) => Ok(Section::Variables(group.to_owned())),
        Some((_, other)) => {
            Err(format!("`{}` is not a kind of section; use `children` or `vars`", super::shown(other)))
        }
    }
}

fn add_hosts(inventory: &mut Inventory, group: &str, line: &str, number: u64) -> Result<(), String> {
    let mut words = split(line)?.into_iter();
    let pattern = words.next().unwrap_or_default();
    let mut variables = Variables::new();
    for word in words {
        let (name, value) =
            word.split_once('=').ok_or_else(|| format!("`{}` is not `name=value`", super::shown(&word)))?;
        variables.insert(name.to_owned(), literal(value));
    }
    let (pattern, port) = split_port(&pattern);
    if let Some(port) = port {
        variables.insert("ansible_port".to_owned(), port.into());
    }
    for host in expand(pattern)? {
        inventory.add_host(&host, group, variables.clone());
        inventory.lines.entry(host).or_insert(number);
    }
    Ok(())
}

/// `host:2222`; an IPv6 address has more colons and a range has its own within brackets.
fn split_port(pattern: &str) -> (&str, Option<u16>) {
    match pattern.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) if !host.is_empty() => (host, Some(port)),
            _ => (pattern, None),
        },
        _ => (pattern, None),
    }
}

/// Splits at white space; quotes keep a word together and are removed.
fn split(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(characters.next()),
            (Some(_), other) => word.get_or_insert_default().push(other),
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, space) if space.is_whitespace() => words.extend(word.take()),
            (None, other) => word.get_or_insert_default().push(other),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

/// Values are Python literals where they can be, texts otherwise.
fn literal(text: &str) -> Value {
    match text {
        "True" => true.into(),
        "False" => false.into(),
        "None" => Value::Null,
        _ => {
            let unquoted = [('"', '"'), ('\'', '\'')]
                .iter()
                .find_map(|(open, close)| text.strip_prefix(*open)?.strip_suffix(*close));
            if let Some(text) = unquoted {
                return text.into();
            }
            match serde_json::from_str(text) {
                Ok(value @ (Value::Number(_) | Value::Array(_) | Value::Object(_))) => value,
                _ => text.into(),
            }
        }
    }
}
