//! The playbooks on real hosts, two with apt, two with dnf and one with zypper, in one fleet that all scenarios share. Skipped with a reason if no fleet
//! can run.

mod failures;
mod faults;
mod lab;
mod losses;
mod made;
mod packages;
mod pins;
mod preflight;
mod python;
mod releases;
mod renames;
mod restarts;
mod transactions;
mod ways_in;
mod zypper;

use lab::Lab;

/// Two fleets at once would share the machine's processors, and the times of both would be wrong.
static ONE_FLEET: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The fixed sample, at most five minutes. Each scenario leaves its hosts as it found them: in service, at the older versions.
/// Scenarios that share no host or change nothing run at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn playbooks_work_on_real_hosts() {
    let _alone = ONE_FLEET.lock().await;
    let Some(lab) = &Lab::open().await else { return };
    // Alone: a scan reports the process that has the package database open.
    timed(
        "scan_reports_installed_and_offered_packages",
        packages::scan_reports_installed_and_offered_packages(lab),
    )
    .await;
    tokio::join!(
        timed("staging_tests_pass_on_every_host", packages::staging_tests_pass_on_every_host(lab)),
        timed(
            "release_is_deployed_once_by_the_vendors_program",
            releases::release_is_deployed_once_by_the_vendors_program(lab)
        ),
    );
    timed(
        "hosts_are_patched_once_rebooted_and_rolled_back",
        packages::hosts_are_patched_once_rebooted_and_rolled_back(lab),
    )
    .await;
    tokio::join!(
        apt_transactions(lab),
        dnf_transactions(lab),
        timed("zypper_is_scanned_foreseen_and_patched", zypper::zypper_is_scanned_foreseen_and_patched(lab)),
    );
    timed(
        "preflight_names_what_would_stop_an_update",
        preflight::preflight_names_what_would_stop_an_update(lab),
    )
    .await;
    timed(
        "services_with_a_replaced_library_are_reported_and_restarted",
        restarts::services_with_a_replaced_library_are_reported_and_restarted(lab),
    )
    .await;
    timed(
        "renamed_and_conflicting_packages_are_planned_and_done",
        renames::renamed_and_conflicting_packages_are_planned_and_done(lab),
    )
    .await;
    tokio::join!(
        timed(
            "transaction_survives_its_orchestrator_and_is_adopted",
            losses::transaction_survives_its_orchestrator_and_is_adopted(lab),
        ),
        timed(
            "host_that_dies_in_mid_transaction_is_repaired",
            losses::host_that_dies_in_mid_transaction_is_repaired(lab),
        ),
    );
    lab.close().await;
}

/// Everything else: how hosts are reached, steps that fail, pins.
#[tokio::test(flavor = "multi_thread")]
async fn access_steps_and_pins_work_on_real_hosts() {
    if !test_support::is_full() {
        return;
    }
    let _alone = ONE_FLEET.lock().await;
    let Some(lab) = &Lab::open().await else { return };
    timed(
        "update_needs_no_network_once_services_stop",
        preflight::update_needs_no_network_once_services_stop(lab),
    )
    .await;
    timed(
        "production_gets_exactly_what_the_pilot_tested",
        pins::production_gets_exactly_what_the_pilot_tested(lab),
    )
    .await;
    timed("hosts_are_accessed_as_the_cmdb_describes", ways_in::hosts_are_accessed_as_the_cmdb_describes(lab))
        .await;
    timed(
        "every_step_that_fails_leaves_the_host_in_service",
        failures::every_step_that_fails_leaves_the_host_in_service(lab),
    )
    .await;
    tokio::join!(
        timed(
            "cancel_finishes_the_transaction_and_starts_nothing_else",
            losses::cancel_finishes_the_transaction_and_starts_nothing_else(lab),
        ),
        on_the_second_of_each_family(lab),
    );
    tokio::join!(
        timed(
            "level_is_chosen_by_security_and_advisory",
            packages::level_is_chosen_by_security_and_advisory(lab)
        ),
        timed("partition_ends_as_unreachable", losses::partition_ends_as_unreachable(lab)),
    );
    lab.close().await;
}

/// Everything that can be wrong with repositories, packages and hosts.
#[tokio::test(flavor = "multi_thread")]
async fn broken_hosts_and_repositories_end_in_named_states() {
    if !test_support::is_full() {
        return;
    }
    let _alone = ONE_FLEET.lock().await;
    let Some(lab) = &Lab::open().await else { return };
    timed(
        "repository_that_answers_404_stops_only_its_own_hosts",
        faults::repository_that_answers_404_stops_only_its_own_hosts(lab),
    )
    .await;
    timed(
        "host_without_python_is_named_and_gets_it_first_if_the_policy_says_so",
        python::host_without_python_is_named_and_gets_it_first_if_the_policy_says_so(lab),
    )
    .await;
    timed(
        "broken_repositories_are_named_with_the_words_of_the_package_manager",
        faults::broken_repositories_are_named_with_the_words_of_the_package_manager(lab),
    )
    .await;
    timed("zypper_keeps_to_pinned_versions", pins::zypper_keeps_to_pinned_versions(lab)).await;
    timed(
        "lock_that_never_frees_ends_the_host_with_its_holder",
        faults::lock_that_never_frees_ends_the_host_with_its_holder(lab),
    )
    .await;
    timed(
        "disk_that_fills_in_mid_transaction_is_named_and_mended",
        faults::disk_that_fills_in_mid_transaction_is_named_and_mended(lab),
    )
    .await;
    timed(
        "host_that_dies_between_download_and_install_is_unreachable_and_unchanged",
        faults::host_that_dies_between_download_and_install_is_unreachable_and_unchanged(lab),
    )
    .await;
    lab.close().await;
}

async fn apt_transactions(lab: &Lab) {
    timed("apt_does_exactly_what_was_foreseen", transactions::apt_does_exactly_what_was_foreseen(lab)).await;
    timed(
        "held_package_and_version_that_is_gone_are_left_out_with_apts_words",
        transactions::held_package_and_version_that_is_gone_are_left_out_with_apts_words(lab),
    )
    .await;
}

async fn dnf_transactions(lab: &Lab) {
    timed(
        "own_update_runs_once_and_reports_what_it_changed",
        transactions::own_update_runs_once_and_reports_what_it_changed(lab),
    )
    .await;
    timed(
        "dnf_is_asked_with_the_options_of_the_update",
        transactions::dnf_is_asked_with_the_options_of_the_update(lab),
    )
    .await;
}

async fn on_the_second_of_each_family(lab: &Lab) {
    timed("wrong_host_key_is_refused", ways_in::wrong_host_key_is_refused(lab)).await;
    timed("user_without_root_access_is_reported", ways_in::user_without_root_access_is_reported(lab)).await;
    timed("steps_are_retried_or_passed_over", failures::steps_are_retried_or_passed_over(lab)).await;
}

/// Prints the name of a scenario and how long it took. `PATCH_TEST_SCENARIO` limits a run by hand to those whose name contains
/// one of its comma-separated texts.
async fn timed(name: &str, scenario: impl Future<Output = ()>) {
    let only = std::env::var("PATCH_TEST_SCENARIO").unwrap_or_default();
    if !only.is_empty() && !only.split(',').any(|text| name.contains(text)) {
        return;
    }
    println!("{name} ...");
    let began = std::time::Instant::now();
    scenario.await;
    println!("{name}: {:.1} s", began.elapsed().as_secs_f64());
}
