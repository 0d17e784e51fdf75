use std::path::Path;
use std::time::Duration;

use api_client::cmdb::CmdbClient;
use api_types::cmdb::{CiStatus, CreateCi, Graph, Impact, SetMaintenance, Sync, SyncStatus, UpdateCi};
use tokio::time::Instant;

use super::{Filter, OK, add_tags, etag, filter, word};
use crate::arguments::{CiCommand, MaintenanceCommand};
use crate::connect::Connection;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::input;
use crate::output::{Column, Printer, note, print};

const SYNC_TIMEOUT: Duration = Duration::from_secs(1800);
const ASK_EVERY: Duration = Duration::from_millis(300);

const CIS: &[Column] = &[
    ("id", "/id"),
    ("type", "/type"),
    ("status", "/status"),
    ("tags", "/tags"),
    ("compliance", "/patch_state/compliance_status"),
    ("maintenance until", "/maintenance/expires_at"),
];

const HISTORY: &[Column] = &[
    ("at", "/at"),
    ("who", "/who"),
    ("action", "/action"),
    ("why", "/why"),
    ("before", "/before"),
    ("after", "/after"),
];

const NODES: &[Column] =
    &[("id", "/id"), ("type", "/type"), ("criticality", "/criticality"), ("services", "/services")];

const EDGES: &[Column] =
    &[("source", "/source"), ("depends on", "/target"), ("compatibility", "/compatibility")];

const REFUSED: &[Column] = &[("record", "/record"), ("reason", "/reason")];

pub async fn run(connection: &Connection, command: CiCommand, printer: Printer) -> Outcome {
    let client = connection.cmdb();
    match command {
        CiCommand::List { ci_type, tags, text, decommissioned, most } => {
            let status = decommissioned.then(|| "decommissioned".to_owned());
            let mut filter = filter([("type", ci_type.map(word)), ("q", text), ("status", status)]);
            add_tags(&mut filter, tags);
            printer.list(&client.list_cis(&filter, most.limit).await?, CIS)?;
        }
        CiCommand::Show { id } => printer.item(&client.get_ci(&id).await?)?,
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
                _ => return Err(Failure::usage("name the configuration item and its type, or give a file")),
            };
            printer.item(&client.create_ci(&request).await?)?;
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
            printer.item(&client.update_ci(&id, &request, etag(if_version).as_deref()).await?)?;
        }
        CiCommand::Decommission { id } => {
            client.decommission_ci(&id).await?;
            note(&format!("{id} is decommissioned"));
        }
        CiCommand::Impact { id, depth } => impact(&client.get_impact(&id, depth).await?, printer)?,
        CiCommand::History { id, most } => {
            printer.list(&client.list_history(&id, most.limit).await?, HISTORY)?;
        }
        CiCommand::Maintenance(command) => maintenance(&client, command, printer).await?,
        CiCommand::PatchState { id, request } => {
            let state = input::request(&request.file)?;
            printer.item(&client.set_patch_state(&id, &state).await?)?;
        }
        CiCommand::Import { file, dry_run } => return import(&client, &file, dry_run, printer).await,
        CiCommand::Graph { selection } => {
            let selector = selection
                .selector()
                .ok_or_else(|| Failure::usage("say which part of the graph: --tag, --ci or --all"))?;
            graph(&client.get_graph(&selector).await?, printer)?;
        }
        CiCommand::Inventory { tags, run } => {
            let mut filter = Filter::new();
            add_tags(&mut filter, tags);
            printer.json(&client.get_ansible_inventory(&filter, run).await?)?;
        }
        CiCommand::Sync { wait } => {
            let started = client.start_sync().await?;
            let sync = if wait { until_ended(&client, started).await? } else { started };
            printer.item(&sync)?;
            return Ok(status_of(&sync));
        }
        CiCommand::SyncStatus => printer.item(&client.get_sync().await?)?,
    }
    OK
}

async fn maintenance(
    client: &CmdbClient,
    command: MaintenanceCommand,
    printer: Printer,
) -> Result<(), Failure> {
    let (id, request) = match command {
        MaintenanceCommand::On { id, reason, until, owner } => {
            (id, SetMaintenance::On { owner, reason, expires_at: until })
        }
        MaintenanceCommand::Off { id, owner } => (id, SetMaintenance::Off { owner }),
    };
    printer.item(&client.set_maintenance(&id, &request).await?)
}

async fn import(client: &CmdbClient, file: &Path, dry_run: bool, printer: Printer) -> Outcome {
    let content = input::read(file)?;
    let content_type = match content.trim_ascii_start() {
        [b'{' | b'[', ..] => "application/json",
        _ => "text/plain",
    };
    let report = client.import_cis(content_type, content, dry_run).await?;
    if !printer.is_for_people() {
        printer.item(&report)?;
    } else {
        print(&format!(
            "{}: {} read, {} created, {} updated, {} unchanged, {} refused{}",
            report.format,
            report.read,
            report.created,
            report.updated,
            report.unchanged,
            report.refused.len(),
            if report.dry_run { "; nothing was stored" } else { "" }
        ))?;
        for (heading, records) in [("refused", &report.refused), ("left out", &report.left_out)] {
            if !records.is_empty() {
                print(&format!("\n{heading}:\n"))?;
                printer.list(records, REFUSED)?;
            }
        }
    }
    Ok(if report.refused.is_empty() { ExitStatus::Ok } else { ExitStatus::Partial })
}

fn impact(impact: &Impact, printer: Printer) -> Result<(), Failure> {
    if printer.format == crate::arguments::Format::Json {
        return printer.json(impact);
    }
    let directions = [("affects", &impact.upstream), ("needs", &impact.downstream)];
    let rows = directions.iter().flat_map(|(direction, found)| {
        found.iter().map(move |ci| {
            vec![
                (*direction).to_owned(),
                ci.ci_id.to_string(),
                word(ci.ci_type),
                ci.depth.to_string(),
                word(ci.via),
            ]
        })
    });
    printer.rows(&["direction", "id", "type", "depth", "via"], rows.collect())?;
    if impact.truncated {
        note("there are more; a smaller --depth shows fewer");
    }
    Ok(())
}

fn graph(graph: &Graph, printer: Printer) -> Result<(), Failure> {
    if printer.format == crate::arguments::Format::Json {
        return printer.json(graph);
    }
    printer.list(&graph.nodes, NODES)?;
    if graph.edges.is_empty() {
        return Ok(());
    }
    print("\n")?;
    printer.list(&graph.edges, EDGES)
}

async fn until_ended(client: &CmdbClient, mut sync: Sync) -> Result<Sync, Failure> {
    let deadline = Instant::now() + SYNC_TIMEOUT;
    while sync.status == SyncStatus::Running {
        if Instant::now() >= deadline {
            return Err(Failure::new("the synchronisation has not ended after half an hour"));
        }
        tokio::time::sleep(ASK_EVERY).await;
        sync = client.get_sync().await?;
    }
    Ok(sync)
}

fn status_of(sync: &Sync) -> ExitStatus {
    match sync.status {
        SyncStatus::Failed => ExitStatus::Failed,
        SyncStatus::Never | SyncStatus::Running | SyncStatus::Succeeded => ExitStatus::Ok,
    }
}

fn json_values(attributes: Vec<(String, String)>) -> impl Iterator<Item = (String, serde_json::Value)> {
    attributes.into_iter().map(|(key, value)| (key, input::json_or_text(&value)))
}
