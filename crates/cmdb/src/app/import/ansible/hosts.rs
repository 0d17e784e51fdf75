//! Patterns that match many hosts: `web[01:50].example.org`, `db-[a:c]`.

/// Maximum number of hosts of one pattern.
const MAX_EXPANDED: usize = 10_000;

/// The hosts of a pattern; a text without brackets is one host.
pub fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let Some((head, rest)) = pattern.split_once('[') else { return Ok(vec![pattern.to_owned()]) };
    let fail = || format!("`{}` is not a pattern such as `web[01:20]`", super::shown(pattern));
    let (range, tail) = rest.split_once(']').ok_or_else(fail)?;
    let steps = range_of(range).ok_or_else(fail)?;
    let tails = expand(tail)?;
    if steps.len().saturating_mul(tails.len()) > MAX_EXPANDED {
        return Err(format!("`{}` matches more than {MAX_EXPANDED} hosts", super::shown(pattern)));
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
    let steps: Vec<String> = match (first.parse::<u32>(), last.parse::<u32>()) {
        (Ok(from), Ok(to)) => {
            let width = if first.starts_with('0') { first.len() } else { 0 };
            // One more than allowed is enough to be refused.
            (from..=to).step_by(step).take(MAX_EXPANDED + 1).map(|n| format!("{n:0width$}")).collect()
        }
        _ => {
            let letter = |text: &str| match text.as_bytes() {
                [letter] if letter.is_ascii_alphabetic() => Some(*letter),
                _ => None,
            };
            (letter(first)?..=letter(last)?)
                .step_by(step)
                .map(|letter| char::from(letter).to_string())
                .collect()
        }
    };
    (!steps.is_empty()).then_some(steps)
}
