use super::*;
use crate::baseline::PackageGlob;
use crate::package::{OmitCause, OmittedUpdate, PackageUpdate};

fn update(package: &str, advisory: &str) -> PackageUpdate {
    PackageUpdate {
        package: package.to_owned(),
        from: "1".to_owned(),
        to: "2".to_owned(),
        advisories: vec![advisory.to_owned()],
        cves: Vec::new(),
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn removal(package: &str) -> Removal {
    Removal { package: package.to_owned(), version: "1".to_owned(), replaced_by: None }
}

/// Asks until there is a selection. `answer` is the package manager.
fn select(
    groups: &[BTreeSet<String>],
    allow_removals: bool,
    answer: impl Fn(&BTreeSet<String>) -> Outcome,
) -> (Selection, Vec<BTreeSet<String>>) {
    select_without(groups, allow_removals, &[], answer)
}

fn select_without(
    groups: &[BTreeSet<String>],
    allow_removals: bool,
    denied: &[PackageGlob],
    answer: impl Fn(&BTreeSet<String>) -> Outcome,
) -> (Selection, Vec<BTreeSet<String>>) {
    let mut answers: Vec<Answer> = Vec::new();
    loop {
        match next(groups, allow_removals, denied, &answers) {
            Next::Done(selection) => {
                return (selection, answers.into_iter().map(|answer| answer.packages).collect());
            }
            Next::Ask { packages } => {
                assert!(
                    answers.iter().all(|answer| answer.packages != packages),
                    "{packages:?} is asked twice"
                );
                let outcome = answer(&packages);
                answers.push(Answer { packages, outcome });
            }
        }
    }
}

fn resolved(removals: &[&str]) -> Outcome {
    Outcome::Resolved { removals: removals.iter().map(|name| removal(name)).collect(), brings: Vec::new() }
}

fn singles(names: &[&str]) -> Vec<BTreeSet<String>> {
    names.iter().map(|name| set(&[name])).collect()
}

#[test]
fn packages_that_work_together_need_one_question() {
    let groups = singles(&["a", "b", "c"]);
    let (selection, asked) = select(&groups, false, |_| resolved(&[]));
    assert_eq!((selection.packages, selection.left_out), (set(&["a", "b", "c"]), Vec::new()));
    assert_eq!(asked, [set(&["a", "b", "c"])]);
    assert_eq!(
        next(&[], false, &[], &[]),
        Next::Done(Selection::default()),
        "nothing is asked about nothing"
    );
}

#[test]
fn package_that_would_remove_another_is_left_out_and_everything_else_is_kept() {
    let names: Vec<String> = (0..40).map(|number| format!("p{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let manager =
        |asked: &BTreeSet<String>| if asked.contains("p17") { resolved(&["needed"]) } else { resolved(&[]) };
    let (selection, asked) = select(&singles(&names), false, manager);
    assert_eq!(selection.packages.len(), 39);
    let left_out = OmittedUpdate {
        removes: vec!["needed".to_owned()],
        ..OmittedUpdate::new("p17", OmitCause::WouldRemove)
    };
    assert_eq!(selection.left_out, [left_out]);
    assert!(asked.len() <= 13, "{} questions", asked.len());
    assert!(asked.contains(&selection.packages), "the answer to it is the transaction");

    let (selection, asked) = select(&singles(&names), true, manager);
    assert_eq!((selection.packages.len(), asked.len()), (40, 1), "the policy allows it");
}

#[test]
fn two_packages_that_only_together_remove_something_are_told_apart() {
    let manager = |asked: &BTreeSet<String>| {
        if asked.contains("b") && asked.contains("d") { resolved(&["x"]) } else { resolved(&[]) }
    };
    let (selection, _) = select(&singles(&["a", "b", "c", "d"]), false, manager);
    assert_eq!(selection.packages, set(&["a", "b", "c"]));
    assert_eq!(selection.left_out[0].package, "d");
}

#[test]
fn refusal_names_the_words_of_the_package_manager() {
    let manager = |asked: &BTreeSet<String>| {
        if asked.contains("b") {
            Outcome::Refused { reason: "E: Version '9' for 'b' was not found".to_owned() }
        } else {
            resolved(&[])
        }
    };
    let (selection, _) = select(&singles(&["a", "b"]), false, manager);
    assert_eq!(selection.packages, set(&["a"]));
    assert_eq!(selection.left_out[0].cause, OmitCause::Refused);
    let text = selection.left_out[0].explanation();
    assert!(text.ends_with("E: Version '9' for 'b' was not found"), "{text}");
}

#[test]
fn packages_of_one_source_are_asked_about_together_first() {
    let updates = [update("tool", "A-2"), update("libtool", "A-2"), update("other", "A-1")];
    let groups = groups(&updates);
    assert_eq!(groups, [set(&["other"]), set(&["libtool", "tool"])]);
    // `tool` needs its library in the same version, and `other` cannot be installed.
    let manager = |asked: &BTreeSet<String>| {
        let half = asked.contains("tool") != asked.contains("libtool");
        if half || asked.contains("other") {
            Outcome::Refused { reason: "unmet".to_owned() }
        } else {
            resolved(&[])
        }
    };
    let (selection, _) = select(&groups, false, manager);
    assert_eq!(selection.packages, set(&["libtool", "tool"]));
    assert_eq!(selection.left_out.len(), 1);
}

#[test]
fn what_its_vendor_replaces_is_not_lost() {
    let replaced = Removal { replaced_by: Some("new-name".to_owned()), ..removal("old-name") };
    let manager =
        |_: &BTreeSet<String>| Outcome::Resolved { removals: vec![replaced.clone()], brings: Vec::new() };
    let (selection, _) = select(&singles(&["a"]), false, manager);
    assert_eq!(selection.packages, set(&["a"]));
}

#[test]
fn questions_end_and_what_is_undecided_is_left_out() {
    let names: Vec<String> = (0..200).map(|number| format!("p{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // Every second package is refused.
    let manager = |asked: &BTreeSet<String>| {
        if asked.iter().any(|name| name.ends_with(['1', '3', '5', '7', '9'])) {
            Outcome::Refused { reason: "no".to_owned() }
        } else {
            resolved(&[])
        }
    };
    let (selection, asked) = select(&singles(&names), false, manager);
    assert_eq!(asked.len(), MOST_QUESTIONS);
    assert_eq!(selection.packages.len() + selection.left_out.len(), 200, "every package is in the answer");
    assert!(selection.left_out.iter().any(|one| one.cause == OmitCause::NotResolved));
    assert!(asked.contains(&selection.packages));
}

#[test]
fn package_manager_that_cannot_be_asked_leaves_nothing_out() {
    let manager = |_: &BTreeSet<String>| Outcome::Unknown { reason: "no dnf 4".to_owned() };
    let (selection, asked) = select(&singles(&["a", "b"]), false, manager);
    assert_eq!((selection.packages, asked.len()), (set(&["a", "b"]), 1));
    assert_eq!(selection.unknown.as_deref(), Some("no dnf 4"));
}

#[test]
fn origin_is_the_vendor_and_the_suite_without_the_point_release() {
    let origins = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let same = |one: &[&str], other: &[&str]| is_same_origin(&origins(one), &origins(other));
    assert!(same(&["Debian:12.5/stable"], &["Debian:12.6/stable"]));
    assert!(same(
        &["Debian:12.5/stable", "Debian-Security:12/stable-security"],
        &["Debian-Security:12/stable-security"]
    ));
    assert!(!same(&["Debian:12.5/stable"], &["Debian:13.0/testing"]));
    assert!(!same(&["Debian:12.5/stable"], &["Example:12.5/stable"]));
    assert!(same(&["baseos"], &["baseos"]) && !same(&["baseos"], &["epel"]));
    assert!(!same(&[], &[]), "an unknown origin");
}

#[test]
fn plan_without_a_transaction_keeps_its_json() {
    assert_eq!(serde_json::to_value(Foreseen::NotAsked).unwrap()["state"], "not_asked");
    let foreseen = Foreseen::Resolved(Transaction {
        installs: vec![NewPackage {
            package: "linux-image-6.1.0-29".to_owned(),
            version: "6.1.4".to_owned(),
            origins: vec![],
        }],
        removals: vec![removal("gone")],
        download_bytes: Some(7),
        ..Transaction::default()
    });
    let stored = serde_json::to_value(&foreseen).unwrap();
    assert_eq!(stored["state"], "resolved");
    assert_eq!(serde_json::from_value::<Foreseen>(stored).unwrap(), foreseen);
    assert_eq!(foreseen.removed_names(), BTreeSet::from(["gone"]));
}

#[test]
fn update_that_brings_what_no_pilot_has_tested_is_left_out() {
    let manager = |packages: &BTreeSet<String>| {
        if packages.contains("b") {
            Outcome::Untested { untested: vec!["libnew 1.0-1".to_owned()] }
        } else {
            resolved(&[])
        }
    };
    let (selection, _) = select(&singles(&["a", "b", "c"]), true, manager);
    assert_eq!(selection.packages, set(&["a", "c"]));
    assert_eq!(selection.left_out[0].cause, OmitCause::NotTested);
    assert_eq!(selection.left_out[0].explanation(), "not tested by a pilot: libnew 1.0-1");
}

#[test]
fn update_that_brings_a_denied_package_along_is_left_out() {
    let denied: Vec<PackageGlob> = vec!["kernel*".parse().unwrap()];
    let manager = |asked: &BTreeSet<String>| Outcome::Resolved {
        removals: Vec::new(),
        brings: if asked.contains("driver") {
            vec!["kernel-core".to_owned(), "zlib".to_owned()]
        } else {
            Vec::new()
        },
    };
    let groups = singles(&["bash", "driver", "sudo"]);
    let (selection, _) = select_without(&groups, false, &denied, manager);
    assert_eq!(selection.packages, set(&["bash", "sudo"]));
    assert_eq!(
        selection.left_out[0].explanation(),
        "can only be installed together with packages that the baseline denies: kernel-core"
    );
    assert!(selection.left_out[0].stays_missing(), "the fix itself belongs to the baseline");
    let (selection, _) = select(&groups, false, manager);
    assert_eq!(selection.packages.len(), 3, "nothing is denied");
}
