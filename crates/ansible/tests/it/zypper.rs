//! How the answers of zypper become facts about a transaction, with programs in its place.

use domain::transaction::{Foreseen, Transaction};
use serde_json::{Value, json};

use crate::{foreseen::ask, programs::Programs};

const INSTALLED: &str = "printf 'tool|1.0-1|x86_64|tool-1.0-1.src.rpm|1|SUSE|(none)\\nkernel-default|6.4-1|x86_64|k-6.4-1.src.rpm|1|SUSE|(none)\\n'";
const SUMMARY: &str = r#"<install-summary download-size="7000" space-usage-diff="300" packages-to-change="4">
<to-upgrade><solvable type="package" name="tool" edition="0:1.0-3" arch="x86_64" edition-old="0:1.0-1" arch-old="x86_64"/></to-upgrade>
<to-install><solvable type="patch" name="SUSE-2026-1" edition="1" arch="noarch"/>
<solvable type="package" name="kernel-default" edition="6.4-2" arch="x86_64"/></to-install>
<to-remove><solvable type="package" name="old-plugin" edition="0.9-1" arch="noarch"/></to-remove>
</install-summary>"#;
const FOUND: &str = r#"<search-result version="0.0"><solvable-list>
<solvable status="installed" name="tool" kind="package" edition="1.0-1" arch="x86_64" repository="(System Packages)"/>
<solvable status="other-version" name="tool" kind="package" edition="1.0-3" arch="x86_64" repository="Update repository"/>
<solvable status="other-version" name="tool" kind="package" edition="1.0-3" arch="i586" repository="Other"/>
<solvable status="other-version" name="kernel-default" kind="package" edition="6.4-2" arch="x86_64" repository="Update repository"/>
</solvable-list></search-result>"#;

/// A host on which `zypper install` answers with this stream and exit status.
fn host(stream: &str, status: u8) -> Programs {
    let script = format!(
        "echo \"$@\" >>\"$0.called\"\ncase \"$*\" in *search*) cat <<'END'\n<stream>{FOUND}</stream>\nEND\n;; *) cat <<'END'\n{stream}\nEND\nexit {status};; esac"
    );
    Programs::new().add("rpm", INSTALLED).add("zypper", &script)
}

fn wanted() -> Value {
    json!({ "tool": "1.0-3", "kernel-default": "6.4-2" })
}

#[test]
fn dry_run_is_read_with_kernels_beside_the_old_one_removals_origins_and_sizes() {
    // A reboot that a patch asks for is not a failure.
    let programs = host(&format!("<stream>{SUMMARY}</stream>"), 102);
    let Some(answer) = ask(&programs, "zypper", "foresee", wanted(), json!([])) else { return };
    let Foreseen::Resolved(found) = serde_json::from_value(answer).unwrap() else { panic!("not resolved") };
    let Transaction { updates, installs, removals, download_bytes, disk_bytes, .. } = found.in_order();
    assert_eq!(updates.len(), 1);
    assert_eq!(
        (updates[0].package.as_str(), updates[0].from.as_str(), updates[0].to.as_str()),
        ("tool", "1.0-1", "1.0-3")
    );
    assert_eq!(updates[0].origins, ["Update repository"], "of this architecture");
    assert_eq!(installs.len(), 1, "a patch installs nothing itself");
    assert_eq!((installs[0].package.as_str(), installs[0].version.as_str()), ("kernel-default", "6.4-2"));
    assert_eq!((removals.len(), removals[0].package.as_str()), (1, "old-plugin"));
    assert_eq!((download_bytes, disk_bytes), (Some(7000), Some(7300)));
    let called = std::fs::read_to_string(programs.path("zypper.called")).unwrap();
    assert!(called.contains("--no-refresh") && called.contains("--dry-run"), "{called}");
    assert!(called.contains("-- kernel-default-6.4-2.x86_64 tool-1.0-3.x86_64"), "{called}");
}

#[test]
fn removal_that_the_plan_does_not_contain_is_refused() {
    let programs = host(&format!("<stream>{SUMMARY}</stream>"), 0);
    let Some(refused) = ask(&programs, "zypper", "exact", wanted(), json!([])) else { return };
    assert_eq!(refused[1], "the transaction would remove old-plugin, which the plan does not contain");
    let planned = ask(&programs, "zypper", "exact", wanted(), json!(["old-plugin"])).unwrap();
    assert_eq!(planned[1], Value::Null);
}

#[test]
fn conflict_keeps_the_first_words_of_zypper() {
    let conflict = "<stream><message type=\"info\">Resolving</message><prompt id=\"1\"><description>Problem: nothing provides libother\n\
                    Solution 1: do not install tool</description><text>Choose</text></prompt></stream>";
    let Some(answer) = ask(&host(conflict, 4), "zypper", "foresee", wanted(), json!([])) else { return };
    assert_eq!(answer["state"], "refused");
    assert_eq!(
        answer["reason"],
        "zypper install: Problem: nothing provides libother; Solution 1: do not install tool"
    );
}

#[test]
fn lock_or_text_in_place_of_xml_is_not_an_empty_answer() {
    let locked = "System management is locked by the application with pid 42 (zypper).";
    let Some(answer) = ask(&host(locked, 7), "zypper", "foresee", wanted(), json!([])) else { return };
    assert_eq!(answer["state"], "refused");
    assert_eq!(answer["reason"], format!("zypper install: {locked}"));
    let nothing = ask(&host("<stream/>", 0), "zypper", "foresee", wanted(), json!([])).unwrap();
    assert_eq!(nothing["state"], "refused", "without a summary nothing is known");
}
