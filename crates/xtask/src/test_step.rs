use std::fmt::{self, Display};
use std::time::Duration;

use local_postgres::EphemeralPostgres;

use crate::task::{Task, Verdict};
use crate::workspace::Workspace;

const DEADLINE: Duration = Duration::from_secs(2400);

/// What the test programs counted, all together.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Display for Totals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)?;
        if self.ignored > 0 {
            write!(formatter, ", {} ignored", self.ignored)?;
        }
        Ok(())
    }
}

/// Runs every test of the selected crates against one throw-away PostgreSQL; each test makes a database of its own in it.
pub fn run(workspace: &Workspace, selection: &[String]) -> anyhow::Result<(Verdict, Totals)> {
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
    let mut totals = Totals::default();
    let mut count = |line: &str| totals.add(line);
    let outcome = Task::new("tests", DEADLINE).watched_by(&mut count).run(command)?;
    let verdict = if outcome.success {
        Verdict::Passed(totals.to_string())
    } else {
        Verdict::Failed(outcome.failure_output())
    };
    Ok((verdict, totals))
}

impl Totals {
    /// `test result: ok. 8 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        // The first count stands behind the verdict: `ok. 8 passed`.
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
        assert_eq!(totals, Totals { passed: 22, failed: 2, ignored: 1 });
        assert_eq!(totals.to_string(), "22 passed, 2 failed, 1 ignored");
    }
}
