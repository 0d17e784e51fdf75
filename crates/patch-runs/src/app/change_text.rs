//! What an approver reads about a plan of hosts: everything that will run, per group of hosts that are treated alike.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
};

use api_types::{
    itsm::{ChangeState, Conflict, limits},
    patch::Forecast,
};
use chrono::{DateTime, SecondsFormat, Utc};
use domain::{
    bootstrap::python_command,
    ids::CiId,
    package::PackageUpdate,
    pin,
    plan::{Connection, Intent, JumpHost, Plan, Target},
    preflight::failures_text,
    restart::RestartServices,
    transaction::{NewPackage, Removal, VersionChange, bytes_text},
    workflow::{Command, Drain, Reboot, RollbackMode},
};

/// Characters of the text about a plan. The rest of what ITSM accepts is for conflicts, the run that it replaces, why no template
/// approves it, and the count of what is not shown.
const MOST_CHARACTERS: usize = limits::TEXT - 3_000;
/// Hosts that a group names.
const MOST_NAMED: usize = 40;
/// Repositories that a group names with their state.
const MOST_REVISIONS: usize = 10;
/// Of the reason why a host is skipped. The plan has the whole.
const REASON_CHARACTERS: usize = 300;
/// Conflicts that are listed, and hosts that each of them names. With the names of CIs at their longest, they fit as well.
const MOST_CONFLICTS: usize = 8;
const MOST_SHARED: usize = 4;
const CONFLICT_CHARACTERS: usize = 150;

/// The description of the change. What does not fit is counted, and `address` names where all of it is.
pub fn describe(plan: &Plan, prediction: Option<&Forecast>, address: &str) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = expectation(&mut text, prediction);
    let _ = commands(&mut text, plan);
    let _ = pinned(&mut text, plan);
    let _ = skipped(&mut text, plan);
    add_groups(&mut text, plan, plan.targets.iter(), address);
    text
}

/// What the plan does to these hosts only.
pub fn describe_hosts(plan: &Plan, hosts: &BTreeSet<&CiId>, address: &str) -> String {
    let mut text = String::new();
    let _ = commands(&mut text, plan);
    add_groups(&mut text, plan, hosts.iter().filter_map(|host| plan.targets.get_key_value(*host)), address);
    text
}

/// The other changes and the freezes that touch the same hosts in the same time; empty if there are none.
pub fn conflicts(conflicts: &[Conflict]) -> String {
    if conflicts.is_empty() {
        return String::new();
    }
    let mut text = format!("!! CONFLICTS in the time of this change: {}\n", conflicts.len());
    for conflict in conflicts.iter().take(MOST_CONFLICTS) {
        let state = conflict.state.and_then(state_name).map(|name| format!(" ({name})")).unwrap_or_default();
        let line = format!(
            "!!   {} {}{state}, {} to {}, {}: {}",
            conflict.kind,
            conflict.with,
            time(conflict.start_at),
            time(conflict.end_at),
            counted(conflict.ci_ids.len(), "host"),
            named(&conflict.ci_ids.iter().collect::<Vec<_>>(), MOST_SHARED),
        );
        text.extend(line.chars().take(CONFLICT_CHARACTERS).chain(['\n']));
    }
    match conflicts.len().saturating_sub(MOST_CONFLICTS) {
        0 => {}
        more => text += &format!("!!   and {more} more\n"),
    }
    text
}

fn state_name(state: ChangeState) -> Option<String> {
    service_kit::text_enum::to_text(&state).ok()
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Adds the hosts in groups of those that are treated alike.
fn add_groups<'a>(
    text: &mut String,
    plan: &Plan,
    hosts: impl Iterator<Item = (&'a CiId, &'a Target)>,
    address: &str,
) {
    let mut groups: BTreeMap<String, Vec<&CiId>> = BTreeMap::new();
    for (host, target) in hosts {
        groups.entry(of_host(plan, target)).or_default().push(host);
    }
    let mut groups: Vec<(Vec<&CiId>, String)> =
        groups.into_iter().map(|(text, hosts)| (hosts, text)).collect();
    groups.sort();
    let total = groups.len();
    for (number, (hosts, body)) in groups.into_iter().enumerate() {
        let group = format!("\n{}: {}\n{body}", counted(hosts.len(), "host"), named(&hosts, MOST_NAMED));
        if text.chars().count() + group.chars().count() > MOST_CHARACTERS {
            let _ = write!(
                text,
                "\nNOT SHOWN HERE: {} further groups of hosts. The whole plan: {address}\n",
                total - number
            );
            break;
        }
        *text += &group;
    }
}

/// `1 host`, `2 hosts`.
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// How the hosts of the plan return to where they were.
pub fn backout(plan: &Plan) -> String {
    let count = |mode| plan.targets.values().filter(|target| target.rollback_mode == mode).count();
    let lines = [
        (count(RollbackMode::Snapshot), snapshot_way(plan)),
        (count(RollbackMode::Downgrade), "their packages return to the versions of before".to_owned()),
        (
            count(RollbackMode::None),
            "CANNOT be rolled back, there is neither a snapshot nor an older version to install".to_owned(),
        ),
    ];
    let lines = lines.into_iter().filter(|(count, _)| *count > 0);
    lines.map(|(count, way)| format!("{}: {way}.", counted(count, "host"))).collect::<Vec<_>>().join("\n")
}

fn snapshot_way(plan: &Plan) -> String {
    match plan.snapshot_retention_hours {
        Some(hours) => format!("return to the snapshot taken before the update, kept for {hours} h"),
        None => "CANNOT be rolled back, the policy takes no snapshots".to_owned(),
    }
}

fn expectation(text: &mut String, prediction: Option<&Forecast>) -> fmt::Result {
    let Some(prediction) = prediction else { return Ok(()) };
    writeln!(
        text,
        "Expected: done in {:.0} min (P50) to {:.0} min (P95), at most {} hosts down at once, {:.1} hosts fail; the run \
         halts in {:.1} % of {} simulated runs.",
        prediction.duration_p50_seconds / 60.0,
        prediction.duration_p95_seconds / 60.0,
        prediction.max_hosts_down,
        prediction.expected_failed_hosts,
        prediction.halt_probability * 100.0,
        prediction.simulations,
    )
}

/// The commands of the policy, which are the same for each host.
fn commands(text: &mut String, plan: &Plan) -> fmt::Result {
    let workflow = &plan.workflow;
    let drain = match &workflow.drain {
        Some(Drain::Command(command)) => std::slice::from_ref(command),
        _ => &[],
    };
    let as_root = [
        ("before the downtime", workflow.pre_downtime_commands.as_slice()),
        ("until it is drained", drain),
        ("before the update", workflow.pre_update_commands.as_slice()),
        ("INSTEAD of the update by the platform", workflow.update_commands.as_slice()),
        ("after the update", workflow.post_update_commands.as_slice()),
    ];
    if plan.intent == Intent::Patch && as_root.iter().any(|(_, commands)| !commands.is_empty()) {
        writeln!(text, "\n!! RUNS AS ROOT ON EVERY HOST")?;
        for (when, commands) in as_root {
            for command in commands {
                writeln!(text, "!!   {when}: {}", shown(command))?;
            }
        }
    }
    if let Some(Drain::Url(url)) = &workflow.drain {
        writeln!(text, "\nDrained when {url} answers 2xx.")?;
    }
    let hooks = &workflow.maintenance_hooks;
    for (when, commands) in [("begins", &hooks.on), ("ends", &hooks.off)] {
        for command in commands {
            writeln!(
                text,
                "On the platform's machine, when the maintenance of a host {when}: {}",
                shown(command)
            )?;
        }
    }
    for test in &plan.staging_tests {
        writeln!(text, "Staging test `{}`, before and after the update", test.name)?;
    }
    Ok(())
}

fn pinned(text: &mut String, plan: &Plan) -> fmt::Result {
    if plan.pin.is_none() {
        return Ok(());
    }
    let testers: Vec<&CiId> = pin::testers(plan).into_iter().collect();
    writeln!(
        text,
        "\nPINNED: every host installs exactly the versions below, and nothing that is uploaded later. They are tested first on {} \
         hosts: {}",
        testers.len(),
        named(&testers, MOST_NAMED)
    )
}

fn skipped(text: &mut String, plan: &Plan) -> fmt::Result {
    let unscanned = plan.unscanned.iter().map(|(host, reason)| (host, reason.clone()));
    skipped_for(text, "they could not be scanned or cannot install anything", unscanned)?;
    let not_ready = plan.not_ready.iter().map(|(host, failures)| (host, failures_text(failures)));
    skipped_for(text, "they are not ready", not_ready)
}

fn skipped_for<'a>(
    text: &mut String,
    why: &str,
    mut hosts: impl ExactSizeIterator<Item = (&'a CiId, String)>,
) -> fmt::Result {
    if hosts.len() == 0 {
        return Ok(());
    }
    writeln!(text, "\nSKIPPED, because {why}: {}", counted(hosts.len(), "host"))?;
    for (host, reason) in hosts.by_ref().take(MOST_NAMED) {
        let reason: String = reason.chars().take(REASON_CHARACTERS).collect();
        writeln!(text, "  {host}: {reason}")?;
    }
    match hosts.len() {
        0 => Ok(()),
        more => writeln!(text, "  and {more} more"),
    }
}

/// What is done to one host, without its name: equal for all hosts of a group.
fn of_host(plan: &Plan, target: &Target) -> String {
    let mut text = String::new();
    let _ = write_host(&mut text, plan, target);
    text
}

fn write_host(text: &mut String, plan: &Plan, target: &Target) -> fmt::Result {
    if plan.intent == Intent::Patch {
        if target.bootstrap_python {
            let line = python_command(target.packaging, &target.os);
            writeln!(text, "  !! RUNS AS ROOT before anything else, because it has no Python: {line}")?;
            if target.updates.is_empty() {
                writeln!(
                    text,
                    "  installs    only Python; its packages are not known yet, and its updates follow later"
                )?;
            }
        }
        for update in &target.updates {
            let PackageUpdate { package, from, to, advisories, .. } = update;
            writeln!(text, "  installs    {package} {from} -> {to} ({})", advisories.join(", "))?;
        }
        let mut cves: Vec<&str> =
            target.updates.iter().flat_map(|update| &update.cves).map(String::as_str).collect();
        cves.sort_unstable();
        cves.dedup();
        if !cves.is_empty() {
            writeln!(text, "  closes      {}", cves.join(", "))?;
        }
        transaction(text, target)?;
        if let Some(unverified) = target.unverified {
            writeln!(text, "  UNVERIFIED  {}", unverified.explanation())?;
        }
        for omitted in &target.omitted {
            writeln!(text, "  NOT         {}: {}", omitted.package, omitted.explanation())?;
        }
        let reboots = match plan.reboot {
            Reboot::Never => "never, also if the update requires it",
            Reboot::IfRequired if target.reboot_pending => "YES: it waits for a reboot already",
            Reboot::IfRequired => "if the update requires it",
            Reboot::Always => "ALWAYS",
        };
        writeln!(text, "  reboots     {reboots}")?;
        match plan.workflow.restart_services {
            RestartServices::Never => {}
            RestartServices::All => {
                writeln!(text, "  restarts    every service that still runs replaced code")?
            }
            RestartServices::Listed => {
                let listed: BTreeSet<String> = target
                    .services
                    .iter()
                    .chain(&plan.workflow.restart_service_names)
                    .map(ToString::to_string)
                    .collect();
                let listed: Vec<String> = listed.into_iter().collect();
                writeln!(
                    text,
                    "  restarts    of these, those that still run replaced code: {}",
                    listed.join(", ")
                )?;
            }
        }
    }
    if !target.services.is_empty() {
        let services: Vec<String> = target.services.iter().map(ToString::to_string).collect();
        writeln!(text, "  stops       {} (started again afterwards)", services.join(", "))?;
    }
    writeln!(text, "  reached     {}", reached(&target.connection))?;
    let way_back = match (&plan.intent, target.rollback_mode) {
        (Intent::Patch, RollbackMode::Snapshot) => snapshot_way(plan),
        (Intent::Patch, RollbackMode::Downgrade) => "downgrades its packages".to_owned(),
        (Intent::Patch, RollbackMode::None) => "CANNOT be rolled back".to_owned(),
        (_, RollbackMode::Downgrade) => "this change downgrades its packages".to_owned(),
        _ => "this change returns it to its snapshot: what was written since is lost".to_owned(),
    };
    writeln!(text, "  way back    {way_back}")
}

/// What the package manager does in addition to the planned updates, and how much it downloads.
fn transaction(text: &mut String, target: &Target) -> fmt::Result {
    if target.updates.is_empty() {
        return Ok(());
    }
    let is_real = target.connection != Connection::Model;
    if let (true, Some(why)) = (is_real, target.transaction.why_unknown()) {
        return writeln!(text, "  NOT KNOWN   what is installed and removed along with these: {why}");
    }
    let Some(transaction) = target.transaction.resolved() else { return Ok(()) };
    let planned = target.versions();
    for VersionChange { package, from, to, .. } in &transaction.updates {
        if !planned.contains_key(package.as_str()) {
            writeln!(text, "  with it     {package} {from} -> {to}")?;
        }
    }
    for NewPackage { package, version, .. } in &transaction.installs {
        writeln!(text, "  new         {package} {version}")?;
    }
    for Removal { package, version, replaced_by } in &transaction.removals {
        match replaced_by {
            Some(successor) => writeln!(text, "  REMOVES     {package} {version}, replaced by {successor}")?,
            None => writeln!(text, "  REMOVES     {package} {version}")?,
        }
    }
    for (repository, revision) in transaction.revisions.iter().take(MOST_REVISIONS) {
        writeln!(text, "  pinned to   {repository} of {revision}")?;
    }
    match transaction.revisions.len().saturating_sub(MOST_REVISIONS) {
        0 => {}
        more => writeln!(text, "  pinned to   {more} more repositories")?,
    }
    match (transaction.download_bytes, transaction.disk_bytes) {
        (Some(download), Some(disk)) => {
            writeln!(text, "  downloads   {}, and needs {} of disk", bytes_text(download), bytes_text(disk))
        }
        _ => writeln!(text, "  downloads   an unknown size"),
    }
}

/// Without the address, which differs from host to host.
fn reached(connection: &Connection) -> String {
    match connection {
        Connection::Model => "through the driver of its virtual machine".to_owned(),
        Connection::Ssh { port, user, jump, .. } => {
            let user = user.as_deref().unwrap_or("the user of the settings");
            let port = port.map(|port| format!(", port {port}")).unwrap_or_default();
            let jump = jump.as_ref().map(through).unwrap_or_default();
            format!("over SSH as {user}{port}{jump}")
        }
    }
}

fn through(jump: &JumpHost) -> String {
    let user = jump.user.as_deref().map(|user| format!(" as {user}")).unwrap_or_default();
    let port = jump.port.map(|port| format!(", port {port}")).unwrap_or_default();
    format!(", through jump host {}{user}{port}", jump.address)
}

fn named(hosts: &[&CiId], most: usize) -> String {
    let names: Vec<&str> = hosts.iter().take(most).map(|host| host.as_str()).collect();
    match hosts.len().saturating_sub(most) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// A command as one line. Words with other characters than those of names are quoted.
fn shown(command: &Command) -> String {
    let word = |word: &String| {
        let is_plain =
            !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./:=@%+,{}".contains(c));
        if is_plain { word.clone() } else { format!("{word:?}") }
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
