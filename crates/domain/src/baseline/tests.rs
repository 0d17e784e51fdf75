use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn baseline(fields: serde_json::Value) -> Baseline {
    serde_json::from_value(fields).unwrap()
}

fn rules(fields: serde_json::Value) -> BaselineRules {
    BaselineRules { baseline: baseline(fields), level: None }
}

/// A security notice of `zlib`, high, published on 1 June at noon.
fn fix() -> Fix<'static> {
    Fix {
        package: "zlib",
        classification: Classification::Security,
        severity: Severity::High,
        exploited: false,
        published: Published::At(at("2026-06-01T12:00:00Z")),
    }
}

fn rule_of(rules: &BaselineRules, fix: &Fix<'_>, now: &str) -> Option<BaselineRule> {
    rules.judge(fix, at(now)).exclusion().map(|exclusion| exclusion.rule())
}

const LATER: &str = "2026-09-01T00:00:00Z";

#[test]
fn every_fix_belongs_to_the_default_baseline() {
    let rules = BaselineRules::default();
    for classification in Classification::ALL {
        for severity in Severity::ALL {
            let unknown = Published::Unknown { first_imported: at(LATER) };
            for published in [fix().published, unknown, Published::At(at("2031-01-01T00:00:00Z"))] {
                let fix = Fix { classification, severity, published, ..fix() };
                assert_eq!(rules.judge(&fix, at(LATER)), Verdict::INCLUDED, "{fix:?}");
            }
        }
    }
}

#[test]
fn each_rule_leaves_out_what_it_is_about() {
    use BaselineRule as R;
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let bugfix = Fix { classification: Classification::Bugfix, severity: Severity::None, ..fix() };
    let low = Fix { severity: Severity::Low, ..fix() };
    let unrated = Fix { severity: Severity::Unknown, ..fix() };
    let harmless = Fix { severity: Severity::None, ..fix() };
    let kernel = Fix { package: "kernel-core", ..fix() };
    for (fields, fix, rule) in [
        (r#"{"classifications": ["security"]}"#, fix(), None),
        (r#"{"classifications": ["security"]}"#, bugfix, Some(R::Classification)),
        (r#"{"classifications": ["bugfix", "enhancement"]}"#, fix(), Some(R::Classification)),
        (r#"{"minimum_severity": "high"}"#, fix(), None),
        (r#"{"minimum_severity": "critical"}"#, fix(), Some(R::Severity)),
        (r#"{"minimum_severity": "medium"}"#, low, Some(R::Severity)),
        (r#"{"minimum_severity": "low"}"#, low, None),
        (r#"{"minimum_severity": "low"}"#, harmless, Some(R::Severity)),
        (r#"{"minimum_severity": "critical"}"#, unrated, None),
        (r#"{"minimum_severity": "critical"}"#, bugfix, None),
        (r#"{"deny": [{"glob": "kernel*", "reason": "r"}]}"#, fix(), None),
        (r#"{"deny": [{"glob": "kernel*", "reason": "r"}]}"#, kernel, Some(R::Denied)),
        (r#"{"allow": [{"glob": "kernel*", "reason": "r"}]}"#, fix(), Some(R::NotAllowed)),
        (r#"{"allow": [{"glob": "kernel*", "reason": "r"}]}"#, kernel, None),
        (
            r#"{"allow": [{"glob": "kernel*", "reason": "r"}], "deny": [{"glob": "kernel-core", "reason": "r"}]}"#,
            kernel,
            Some(R::Denied),
        ),
    ] {
        assert_eq!(rule_of(&rules(json(fields)), &fix, LATER), rule, "{fields} {fix:?}");
    }
}

#[test]
fn notice_becomes_old_enough_to_the_second() {
    let rules = rules(serde_json::json!({ "approve_after_days": 7 }));
    for (now, rule) in [
        ("2026-06-01T12:00:00Z", Some(BaselineRule::Age)),
        ("2026-06-08T11:59:59Z", Some(BaselineRule::Age)),
        ("2026-06-08T12:00:00Z", None),
        ("2027-06-08T12:00:00Z", None),
    ] {
        assert_eq!(rule_of(&rules, &fix(), now), rule, "{now}");
    }
    let exclusion = rules.judge(&fix(), at("2026-06-02T00:00:00Z")).exclusion().unwrap();
    assert_eq!(exclusion.until(), Some(at("2026-06-08T12:00:00Z")));
    assert_eq!(
        exclusion.explanation(),
        "published less than 7 days ago; it belongs to the baseline from 2026-06-08 12:00 UTC"
    );
    // Nothing panics at the end of the calendar.
    let last = Fix { published: Published::At(DateTime::<Utc>::MAX_UTC), ..fix() };
    assert_eq!(rule_of(&rules, &last, LATER), Some(BaselineRule::Age));
}

#[test]
fn exploited_vulnerability_overrides_severity_and_age_and_nothing_else() {
    use BaselineRule as R;
    let now = "2026-06-01T13:00:00Z";
    let exploited = Fix { severity: Severity::Low, exploited: true, ..fix() };
    let strict = |fields: serde_json::Value| {
        let mut all = serde_json::json!({ "minimum_severity": "critical", "approve_after_days": 30 });
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        rules(all)
    };
    let none = serde_json::json!({});
    assert_eq!(rule_of(&strict(none.clone()), &exploited, now), None);
    assert_eq!(rule_of(&strict(none), &Fix { exploited: false, ..exploited }, now), Some(R::Severity));
    let off = strict(serde_json::json!({ "known_exploited_at_once": false }));
    assert_eq!(rule_of(&off, &exploited, now), Some(R::Severity));
    let denied = strict(serde_json::json!({ "deny": [{ "glob": "z*", "reason": "r" }] }));
    assert_eq!(rule_of(&denied, &exploited, now), Some(R::Denied));
    let others = strict(serde_json::json!({ "classifications": ["bugfix"] }));
    assert_eq!(rule_of(&others, &exploited, now), Some(R::Classification));
    let level = BaselineRules { level: Some("2026-05".parse().unwrap()), ..BaselineRules::default() };
    assert_eq!(rule_of(&level, &exploited, now), Some(R::PatchLevel));
}

#[test]
fn unknown_date_counts_as_old_enough_and_says_so() {
    let unknown =
        Fix { published: Published::Unknown { first_imported: at("2026-06-01T12:00:00Z") }, ..fix() };
    let aged = rules(serde_json::json!({ "approve_after_days": 30 }));
    let verdict = aged.judge(&unknown, at("2026-06-01T12:00:00Z"));
    assert_eq!(verdict, Verdict::Included { unknown: &[BaselineRule::Age] });
    let both = rules(serde_json::json!({ "approve_after_days": 30, "minimum_severity": "high" }));
    let unrated = Fix { severity: Severity::Unknown, ..unknown };
    let verdict = both.judge(&unrated, at("2026-06-01T12:00:00Z"));
    assert_eq!(verdict, Verdict::Included { unknown: &[BaselineRule::Severity, BaselineRule::Age] });
    // A level is a list that somebody tested: what came later is not on it.
    let level = BaselineRules { level: Some("2026-05-31".parse().unwrap()), ..BaselineRules::default() };
    let exclusion = level.judge(&unknown, at(LATER)).exclusion().unwrap();
    assert_eq!(
        exclusion.explanation(),
        "its publication date is unknown, and it was first imported 2026-06-01, after the patch level 2026-05-31"
    );
}

#[test]
fn exclusions_say_what_the_rule_compares() {
    let denied = rules(serde_json::json!({ "deny": [{ "glob": "z*", "reason": "the vendor patches it" }] }));
    let text = |rules: &BaselineRules, fix: &Fix<'_>| {
        rules.judge(fix, at("2026-06-02T00:00:00Z")).exclusion().unwrap().explanation()
    };
    assert_eq!(text(&denied, &fix()), "denied by glob `z*`: the vendor patches it");
    let severe = rules(serde_json::json!({ "minimum_severity": "critical" }));
    assert_eq!(text(&severe, &fix()), "its severity `high` is below `critical`");
    let level = BaselineRules { level: Some("2026-05".parse().unwrap()), ..BaselineRules::default() };
    assert_eq!(text(&level, &fix()), "published 2026-06-01, after the patch level 2026-05");
}

#[test]
fn default_is_not_written_and_reads_back() {
    assert_eq!(serde_json::to_value(Baseline::default()).unwrap(), serde_json::json!({}));
    assert_eq!(baseline(serde_json::json!({})), Baseline::default());
    let written = serde_json::json!({ "classifications": ["security"], "minimum_severity": "medium",
        "approve_after_days": 7, "known_exploited_at_once": false,
        "allow": [{ "glob": "lib*", "reason": "a" }], "deny": [{ "glob": "kernel*", "reason": "b" }] });
    assert_eq!(serde_json::to_value(baseline(written.clone())).unwrap(), written);
    assert!(serde_json::from_str::<Baseline>(r#"{"denied": []}"#).is_err());
}

#[test]
fn faults_name_the_field_and_what_to_do() {
    for (fields, pointer, hint) in [
        (serde_json::json!({ "classifications": [] }), "/classifications", "leave it out for all"),
        (serde_json::json!({ "classifications": ["bugfix", "bugfix"] }), "/classifications", "twice"),
        (serde_json::json!({ "minimum_severity": "unknown" }), "/minimum_severity", "must be `low`"),
        (serde_json::json!({ "approve_after_days": 366 }), "/approve_after_days", "0 to 365"),
        (serde_json::json!({ "deny": [{ "glob": "a*", "reason": " " }] }), "/deny/0/reason", "write why"),
        (serde_json::json!({ "allow": [{ "glob": "a*", "reason": "a\nb" }] }), "/allow/0/reason", "one line"),
        (
            serde_json::json!({ "deny": [{ "glob": "a*", "reason": "x" }, { "glob": "a*", "reason": "y" }] }),
            "/deny/1/glob",
            "in the list already",
        ),
        (
            serde_json::json!({ "deny": [{ "glob": "a*", "reason": "x" }], "allow": [{ "glob": "a*", "reason": "y" }] }),
            "/allow/0/glob",
            "is in `deny`, too",
        ),
    ] {
        let faults = baseline(fields.clone()).faults();
        assert_eq!(faults.len(), 1, "{fields}: {faults:?}");
        assert!(faults[0].0 == pointer && faults[0].1.contains(hint), "{fields}: {faults:?}");
    }
    let many: Vec<_> =
        (0..201).map(|n| serde_json::json!({ "glob": format!("p{n}"), "reason": "r" })).collect();
    assert_eq!(baseline(serde_json::json!({ "deny": many })).faults()[0].0, "/deny");
    let good = serde_json::json!({ "minimum_severity": "low", "deny": [{ "glob": "a*", "reason": "x" }] });
    assert_eq!(baseline(good).faults(), []);
}
