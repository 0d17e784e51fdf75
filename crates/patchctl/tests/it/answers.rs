//! Commands that need no platform: schedules, versions, matching.

use std::collections::BTreeSet;

use test_support::shared_data;

use crate::program::{run, run_with_input};

#[test]
fn schedule_prints_one_time_per_line() {
    let answer = run(&[
        "schedule",
        "next",
        "0 2 * * 0",
        "--tz",
        "Europe/Berlin",
        "--from",
        "2026-03-01T00:00:00Z",
        "--count",
        "5",
    ])
    .expect(0);
    assert_eq!(
        answer.stdout,
        "2026-03-01T02:00:00+01:00\n2026-03-08T02:00:00+01:00\n2026-03-15T02:00:00+01:00\n\
         2026-03-22T02:00:00+01:00\n2026-03-29T03:00:00+02:00\n"
    );
    assert_eq!(answer.stderr, "");
}

#[test]
fn nth_weekday_is_moved_by_days() {
    let from = ["--from", "2026-12-01T00:00:00Z", "--count", "2"];
    let next = |rest: &[&str]| run(&[&["schedule", "next"], rest, &from].concat()).expect(0);
    let answer = next(&["0 2 * * TUE#2"]);
    assert_eq!(answer.stdout, "2026-12-08T02:00:00+00:00\n2027-01-12T02:00:00+00:00\n");
    assert_eq!(answer.stderr, "");
    let answer = next(&["0 2 * * TUE#2", "--offset-days", "2"]);
    assert_eq!(answer.stdout, "2026-12-10T02:00:00+00:00\n2027-01-14T02:00:00+00:00\n");
    let answer = next(&["0 2 * * TUE#2", "--offset-days", "-1"]);
    assert_eq!(answer.stdout, "2026-12-07T02:00:00+00:00\n2027-01-11T02:00:00+00:00\n");
    run(&["schedule", "next", "0 2 * * TUE#2", "--offset-days", "31"]).expect(2);
}

#[test]
fn week_of_days_with_a_weekday_is_answered_with_a_hint() {
    let answer = run(&["schedule", "next", "0 2 8-14 * 2", "--from", "2026-12-01T12:00:00Z", "--count", "3"])
        .expect(0);
    assert_eq!(answer.stdout.lines().count(), 3);
    assert!(
        answer.stderr.starts_with("hint: ") && answer.stderr.contains("`0 2 * * TUE#2`"),
        "{}",
        answer.stderr
    );
}

#[test]
fn invalid_schedule_is_a_usage_error() {
    for arguments in [
        ["schedule", "next", "0 0 31 2 *", "--tz", "UTC"],
        ["schedule", "next", "0 2 * *", "--tz", "UTC"],
        ["schedule", "next", "@daily", "--tz", "Mars/Base"],
        ["schedule", "next", "@daily", "--from", "yesterday"],
    ] {
        let answer = run(&arguments).expect(2);
        assert!(answer.one_line_error().len() > 20 && answer.stdout.is_empty());
    }
}

#[test]
fn batch_answers_each_line_with_a_line() {
    let questions = "0 2 * * 0\tEurope/Berlin\t2026-03-22T12:00:00Z\t2\n\
         0 2 * *\tUTC\t2026-03-22T12:00:00Z\t1\n\
         @daily\tUTC\t2026-03-22T12:00:00Z\t1\n";
    let answer = run_with_input(&["schedule", "next", "--batch"], questions).expect(3);
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0], "2026-03-29T03:00:00+02:00\t2026-04-05T02:00:00+02:00");
    assert!(lines[1].starts_with("error: "), "{}", lines[1]);
    assert_eq!(lines[2], "2026-03-23T00:00:00+00:00");
}

#[test]
fn batch_accepts_thousands_of_lines() {
    let questions = "*/5 * * * *\tAmerica/New_York\t2026-03-01T00:00:00Z\t3\n".repeat(5000);
    let answer = run_with_input(&["schedule", "next", "--batch"], &questions).expect(0);
    assert_eq!(answer.stdout.lines().count(), 5000);
}

#[test]
fn versions_are_compared_line_by_line() {
    let pairs = "1.0~rc1\t1.0\n1.0\t1.0\n2:1\t9\n1.0-\t1\nalone\n";
    let answer = run_with_input(&["version", "compare", "dpkg"], pairs).expect(3);
    assert_eq!(answer.stdout, "<\n=\n>\ninvalid\ninvalid\n");
    let answer = run_with_input(&["version", "compare", "rpm"], "1:3.0.7-24.el9\t1:3.0.7-27.el9\n").expect(0);
    assert_eq!(answer.stdout, "<\n");
    assert_eq!(run(&["version", "compare", "rpm", "1.0^git1", "1.0"]).expect(0).stdout, ">\n");
}

#[test]
fn missing_advisories_are_those_of_the_package_manager() {
    let (Some(feed), Some(inventory), Some(oracle)) = (
        shared_data("advisories/osv/almalinux9-all.zip"),
        shared_data("inventories/mixed-patch-levels/alma9-h00.tsv"),
        shared_data("oracles/alma9-h00.tsv"),
    ) else {
        return;
    };
    let answer = run(&[
        "advisory",
        "match",
        "--feed",
        feed.to_str().unwrap(),
        "--inventory",
        inventory.to_str().unwrap(),
        "--os",
        "almalinux:9",
        "-o",
        "tsv",
    ])
    .expect(0);
    let mut lines = answer.stdout.lines();
    assert_eq!(lines.next(), Some("advisory\tkind\tpackage\tinstalled\tfixed"));
    let pairs = |text: &str| -> BTreeSet<(String, String)> {
        let rows = text.lines().filter(|line| !line.starts_with(['#']) && !line.starts_with("advisory\t"));
        rows.map(|line| line.split('\t').collect::<Vec<_>>())
            .map(|cells| (cells[0].to_owned(), cells[2].to_owned()))
            .collect()
    };
    assert_eq!(pairs(&answer.stdout), pairs(&std::fs::read_to_string(oracle).unwrap()));
}

#[test]
fn own_feed_and_inventory_are_matched() {
    // Of the two releases with the same versions, only one stays, so that the packages name their release.
    let seed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../seeds/advisories/DCOS-2026-0020.json");
    let mut feed: serde_json::Value = serde_json::from_slice(&std::fs::read(seed).unwrap()).unwrap();
    let affected = feed["affected"].as_array_mut().unwrap();
    affected.retain(|one| !one["package"]["ecosystem"].as_str().unwrap().starts_with("Red Hat"));
    let folder = tempfile::tempdir().unwrap();
    let feed_file = folder.path().join("feed.json");
    std::fs::write(&feed_file, feed.to_string()).unwrap();
    let feeds = feed_file.to_str().unwrap();
    let inventory = "#name\tinstalled\nkernel\t5.14.0-100.el9\nbash\t5.1-1.el9\n";
    let arguments = ["advisory", "match", "--feed", feeds, "--inventory", "-", "-o", "csv"];
    let answer = run_with_input(&[&arguments[..], &["--os", "rocky:9"]].concat(), inventory).expect(0);
    assert_eq!(
        answer.stdout,
        "advisory,kind,package,installed,fixed\n\
         DCOS-2026-0020,security,kernel,5.14.0-100.el9,5.14.0-611.24.1.el9_7\n"
    );
    let os_from_packages = run_with_input(&arguments, inventory).expect(0);
    assert_eq!(os_from_packages.stdout, answer.stdout);
    let ambiguous = run_with_input(&arguments, "bash\t5.2.15-2+b2\n").expect(2);
    assert!(ambiguous.one_line_error().contains("--os"));
}
