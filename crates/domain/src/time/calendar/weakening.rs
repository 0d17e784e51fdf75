//! What becomes weaker when entries are added or removed: pure rules.

use chrono::{DateTime, Utc};

use super::{Effect, Freeze, FreezeCalendar, Span};

impl Freeze {
    /// What is weaker without this entry. A freeze that has ended for good denies nothing any more. An allowance counts even then:
    /// outside of it, its hosts are not changed.
    fn weakened_by_removal(&self, now: DateTime<Utc>) -> Option<String> {
        let ahead = Span { starts: now, ends: DateTime::<Utc>::MAX_UTC };
        match self.effect {
            Effect::Deny if self.first_overlap(ahead).is_none() => None,
            Effect::Deny => Some(format!("the freeze `{}` no longer denies changes", self.name)),
            Effect::Allow => Some(format!("changes are no longer limited to `{}`", self.name)),
        }
    }

    /// Whether a host may be in the scope of both.
    fn may_share_hosts(&self, other: &Self) -> bool {
        self.scope.iter().all(|(key, value)| other.scope.get(key).is_none_or(|theirs| theirs == value))
    }
}

impl FreezeCalendar {
    /// What is weaker without these entries, one sentence each.
    pub fn weakened_by_removal(&self, now: DateTime<Utc>) -> Vec<String> {
        self.entries().iter().filter_map(|entry| entry.weakened_by_removal(now)).collect()
    }

    /// What is weaker with the entries of `added`, too. A freeze only denies; an allowance gives more time to the hosts that have
    /// another one already.
    pub fn weakened_by_addition(&self, added: &Self) -> Vec<String> {
        let is_allowance = |entry: &&Freeze| entry.effect == Effect::Allow;
        let widens =
            |new: &&Freeze| self.entries().iter().filter(is_allowance).any(|old| old.may_share_hosts(new));
        let new = added.entries().iter().filter(is_allowance).filter(widens);
        new.map(|entry| format!("`{}` allows changes outside of the other allowances", entry.name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn calendar(entries: Value) -> FreezeCalendar {
        serde_json::from_value(entries).unwrap()
    }

    fn entry(uid: &str, effect: &str, scope: Value) -> Value {
        json!({ "uid": uid, "name": uid, "effect": effect, "scope": scope,
            "starts": "2026-04-10T00:00:00Z", "ends": "2026-04-12T00:00:00Z" })
    }

    #[test]
    fn removal_weakens_until_the_freeze_has_ended() {
        let both = calendar(json!([entry("sale", "deny", json!({})), entry("nights", "allow", json!({}))]));
        let at = |text: &str| both.weakened_by_removal(text.parse().unwrap());
        assert_eq!(
            at("2026-04-11T00:00:00Z"),
            ["the freeze `sale` no longer denies changes", "changes are no longer limited to `nights`"]
        );
        assert_eq!(at("2026-04-12T00:00:00Z"), ["changes are no longer limited to `nights`"]);
        let mut yearly = entry("yearly", "deny", json!({}));
        yearly["recurrence"] = json!({ "frequency": "yearly" });
        let yearly = calendar(json!([yearly]));
        assert_eq!(yearly.weakened_by_removal("2031-01-01T00:00:00Z".parse().unwrap()).len(), 1);
    }

    #[test]
    fn only_a_further_allowance_for_the_same_hosts_weakens() {
        let none = FreezeCalendar::default();
        let nights = calendar(json!([entry("nights", "allow", json!({ "tier": "db" }))]));
        let always = |scope: Value| calendar(json!([entry("always", "allow", scope)]));
        let freeze = calendar(json!([entry("sale", "deny", json!({}))]));
        assert_eq!(none.weakened_by_addition(&nights), Vec::<String>::new());
        assert_eq!(nights.weakened_by_addition(&freeze), Vec::<String>::new());
        assert_eq!(freeze.weakened_by_addition(&nights), Vec::<String>::new());
        assert_eq!(nights.weakened_by_addition(&always(json!({ "tier": "web" }))), Vec::<String>::new());
        for scope in [json!({}), json!({ "tier": "db" }), json!({ "env": "prod" })] {
            assert_eq!(nights.weakened_by_addition(&always(scope)).len(), 1);
        }
    }
}
