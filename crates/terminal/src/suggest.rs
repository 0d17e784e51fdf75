//! "Did you mean": the closest of the names that exist.

/// A name must resemble the wanted one at least this much, from 0 to 1.
const RESEMBLANCE: f64 = 0.75;

/// The name that resembles `wanted` most, if one does at all.
pub fn closest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let resemblance = |name: &str| {
        let close = strsim::jaro_winkler(wanted, name);
        // What was typed in part only is still meant.
        if wanted.len() >= 3 && name.contains(wanted) { close.max(0.9) } else { close }
    };
    let scored = names.into_iter().map(|name| (resemblance(name), name));
    let best = scored.filter(|(score, _)| *score >= RESEMBLANCE);
    best.max_by(|(a, first), (b, second)| a.total_cmp(b).then_with(|| second.cmp(first)))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let names = ["policy-rhel9-baseline", "policy-debian", "web-01"];
        assert_eq!(closest("policy-rhel9-basline", names), Some("policy-rhel9-baseline"));
        assert_eq!(closest("debian", names), Some("policy-debian"));
        assert_eq!(closest("web-1", names), Some("web-01"));
        assert_eq!(closest("mainframe", names), None);
    }
}
