//! The playbooks on real hosts, two of each family, in one fleet that all scenarios share. Skipped with a reason where
//! no fleet can run.

mod failures;
mod lab;
mod losses;
mod packages;
mod releases;
mod ways_in;

use lab::Lab;

/// Each scenario leaves its hosts as it took them: in service, at the older versions. Those that share no host, or change
/// nothing, run at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn playbooks_do_on_real_hosts_what_they_say() {
    let Some(lab) = &Lab::open().await else { return };
    tokio::join!(
        told(
            "scan_tells_what_is_installed_and_offered",
            packages::scan_tells_what_is_installed_and_offered(lab)
        ),
        told("staging_tests_pass_on_every_host", packages::staging_tests_pass_on_every_host(lab)),
        told(
            "release_is_deployed_once_by_the_vendors_program",
            releases::release_is_deployed_once_by_the_vendors_program(lab)
        ),
    );
    told(
        "hosts_are_patched_once_rebooted_and_rolled_back",
        packages::hosts_are_patched_once_rebooted_and_rolled_back(lab),
    )
    .await;
    told("hosts_are_entered_as_the_cmdb_says", ways_in::hosts_are_entered_as_the_cmdb_says(lab)).await;
    told(
        "every_step_that_fails_leaves_the_host_in_service",
        failures::every_step_that_fails_leaves_the_host_in_service(lab),
    )
    .await;
    tokio::join!(on_the_first_of_each_family(lab), on_the_second_of_each_family(lab));
    tokio::join!(
        told(
            "level_is_chosen_by_security_and_advisory",
            packages::level_is_chosen_by_security_and_advisory(lab)
        ),
        told("partition_ends_as_unreachable", losses::partition_ends_as_unreachable(lab)),
    );
    lab.close().await;
}

async fn on_the_first_of_each_family(lab: &Lab) {
    told(
        "cancel_lets_the_transaction_end_and_begins_nothing_else",
        losses::cancel_lets_the_transaction_end_and_begins_nothing_else(lab),
    )
    .await;
    told(
        "transaction_outlives_its_orchestrator_and_is_adopted",
        losses::transaction_outlives_its_orchestrator_and_is_adopted(lab),
    )
    .await;
}

async fn on_the_second_of_each_family(lab: &Lab) {
    told("another_host_key_is_refused", ways_in::another_host_key_is_refused(lab)).await;
    told("user_who_cannot_become_root_is_told_so", ways_in::user_who_cannot_become_root_is_told_so(lab))
        .await;
    told("steps_are_tried_again_or_passed_over", failures::steps_are_tried_again_or_passed_over(lab)).await;
    told(
        "host_that_dies_in_mid_transaction_is_repaired",
        losses::host_that_dies_in_mid_transaction_is_repaired(lab),
    )
    .await;
}

/// Says which scenario is on, and how long the one before took.
async fn told(name: &str, scenario: impl Future<Output = ()>) {
    println!("{name} ...");
    let began = std::time::Instant::now();
    scenario.await;
    println!("{name}: {:.1} s", began.elapsed().as_secs_f64());
}
