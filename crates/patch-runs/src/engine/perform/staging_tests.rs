//! The staging tests, before and after the update.

use std::collections::{BTreeMap, BTreeSet};

use ansible::{Event, Playbook};
use domain::{
    ids::CiId,
    run::{Answer, TestPhase, TestRun},
    workflow::HostTest,
};
use service_kit::ApiResult;

use super::hosts::{load_keys, playbook_timeout, run_over};
use crate::engine::Task;
use crate::{
    app::{playbooks::names_of, transition::Evidence},
    engine::playbook::{self, end_reason},
    store::run_records::TestRecord,
};

/// Runs every test of the plan on every host. Inconclusive unless each test returned a result.
pub(super) async fn test(
    task: &Task<'_>,
    phase: TestPhase,
    hosts: &BTreeSet<CiId>,
) -> ApiResult<(Answer, Evidence)> {
    let plan = task.plan()?;
    names_of(plan.staging_tests.iter().filter_map(HostTest::service))?;
    let tests = serde_json::to_value(&plan.staging_tests)?;
    let (keys, _, unreachable) = load_keys(task, hosts).await?;
    if let Some((host, reason)) = unreachable.into_iter().next() {
        let reason = format!("cannot test `{host}`: {reason}");
        return Ok((Answer::CouldNot { reason: reason.clone() }, Evidence::logged(reason)));
    }
    let timeout = playbook_timeout(task.app, plan, hosts.len());
    let run = run_over(task, Playbook::StagingTests, hosts, &keys, timeout, |_, _, variables| {
        variables.set("pm_tests", tests.clone());
    })
    .await?;
    let mut playing = playbook::start(task, run).await?;
    let mut runs: BTreeMap<CiId, TestRun> = BTreeMap::new();
    let mut results = Vec::new();
    let mut ended = None;
    while let Some(event) = playing.next().await {
        match event {
            Event::HostResult(result) => {
                let Some(test) = result.test() else { continue };
                let run = runs.entry(result.host.clone()).or_default();
                let names = if test.passed { &mut run.passed } else { &mut run.failed };
                names.insert(test.name.clone());
                results.push(TestRecord {
                    host: result.host,
                    test: test.name,
                    passed: test.passed,
                    detail: test.detail,
                });
            }
            Event::Ended(how) => ended = Some(how),
            _ => {}
        }
    }
    let expected = plan.staging_tests.len();
    let incomplete = hosts
        .iter()
        .find(|host| runs.get(*host).map_or(0, |run| run.passed.len() + run.failed.len()) < expected);
    if let Some(host) = incomplete {
        let count = runs.get(host).map_or(0, |run| run.passed.len() + run.failed.len());
        let reason =
            format!("`{host}` returned {count} results for {expected} tests; {}", end_reason(ended.as_ref()));
        return Ok((Answer::CouldNot { reason: reason.clone() }, Evidence::logged(reason)));
    }
    let passed: usize = runs.values().map(|run| run.passed.len()).sum();
    let when = if phase == TestPhase::Before { "before" } else { "after" };
    let text = format!("{} tests run {when} the update, {passed} passed", results.len());
    let evidence = Evidence { tests: Some((phase, results)), log: vec![(None, text)], ..Evidence::default() };
    Ok((Answer::Tests(runs), evidence))
}
