//! A static inventory in the INI form. A line that cannot be read is refused on its own.

use serde_json::Value;

use super::{Inventory, Variables, hosts::hosts_of, literal};
use crate::app::import::record::{Refusal, shown};

enum Section {
    Hosts(String),
    Children(String),
    Variables(String),
    /// Below a header that cannot be read: whose the lines are is not known.
    Unreadable,
}

/// Whether the lines belong to such an inventory: one is a section or sets a variable, and most can be read.
pub fn looks_like_ini(text: &str) -> bool {
    let is_sign = |line: &str| header_of(line).is_some() || line.contains('=');
    let lines = || text.lines().map(str::trim).filter(|line| !is_comment(line));
    if !lines().any(is_sign) {
        return false;
    }
    // Markup has `=` too, and another form may be written on one line.
    let Some(first) = lines().next() else { return false };
    if first.starts_with(['<', '{', '-']) || first.ends_with(':') {
        return false;
    }
    let has_section = lines().any(|line| matches!(header_of(line), Some(Ok(_))));
    read(text).is_ok_and(|inventory| {
        let (hosts, faults) = (inventory.hosts.len(), inventory.faults.len());
        hosts > 0 && (has_section || faults <= hosts)
    })
}

pub fn read(text: &str) -> Result<Inventory, String> {
    let mut inventory = Inventory::default();
    let mut section = Section::Hosts("ungrouped".to_owned());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if is_comment(line) {
            continue;
        }
        match header_of(line) {
            Some(Ok(next)) => {
                if let Section::Hosts(group) | Section::Children(group) | Section::Variables(group) = &next {
                    inventory.group(group);
                }
                section = next;
                continue;
            }
            Some(Err(refusal)) => {
                inventory.refuse(number, Some(line), refusal);
                section = Section::Unreadable;
                continue;
            }
            None => {}
        }
        let read = match &section {
            Section::Hosts(group) => add_hosts(&mut inventory, group, line, number)?,
            Section::Children(group) => add_child(&mut inventory, group, line),
            Section::Variables(group) => add_variable(&mut inventory, group, line),
            Section::Unreadable => Err("is below a header that cannot be read".into()),
        };
        if let Err(refusal) = read {
            inventory.refuse(number, line.split_whitespace().next(), refusal);
        }
    }
    Ok(inventory)
}

fn is_comment(line: &str) -> bool {
    line.is_empty() || line.starts_with(['#', ';'])
}

/// A line in brackets: a section, or why it is none. `[2001:db8::6]:22` is a host.
fn header_of(line: &str) -> Option<Result<Section, Refusal>> {
    let rest = line.strip_prefix('[')?;
    let (inside, after) = rest.split_once(']')?;
    let after = after.trim_start();
    if !after.is_empty() && !after.starts_with('#') {
        return None;
    }
    let (group, kind) = inside.split_once(':').map_or((inside, "hosts"), |(group, kind)| (group, kind));
    let is_name = !group.is_empty() && !group.contains(|c: char| c.is_whitespace() || "\"'{}[],".contains(c));
    let group = group.to_owned();
    Some(match kind {
        _ if !is_name => Err(Refusal::from(format!("`[{}]` is not a section", shown(inside)))
            .remedy("write `[group]`, `[group:vars]` or `[group:children]`, without spaces")),
        "hosts" => Ok(Section::Hosts(group)),
        "children" => Ok(Section::Children(group)),
        "vars" => Ok(Section::Variables(group)),
        other => Err(Refusal::from(format!("`{}` is not a kind of section", shown(other)))
            .remedy("use `children` or `vars`; for an IPv6 address with a port, write `[address]:port`")),
    })
}

/// The outer error ends the list, the inner one only this line.
fn add_hosts(
    inventory: &mut Inventory,
    group: &str,
    line: &str,
    number: u64,
) -> Result<Result<(), Refusal>, String> {
    let (hosts, variables) = match definition(line) {
        Ok(definition) => definition,
        Err(refusal) => return Ok(Err(refusal)),
    };
    for host in hosts {
        inventory.add_host(&host, group, variables.clone(), Some(number))?;
    }
    Ok(Ok(()))
}

fn definition(line: &str) -> Result<(Vec<String>, std::rc::Rc<Variables>), Refusal> {
    let mut words = split(line)?.into_iter();
    let (hosts, port) = hosts_of(&words.next().unwrap_or_default())?;
    let mut variables = Variables::new();
    // A variable of the line overrules the port of the pattern, as for Ansible.
    variables.extend(port.map(|port| ("ansible_port".to_owned(), port.into())));
    for word in words {
        let (name, value) = word.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            Refusal::from(format!("`{}` is not `name=value`", shown(&word)))
                .remedy("put values with spaces in quotes: `name='two words'`")
        })?;
        variables.insert(name.to_owned(), literal::parse(value).unwrap_or_else(|| value.into()));
    }
    Ok((hosts, variables.into()))
}

fn add_child(inventory: &mut Inventory, group: &str, line: &str) -> Result<(), Refusal> {
    let child = line.split('#').next().unwrap_or_default().trim();
    if child.is_empty() || child.contains(|c: char| c.is_whitespace() || c == ':' || c == ']') {
        return Err(format!("`{}` is not the name of a group", shown(line)).into());
    }
    inventory.group(child);
    inventory.group(group).children.insert(child.to_owned());
    Ok(())
}

fn add_variable(inventory: &mut Inventory, group: &str, line: &str) -> Result<(), Refusal> {
    let (name, value) =
        line.split_once('=').ok_or_else(|| format!("`{}` is not `name=value`", shown(line)))?;
    inventory.group(group).set(name.trim(), value_of(value.trim()));
    Ok(())
}

/// A literal, or the text without a comment behind it.
fn value_of(text: &str) -> Value {
    if let Some(value) = literal::parse(text) {
        return value;
    }
    let mut quote = None;
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (None, '#') if before.is_whitespace() => return text[..at].trim_end().into(),
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
        before = character;
    }
    text.into()
}

/// Splits at white space as a shell does: quotes keep a word together and are removed, and an unquoted `#` begins a comment.
fn split(line: &str) -> Result<Vec<String>, Refusal> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (Some('"'), '\\') => {
                let word = word.get_or_insert_default();
                match characters.next_if(|next| matches!(next, '"' | '\\')) {
                    Some(escaped) => word.push(escaped),
                    None => word.push('\\'),
                }
            }
            (None, '\\') => word.get_or_insert_default().extend(characters.next()),
            (Some(_), other) => word.get_or_insert_default().push(other),
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '#') => break,
            // Not as a shell: a template with spaces is one value, which is then left out, and the host is not lost.
            (None, '{') if characters.peek() == Some(&'{') => {
                let word = word.get_or_insert_default();
                word.push(character);
                while !word.ends_with("}}")
                    && let Some(next) = characters.next()
                {
                    word.push(next);
                }
            }
            (None, space) if space.is_whitespace() => words.extend(word.take()),
            (None, other) => word.get_or_insert_default().push(other),
        }
    }
    if quote.is_some() {
        return Err(Refusal::from("a quote is not closed")
            .remedy("close it, or write `\\'` for a quote within a value"));
    }
    words.extend(word);
    Ok(words)
}
