use api_client::sim::SimClient;
use api_types::sim::{
    CreateSnapshot, CreateVm, CreateVms, GuestSpec, SimState, StartTransaction, TransactionState,
};
use chrono::{TimeDelta, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{OK, add_tags, filter};
use crate::arguments::{SnapshotCommand, VmCommand};
use crate::connect::Connection;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::input;
use crate::output::{Column, Printer, note};

/// The service answers with what it has after this many seconds.
const WAIT_SECONDS: u32 = 20;

const VMS: &[Column] = &[
    ("id", "/id"),
    ("driver", "/driver"),
    ("os", "/os"),
    ("power", "/power"),
    ("reachable", "/reachable"),
    ("cluster", "/cluster"),
    ("hypervisor", "/hypervisor"),
    ("tags", "/tags"),
];

const SNAPSHOTS: &[Column] = &[
    ("id", "/id"),
    ("vm", "/vm_id"),
    ("owner", "/owner"),
    ("purpose", "/purpose"),
    ("created", "/created_at"),
    ("expires", "/expires_at"),
    ("bytes", "/size_bytes"),
];

const TRANSACTIONS: &[Column] = &[
    ("id", "/transaction_id"),
    ("state", "/state"),
    ("changed", "/changed"),
    ("failure", "/failure"),
    ("started", "/started_at"),
];

const HYPERVISORS: &[Column] = &[("id", "/id"), ("cluster", "/cluster"), ("vms", "/vms")];

const CLUSTERS: &[Column] = &[("id", "/id"), ("hypervisors", "/hypervisors"), ("vms", "/vms")];

pub async fn run(connection: &Connection, command: VmCommand, printer: Printer) -> Outcome {
    let client = connection.sim();
    match command {
        VmCommand::List { os, cluster, hypervisor, power, tags } => {
            let mut filter =
                filter([("os", os), ("cluster", cluster), ("hypervisor", hypervisor), ("power", power)]);
            add_tags(&mut filter, tags);
            printer.list(&client.list_vms(&filter).await?, VMS)?;
        }
        VmCommand::Show { id } => printer.item(&client.get_vm(&id).await?)?,
        VmCommand::Create { id, os, driver, cluster, hypervisor, tags, file } => match (file, id, os) {
            (Some(file), ..) => create_from(&client, input::request(&file)?, printer).await?,
            (None, Some(id), Some(os)) => {
                let tags = tags.into_iter().collect();
                let request =
                    CreateVm { id, driver, os, cluster, hypervisor, tags, guest: GuestSpec::default() };
                printer.item(&client.create_vm(&request).await?)?;
            }
            _ => return Err(Failure::usage("name the machine and its --os, or give a file")),
        },
        VmCommand::Delete { id } => {
            client.delete_vm(&id).await?;
            note(&format!("{id} is deleted"));
        }
        VmCommand::Power { id, action } => printer.item(&client.set_power(&id, action).await?)?,
        VmCommand::Snapshot(command) => snapshot(&client, command, printer).await?,
        VmCommand::Guest { id } => printer.item(&client.get_guest(&id).await?)?,
        VmCommand::Service { id, service, action } => {
            printer.item(&client.control_service(&id, &service, action).await?)?;
        }
        VmCommand::Install { id, packages } => {
            let request = StartTransaction {
                transaction_id: format!("patchctl:{}", Uuid::now_v7()),
                packages: packages.into_iter().collect(),
            };
            let transaction = client.start_transaction(&id, &request, WAIT_SECONDS).await?;
            printer.item(&transaction)?;
            if transaction.state == TransactionState::Failed {
                return Ok(ExitStatus::Failed);
            }
        }
        VmCommand::Transactions { id } => {
            printer.list(&client.list_transactions(&id).await?, TRANSACTIONS)?
        }
        VmCommand::Reboot { id } => printer.item(&client.reboot_guest(&id, None).await?)?,
        VmCommand::Hypervisors => printer.list(&client.list_hosts().await?, HYPERVISORS)?,
        VmCommand::Clusters => printer.list(&client.list_clusters().await?, CLUSTERS)?,
        VmCommand::State { since: Some(since) } => printer.json(&client.get_state_diff(since).await?)?,
        VmCommand::State { since: None } => state(&client.get_state().await?, printer)?,
    }
    OK
}

/// One machine, or many under `vms:`.
async fn create_from(client: &SimClient, request: Value, printer: Printer) -> Result<(), Failure> {
    let wrong = |error: serde_json::Error| Failure::usage(format!("the file is no such request: {error}"));
    if request.get("vms").is_some() {
        let request: CreateVms = serde_json::from_value(request).map_err(wrong)?;
        return printer.item(&client.create_vms(&request).await?);
    }
    let request: CreateVm = serde_json::from_value(request).map_err(wrong)?;
    printer.item(&client.create_vm(&request).await?)
}

async fn snapshot(client: &SimClient, command: SnapshotCommand, printer: Printer) -> Result<(), Failure> {
    match command {
        SnapshotCommand::List { vm } => printer.list(&client.list_snapshots(&vm).await?, SNAPSHOTS),
        SnapshotCommand::Create { vm, owner, purpose, hours } => {
            let expires_at = Utc::now() + TimeDelta::hours(hours.into());
            let request = CreateSnapshot { owner, purpose, expires_at };
            printer.item(&client.create_snapshot(&vm, &request).await?)
        }
        SnapshotCommand::Delete { vm, snapshot } => {
            client.delete_snapshot(&vm, snapshot).await?;
            note(&format!("snapshot {snapshot} is deleted"));
            Ok(())
        }
        SnapshotCommand::Revert { vm, snapshot } => {
            printer.item(&client.revert_snapshot(&vm, snapshot).await?)
        }
    }
}

fn state(state: &SimState, printer: Printer) -> Result<(), Failure> {
    if !printer.is_for_people() {
        return printer.json(state);
    }
    note(&format!("version {}", state.version));
    printer.list(&state.vms, VMS)
}
