//! Patterns that match many hosts: `web[01:50].example.org`, `db-[a:c]:2222`, `[2001:db8::6]:22`.

use crate::app::import::record::shown;

/// Maximum number of hosts of one pattern.
const MAX_EXPANDED: usize = 10_000;

/// The hosts of a pattern with the port that follows it; a text without a range is one host.
pub fn hosts_of(pattern: &str) -> Result<(Vec<String>, Option<u64>), String> {
    let (pattern, port) = split_port(pattern);
    if port.is_none() && pattern.ends_with(':') {
        return Err(format!("`{}` ends with `:`, but no port follows", shown(pattern)));
    }
    Ok((expand(pattern)?, port))
}

/// As Ansible splits it: an address in brackets needs a port after it, and any other text may have one after its last
/// colon if it has no other colon outside of ranges.
fn split_port(pattern: &str) -> (&str, Option<u64>) {
    let Some((host, digits)) = pattern.rsplit_once(':') else { return (pattern, None) };
    if host.is_empty() || digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return (pattern, None);
    }
    // A number that is not a port is kept, and refused with the record.
    let port = Some(digits.parse().unwrap_or(u64::MAX));
    let within = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = within.filter(|address| !address.contains(['[', ']'])) {
        return (address, port);
    }
    let mut is_range = false;
    for character in host.chars() {
        match character {
            '[' => is_range = true,
            ']' => is_range = false,
            ':' if !is_range => return (pattern, None),
            _ => {}
        }
    }
    if is_range { (pattern, None) } else { (host, port) }
}

fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let Some((head, rest)) = pattern.split_once('[') else { return Ok(vec![pattern.to_owned()]) };
    let fail = || format!("`{}` is not a pattern such as `web[01:20]`", shown(pattern));
    let (range, tail) = rest.split_once(']').ok_or_else(fail)?;
    let steps = range_of(range).ok_or_else(fail)?;
    let tails = expand(tail)?;
    if steps.len().saturating_mul(tails.len()) > MAX_EXPANDED {
        return Err(format!("`{}` matches more than {MAX_EXPANDED} hosts", shown(pattern)));
    }
    Ok(steps.iter().flat_map(|step| tails.iter().map(move |tail| format!("{head}{step}{tail}"))).collect())
}

/// `first:last` or `first:last:step`, of numbers (leading zeros kept) or of letters.
fn range_of(range: &str) -> Option<Vec<String>> {
    let parts: Vec<&str> = range.split(':').collect();
    let (first, last, step) = match parts.as_slice() {
        [first, last] => (*first, *last, 1),
        [first, last, step] => (*first, *last, step.parse().ok().filter(|step| *step > 0)?),
        _ => return None,
    };
    let first = if first.is_empty() { "0" } else { first };
    let steps: Vec<String> = match (first.parse::<u32>(), last.parse::<u32>()) {
        (Ok(from), Ok(to)) => {
            let is_padded = first.len() > 1 && first.starts_with('0');
            if is_padded && first.len() != last.len() {
                return None;
            }
            let width = if is_padded { first.len() } else { 0 };
            // One more than allowed is enough to be refused.
            (from..=to).step_by(step).take(MAX_EXPANDED + 1).map(|n| format!("{n:0width$}")).collect()
        }
        _ => {
            let letters = ('a'..='z').chain('A'..='Z');
            let place = |text: &str| {
                let mut characters = text.chars();
                let letter = characters.next().filter(|_| characters.next().is_none())?;
                letters.clone().position(|other| other == letter)
            };
            let (from, to) = (place(first)?, place(last)?);
            let count = to.checked_sub(from)? + 1;
            letters.clone().skip(from).take(count).step_by(step).map(|letter| letter.to_string()).collect()
        }
    };
    (!steps.is_empty()).then_some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_as_ansible_reads_them() {
        for (pattern, expected, port) in [
            ("web", vec!["web"], None),
            ("web:2222", vec!["web"], Some(2222)),
            ("db-[a:c].x:2222", vec!["db-a.x", "db-b.x", "db-c.x"], Some(2222)),
            ("n[08:12:2]-[1:2]", vec!["n08-1", "n08-2", "n10-1", "n10-2", "n12-1", "n12-2"], None),
            ("[2001:db8::6]:2222", vec!["2001:db8::6"], Some(2222)),
            ("2001:db8::6", vec!["2001:db8::6"], None),
            ("[192.0.2.7]:22", vec!["192.0.2.7"], Some(22)),
            ("x[:2]", vec!["x0", "x1", "x2"], None),
            ("x[y:A]", vec!["xy", "xz", "xA"], None),
        ] {
            let expected = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(hosts_of(pattern), Ok((expected, port)), "{pattern}");
        }
        for pattern in
            ["web[1:", "web[3:1]", "web[01:100]", "web[1:99999]", "web[a:bb]", "web:", "w[1]", "w[é:z]"]
        {
            assert!(hosts_of(pattern).is_err(), "{pattern}");
        }
    }
}
