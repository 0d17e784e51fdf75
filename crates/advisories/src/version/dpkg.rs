//! dpkg: `[epoch:]upstream[-revision]`, refused exactly where `dpkg --validate-version` refuses.

use debversion::Version;

pub(super) fn parse(text: &str) -> Result<Version, &'static str> {
    let text = text.trim_matches([' ', '\t']);
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.contains([' ', '\t']) {
        return Err("it contains a space");
    }
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) => (Some(parse_epoch(epoch)?), rest),
        None => (None, text),
    };
    if rest.is_empty() {
        return Err("nothing follows the epoch");
    }
    let (upstream, revision) = match rest.rsplit_once('-') {
        Some((upstream, revision)) => (upstream, Some(revision)),
        None => (rest, None),
    };
    check_upstream(upstream)?;
    if let Some(revision) = revision {
        check_revision(revision)?;
    }
    Ok(Version {
        epoch,
        upstream_version: with_last_number(upstream),
        debian_revision: revision.map(with_last_number),
    })
}

/// dpkg compares text and number in turns, and a number that is not there is 0: `5.1.` equals `5.1.0`, and `2a` equals `2a0`. The
/// crate takes them for different, so the number is written out.
fn with_last_number(part: &str) -> String {
    let is_complete = part.ends_with(|c: char| c.is_ascii_digit());
    if is_complete || part.is_empty() { part.to_owned() } else { format!("{part}0") }
}

/// dpkg reads the epoch with `strtol`, which accepts a sign, and limits it to `INT_MAX`.
fn parse_epoch(text: &str) -> Result<u32, &'static str> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if text.is_empty() {
        return Err("its epoch is empty");
    }
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("its epoch is not a number");
    }
    match digits.trim_start_matches('0') {
        "" => Ok(0),
        significant => significant
            .parse::<i32>()
            .map(i32::unsigned_abs)
            .map_err(|_| "its epoch is larger than 2147483647"),
    }
}

fn check_upstream(upstream: &str) -> Result<(), &'static str> {
    if upstream.is_empty() {
        return Err("its upstream version is empty");
    }
    if !upstream.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("its upstream version does not start with a digit");
    }
    if !upstream.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+.~:".contains(&b)) {
        return Err("its upstream version has a character other than letters, digits and `-+.~:`");
    }
    Ok(())
}

fn check_revision(revision: &str) -> Result<(), &'static str> {
    if revision.is_empty() {
        return Err("its revision is empty");
    }
    if !revision.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.~".contains(&b)) {
        return Err("its revision has a character other than letters, digits and `+.~`");
    }
    Ok(())
}
