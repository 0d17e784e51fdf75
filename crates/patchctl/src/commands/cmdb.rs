//! Configuration items and their relationships.

use std::time::Duration;

use api_client::cmdb::CmdbClient;
use api_types::cmdb::{
    Ci, CiStatus, CreateCi, CreateRelationship, Graph, Impact, SetMaintenance, Sync, SyncStatus, UpdateCi,
};

use serde::Serialize;

use super::{Filter, access::unless_proposed, add_tags, etag, filter, import, wire_name};
use crate::arguments::{CiCommand, MaintenanceCommand, RelationshipCommand};
use crate::connect::Connection;
use crate::input;
use crate::poll::poll;
use terminal::{Columns, Printer, done, note, row};
use terminal::{CommandResult, ExitStatus, Failure};

const SYNC_TIMEOUT: Duration = Duration::from_secs(1800);
const SYNC_POLL: Duration = Duration::from_millis(300);

const CIS: Columns = "id type status tags managed missing compliance=patch_state/compliance_status \
                      maintenance_until=maintenance/expires_at";
const HISTORY: Columns = "at who action why before after";
const NODES: Columns = "id type criticality services";
const EDGES: Columns = "source depends_on=target compatibility";
const RELATIONSHIPS: Columns = "id source type target compatibility";

/// A CI of a list, and whether patching manages it.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    ci: &'a Ci,
    /// `yes` or `no`; empty for what is never patched.
    managed: Option<&'static str>,
    missing: Option<&'static str>,
}

impl<'a> Listed<'a> {
    fn of(ci: &'a Ci) -> Self {
        let (managed, missing) = match ci.is_managed() {
            Some(true) => (Some("yes"), None),
            Some(false) => (Some("no"), Some("os")),
            None => (None, None),
        };
        Self { ci, managed, missing }
    }
}

pub async fn ci(connection: &Connection, command: CiCommand, printer: Printer) -> CommandResult {
    let client = connection.cmdb();
    match command {
        CiCommand::List { ci_type, tags, text, decommissioned, most } => {
            let status = decommissioned.then(|| "decommissioned".to_owned());
            let mut filter = filter([("type", ci_type.map(wire_name)), ("q", text), ("status", status)]);
            add_tags(&mut filter, tags);
            let cis = client.list_cis(&filter, most.limit).await?;
            printer.list(&cis.iter().map(Listed::of).collect::<Vec<_>>(), CIS)
        }
        CiCommand::Show { id } => printer.item(&client.get_ci(&id).await?),
        CiCommand::Create { id, ci_type, name, tags, attributes, reason, file } => {
            let request = match (file, id, ci_type) {
                (Some(file), ..) => input::request(&file)?,
                (None, Some(id), Some(ci_type)) => CreateCi {
                    id,
                    ci_type,
                    name,
                    tags: tags.into_iter().collect(),
                    attributes: json_values(attributes).collect(),
                    reason,
                },
                _ => {
                    return Err(Failure::usage(
                        "pass the id of the configuration item and its --type, or a file",
                    ));
                }
            };
            printer.item(&client.create_ci(&request).await?)
        }
        CiCommand::Update { id, name, tags, removed_tags, attributes, activate, reason, if_version } => {
            let added = tags.into_iter().map(|(key, value)| (key, Some(value)));
            let removed = removed_tags.into_iter().map(|key| (key, None));
            let request = UpdateCi {
                name,
                status: activate.then_some(CiStatus::Active),
                tags: added.chain(removed).collect(),
                attributes: json_values(attributes).collect(),
                reason,
                ..UpdateCi::default()
            };
            printer.item(&client.update_ci(&id, &request, etag(if_version).as_deref()).await?)
        }
        CiCommand::Decommission { id } => {
            client.decommission_ci(&id).await?;
            done(&format!("{id} is decommissioned"))
        }
        CiCommand::Impact { id, depth } => impact(&client.get_impact(&id, depth).await?, printer),
        CiCommand::History { id, most } => {
            printer.list(&client.list_history(&id, most.limit).await?, HISTORY)
        }
        CiCommand::Maintenance(command) => maintenance(&client, command, printer).await,
        CiCommand::PatchState { id, request } => {
            let state = input::request(&request.file)?;
            let outcome = client.set_patch_state(&id, &state).await?;
            unless_proposed(outcome, printer, |ci| printer.item(&ci))
        }
        CiCommand::Import(arguments) => import::run(&client, arguments, printer).await,
        CiCommand::Graph(selection) => {
            let selector = selection
                .selector()
                .ok_or_else(|| Failure::usage("select a part of the graph: --tag, --ci or --all"))?;
            graph(&client.get_graph(&selector).await?, printer)
        }
        CiCommand::Inventory { tags, run } => {
            let mut filter = Filter::new();
            add_tags(&mut filter, tags);
            let run = match run {
                Some(run) => Some(connection.run_id(run).await?),
                None => None,
            };
            printer.json(&client.get_ansible_inventory(&filter, run).await?)
        }
        CiCommand::Sync { wait } => {
            let started = client.start_sync().await?;
            let sync = if wait { until_ended(&client, started).await? } else { started };
            let printed = printer.item(&sync)?;
            Ok(if sync.status == SyncStatus::Failed { ExitStatus::Failed } else { printed })
        }
        CiCommand::SyncStatus => printer.item(&client.get_sync().await?),
    }
}

async fn maintenance(client: &CmdbClient, command: MaintenanceCommand, printer: Printer) -> CommandResult {
    let (id, request) = match command {
        MaintenanceCommand::On { id, reason, until, minutes, owner } => {
            let duration_seconds = minutes.map(|minutes| minutes * 60);
            (id, SetMaintenance::On { owner, reason, duration_seconds, expires_at: until })
        }
        MaintenanceCommand::Off { id, owner } => (id, SetMaintenance::Off { owner }),
    };
    printer.item(&client.set_maintenance(&id, &request).await?)
}

fn impact(impact: &Impact, printer: Printer) -> CommandResult {
    let directions = [("affects", &impact.upstream), ("needs", &impact.downstream)];
    let rows = directions.iter().flat_map(|(direction, found)| {
        found
            .iter()
            .map(move |ci| row![direction, ci.ci_id, wire_name(ci.ci_type), ci.depth, wire_name(ci.via)])
    });
    let printed = printer.rows_of(impact, &["direction", "id", "type", "depth", "via"], rows);
    if impact.truncated && !printer.is_document() {
        note("there are more; a smaller --depth shows fewer");
    }
    printed
}

fn graph(graph: &Graph, printer: Printer) -> CommandResult {
    if printer.is_document() {
        return printer.json(graph);
    }
    printer.list(&graph.nodes, NODES)?;
    printer.section(&graph.edges, EDGES)
}

async fn until_ended(client: &CmdbClient, started: Sync) -> Result<Sync, Failure> {
    if started.status != SyncStatus::Running {
        return Ok(started);
    }
    let ended = poll(SYNC_TIMEOUT, SYNC_POLL, async || {
        Ok(Some(client.get_sync().await?).filter(|sync| sync.status != SyncStatus::Running))
    });
    ended.await?.ok_or_else(|| Failure::new("the synchronisation has not ended after half an hour"))
}

fn json_values(attributes: Vec<(String, String)>) -> impl Iterator<Item = (String, serde_json::Value)> {
    attributes.into_iter().map(|(key, value)| (key, input::json_or_text(&value)))
}

pub async fn relationship(
    connection: &Connection,
    command: RelationshipCommand,
    printer: Printer,
) -> CommandResult {
    let client = connection.cmdb();
    match command {
        RelationshipCommand::List { ci, most } => {
            printer.list(&client.list_relationships(&ci, most.limit).await?, RELATIONSHIPS)
        }
        RelationshipCommand::Create { source, relationship_type, target, compatibility } => {
            let request = CreateRelationship { source, target, relationship_type, compatibility };
            printer.item(&client.create_relationship(&request).await?)
        }
        RelationshipCommand::Delete { id } => {
            client.delete_relationship(id).await?;
            done(&format!("relationship {id} is deleted"))
        }
    }
}
