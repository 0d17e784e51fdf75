//! All tests, with what they counted: passed, failed, ignored, and those that reported why they cannot run here.

use std::collections::BTreeMap;
use std::env;
use std::fmt::{self, Display};
use std::time::Duration;

use local_postgres::EphemeralPostgres;

use crate::bootstrap;
use crate::suite::Extent;
use crate::task::{Task, Verdict};
use crate::web;
use crate::workspace::Workspace;

const DEADLINE: Duration = Duration::from_secs(3300);
const FULL_DEADLINE: Duration = Duration::from_secs(4 * 3600);

/// What the test programs counted, all together.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
    skipped: BTreeMap<String, Skip>,
}

/// As the crate `test-skip` reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Skip {
    reason: String,
    why: String,
}

impl Display for Totals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A test that cannot run returns early, which its program counts as passed.
        let skipped = self.skipped.len() as u64;
        let passed = self.passed.saturating_sub(skipped);
        write!(formatter, "{passed} passed, {} failed", self.failed)?;
        if skipped > 0 {
            write!(formatter, ", {skipped} skipped")?;
        }
        if self.ignored > 0 {
            write!(formatter, ", {} ignored", self.ignored)?;
        }
        Ok(())
    }
}

/// Runs every test of the selected crates against one throw-away PostgreSQL; each test makes a database of its own in it.
pub fn run(workspace: &Workspace, selection: &[String], extent: Extent) -> anyhow::Result<(Verdict, Totals)> {
    let postgres = EphemeralPostgres::start()?;
    let mut command = workspace.cargo();
    command
        .args(["test", "--locked", "--no-fail-fast"])
        .args(selection)
        .env("SQLX_OFFLINE", "true")
        // Tests of whole runs wait more than they work.
        .env("RUST_TEST_THREADS", "4")
        .env("INSTA_UPDATE", "no")
        .env("DATABASE_URL", postgres.maintenance_url())
        .env("PATCH_TEST_DATABASE_URL", postgres.maintenance_url())
        .env("PATCH_ANSIBLE_PLAYBOOK", workspace.tool("ansible-playbook"))
        .env("PATCH_TEST_PYTHON", workspace.tool("python"))
        .env("PATCH_FLEET_IMAGES", workspace.fleet_images());
    let deadline = match extent {
        Extent::Sample => DEADLINE,
        Extent::Full => {
            command.env("PATCH_TEST_FULL", "1");
            FULL_DEADLINE
        }
    };
    if let Some(node) = web::node_program(workspace) {
        command.env("PATCH_NODE", node);
    }
    let mut totals = Totals::default();
    let mut count = |line: &str| totals.add(line);
    let outcome = Task::new("tests", deadline).watched_by(&mut count).run(command)?;
    let avoidable = totals.avoidable(bootstrap::can_run_real_hosts());
    let verdict = if !outcome.success {
        Verdict::Failed(outcome.failure_output())
    } else if !avoidable.is_empty() && is_ci() {
        let list = avoidable.join("\n");
        Verdict::Failed(format!("this machine could run these tests, but they were skipped:\n{list}"))
    } else {
        Verdict::Passed(totals.to_string())
    };
    Ok((verdict, totals))
}

/// Set by hosts of continuous integration, and by .ci/run.
fn is_ci() -> bool {
    env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false" && value != "0")
}

impl Totals {
    /// One line per skipped test.
    pub fn skipped(&self) -> impl Iterator<Item = String> {
        self.skipped.iter().map(|(name, skip)| format!("skipped: {name}: {}", skip.why))
    }

    /// Skipped tests that this machine could have run.
    fn avoidable(&self, has_real_hosts: bool) -> Vec<String> {
        let is_avoidable = |skip: &Skip| match skip.reason.as_str() {
            "missing-data" | "other-system" | "only-full" => false,
            "no-real-hosts" => has_real_hosts,
            // Above all `missing-tool`: bootstrap has installed the tools.
            _ => true,
        };
        self.skipped
            .iter()
            .filter(|(_, skip)| is_avoidable(skip))
            .map(|(name, skip)| format!("{name}: {}", skip.why))
            .collect()
    }

    fn add(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.add_counts(counts);
        } else if let Some((_, skip)) = line.split_once("skipped: ") {
            self.add_skip(skip);
        }
    }

    /// `test result: ok. 8 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
    fn add_counts(&mut self, counts: &str) {
        // The first count follows the verdict: `ok. 8 passed`.
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            if let (Some(Ok(count)), Some(what)) = (words.next().map(str::parse::<u64>), words.next()) {
                match what {
                    "passed" => self.passed += count,
                    "failed" => self.failed += count,
                    "ignored" => self.ignored += count,
                    _ => {}
                }
            }
        }
    }

    /// `skipped: cmdb::inventory::accepts: missing-tool: there is no ansible`
    fn add_skip(&mut self, skip: &str) {
        let mut parts = skip.splitn(3, ": ");
        if let (Some(name), Some(reason), Some(why)) = (parts.next(), parts.next(), parts.next())
            && name.contains("::")
        {
            let skip = Skip { reason: reason.to_owned(), why: why.to_owned() };
            self.skipped.entry(name.to_owned()).or_insert(skip);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_programs_add_up() {
        let mut totals = Totals::default();
        totals.add(
            "test result: ok. 8 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        );
        totals.add("test result: FAILED. 14 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 4.25s");
        totals.add("test some::name ... ok");
        assert_eq!(totals.to_string(), "22 passed, 2 failed, 1 ignored");
    }

    #[test]
    fn skipped_tests_are_named_once_and_do_not_count_as_passed() {
        let mut totals = Totals::default();
        totals.add(
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        );
        // The test program writes the beginning of its own line first when one test runs at a time.
        totals.add("test a ... skipped: cmdb::inventory::a: missing-tool: there is no ansible: sorry");
        totals.add("skipped: cmdb::inventory::a: missing-tool: once more");
        totals.add("skipped: sim-engine::life: no-real-hosts: real hosts need root");
        totals.add("skipped: domain::cron: missing-data: there is no data");
        totals.add("a text about something skipped: not a test");
        assert_eq!(totals.to_string(), "2 passed, 0 failed, 3 skipped");
        let named: Vec<String> = totals.skipped().collect();
        assert_eq!(named[0], "skipped: cmdb::inventory::a: there is no ansible: sorry");
        assert_eq!(totals.avoidable(false), ["cmdb::inventory::a: there is no ansible: sorry"]);
        assert_eq!(totals.avoidable(true).len(), 2);
    }
}
