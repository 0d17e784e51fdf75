use super::*;

/// A host with one file system for everything, which passes.
fn facts() -> PreflightFacts {
    PreflightFacts {
        lock: PackageLock::Free,
        transactions: Some(Vec::new()),
        file_systems: vec![FileSystem {
            path: "/".to_owned(),
            holds: vec![Content::Boot, Content::Files, Content::Downloads],
            unknown: None,
            free_bytes: Some(500_000_000),
            total_bytes: Some(1_000_000_000),
            free_inodes: Some(1000),
        }],
        most_files: Some(300),
        repositories: RepositoryReach::NotAsked,
    }
}

fn transaction() -> Transaction {
    Transaction { download_bytes: Some(80_000_000), disk_bytes: Some(380_000_000), ..Transaction::default() }
}

fn failures(facts: PreflightFacts, transaction: Option<&Transaction>) -> Vec<(PreflightCheck, String)> {
    let need = PreflightNeed { transaction, min_disk_free_percent: 5 };
    let found = PreflightAnswer::Read { facts }.failures(&need);
    found.into_iter().map(|one| (one.check, one.reason)).collect()
}

#[test]
fn host_that_has_what_the_update_needs_is_ready() {
    assert_eq!(failures(facts(), Some(&transaction())), []);
    assert_eq!(failures(facts(), None), [], "an unknown need is not a failure");
}

#[test]
fn disk_is_compared_with_what_each_file_system_gets() {
    let mut host = facts();
    host.file_systems[0].free_bytes = Some(379_999_999);
    let found = failures(host, Some(&transaction()));
    let reason = "`/` has 380.0 MB of free space, and the update needs 380.0 MB; free some space";
    assert_eq!(found, [(PreflightCheck::Disk, reason.to_owned())]);

    // The downloads go to a file system of their own.
    let mut host = facts();
    host.file_systems[0].holds = vec![Content::Files];
    host.file_systems[0].free_bytes = Some(300_000_000);
    let var = FileSystem {
        path: "/var".to_owned(),
        holds: vec![Content::Downloads],
        free_bytes: Some(79_000_000),
        ..host.file_systems[0].clone()
    };
    host.file_systems.push(var);
    let found = failures(host, Some(&transaction()));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].1.contains("`/var` has 79.0 MB of free space, and the update needs 80.0 MB"),
        "{found:?}"
    );
}

#[test]
fn share_of_the_policy_holds_for_every_file_system() {
    let mut host = facts();
    let boot = FileSystem {
        path: "/boot".to_owned(),
        holds: vec![Content::Boot],
        free_bytes: Some(4),
        total_bytes: Some(100),
        ..host.file_systems[0].clone()
    };
    host.file_systems.push(boot);
    let found = failures(host, None);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.starts_with("4.0 % of `/boot` is free, and the policy wants 5 %"), "{found:?}");
}

#[test]
fn inodes_are_compared_with_the_largest_package() {
    let mut host = facts();
    host.file_systems[0].free_inodes = Some(299);
    let found = failures(host.clone(), Some(&transaction()));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, PreflightCheck::Inodes);
    assert!(found[0].1.contains("299 free inodes, and the update needs at least 300"), "{found:?}");
    host.file_systems[0].free_inodes = None;
    assert_eq!(failures(host, Some(&transaction())), [], "some file systems have no fixed number");
}

#[test]
fn holder_of_a_lock_and_a_running_transaction_are_named() {
    let mut host = facts();
    host.lock = PackageLock::Held {
        path: "/var/lib/dpkg/lock-frontend".to_owned(),
        holder: "`apt-get` (process 812, apt-daily-upgrade.service: apt-get upgrade)".to_owned(),
        waited_seconds: 300,
    };
    host.transactions = Some(vec!["run-1_1".to_owned()]);
    host.repositories = RepositoryReach::Failed { reason: "apt-get update: E: no route".to_owned() };
    let found = failures(host, None);
    let checks: Vec<PreflightCheck> = found.iter().map(|(check, _)| *check).collect();
    use PreflightCheck::{Lock, Repositories, Transaction};
    assert_eq!(checks, [Lock, Transaction, Repositories]);
    assert!(found[0].1.starts_with("`apt-get` (process 812, apt-daily-upgrade.service"), "{found:?}");
    assert!(found[1].1.contains("`run-1_1`"), "{found:?}");
}

#[test]
fn what_is_unknown_is_said() {
    let mut host = facts();
    let transaction = transaction();
    let known = PreflightNeed { transaction: Some(&transaction), min_disk_free_percent: 5 };
    assert_eq!(host.unknown(&known), []);
    host.transactions = None;
    host.most_files = None;
    let need = PreflightNeed { transaction: None, ..known };
    let checks: Vec<PreflightCheck> = host.unknown(&need).iter().map(|one| one.check).collect();
    assert_eq!(checks, [PreflightCheck::Transaction, PreflightCheck::Disk, PreflightCheck::Inodes]);
}

#[test]
fn answer_of_a_host_is_read() {
    let answer: PreflightAnswer = serde_json::from_str(
        r#"{ "state": "read", "facts": { "lock": { "state": "held", "path": "/l", "holder": "`a` (process 1)",
            "waited_seconds": 30 }, "transactions": null, "most_files": 12, "repositories": { "state": "answer" },
            "file_systems": [{ "path": "/usr", "holds": ["files"], "unknown": "Permission denied" }] } }"#,
    )
    .unwrap();
    let need = PreflightNeed { transaction: None, min_disk_free_percent: 5 };
    assert_eq!(
        failures_text(&answer.failures(&need)),
        "lock: `a` (process 1) has held the package lock `/l` for more than 30 s; wait for its end, or stop it"
    );
    let refused: PreflightAnswer =
        serde_json::from_str(r#"{ "state": "refused", "check": "sudo", "reason": "no" }"#).unwrap();
    assert_eq!(failures_text(&refused.failures(&need)), "sudo: no");
}
