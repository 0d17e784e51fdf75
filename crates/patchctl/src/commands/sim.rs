//! The sim-engine: virtual machines, faults and repositories.

use api_client::sim::SimClient;
use api_types::sim::{
    CreateFault, CreateSnapshot, CreateVm, CreateVms, GuestSpec, SimState, StartTransaction, TransactionState,
};
use serde_json::Value;
use uuid::Uuid;

use super::{add_tags, filter};
use crate::arguments::{FaultCommand, RepositoryCommand, SnapshotCommand, VmCommand};
use crate::connect::Connection;
use crate::input;
use terminal::{Columns, Printer, done, note};
use terminal::{CommandResult, ExitStatus, Failure};

/// After this time the service returns the transaction as it is.
const WAIT_SECONDS: u32 = 20;

const VMS: Columns = "id driver os power reachable cluster hypervisor tags";
const SNAPSHOTS: Columns = "id vm=vm_id owner purpose created=created_at expires=expires_at bytes=size_bytes";
const TRANSACTIONS: Columns = "id=transaction_id state changed failure started=started_at";
const FAULTS: Columns = "id kind vm=vm_id probability times_left service delay=delay_seconds strikes";

pub async fn vm(connection: &Connection, command: VmCommand, printer: Printer) -> CommandResult {
    let client = connection.sim();
    match command {
        VmCommand::List { os, cluster, hypervisor, power, tags, most } => {
            let mut filter =
                filter([("os", os), ("cluster", cluster), ("hypervisor", hypervisor), ("power", power)]);
            add_tags(&mut filter, tags);
            let mut vms = client.list_vms(&filter).await?;
            vms.truncate(most.limit);
            printer.list(&vms, VMS)
        }
        VmCommand::Show { id } => printer.item(&client.get_vm(&id).await?),
        VmCommand::Create { id, os, driver, image, cluster, hypervisor, tags, file } => {
            match (file, id, os) {
                (Some(file), ..) => create_from(&client, input::request(&file)?, printer).await,
                (None, Some(id), Some(os)) => {
                    let tags = tags.into_iter().collect();
                    let request = CreateVm {
                        id,
                        driver,
                        os,
                        image,
                        cluster,
                        hypervisor,
                        tags,
                        guest: GuestSpec::default(),
                    };
                    printer.item(&client.create_vm(&request).await?)
                }
                _ => Err(Failure::usage("pass the id of the machine and its --os, or a file")),
            }
        }
        VmCommand::Delete { id } => {
            client.delete_vm(&id).await?;
            done(&format!("{id} is deleted"))
        }
        VmCommand::Power { id, action } => printer.item(&client.set_power(&id, action).await?),
        VmCommand::Snapshot(command) => snapshot(&client, command, printer).await,
        VmCommand::Guest { id } => printer.item(&client.get_guest(&id).await?),
        VmCommand::Service { id, service, action } => {
            printer.item(&client.control_service(&id, &service, action).await?)
        }
        VmCommand::Install { id, packages } => {
            let request = StartTransaction {
                transaction_id: format!("patchctl:{}", Uuid::now_v7()),
                packages: packages.into_iter().collect(),
                owner: None,
            };
            let transaction = client.start_transaction(&id, &request, WAIT_SECONDS).await?;
            let printed = printer.item(&transaction)?;
            Ok(if transaction.state == TransactionState::Failed { ExitStatus::Failed } else { printed })
        }
        VmCommand::Transactions { id } => printer.list(&client.list_transactions(&id).await?, TRANSACTIONS),
        VmCommand::Reboot { id } => printer.item(&client.reboot_guest(&id, None).await?),
        VmCommand::Hypervisors => printer.list(&client.list_hosts().await?, "id cluster vms"),
        VmCommand::Clusters => printer.list(&client.list_clusters().await?, "id hypervisors vms"),
        VmCommand::State { since: Some(since) } => printer.json(&client.get_state_diff(since).await?),
        VmCommand::State { since: None } => state(&client.get_state().await?, printer),
    }
}

/// One machine, or many under `vms:`.
async fn create_from(client: &SimClient, request: Value, printer: Printer) -> CommandResult {
    let wrong =
        |error: serde_json::Error| Failure::usage(format!("the file is not a valid request: {error}"));
    if request.get("vms").is_some() {
        let request: CreateVms = serde_json::from_value(request).map_err(wrong)?;
        return printer.item(&client.create_vms(&request).await?);
    }
    let request: CreateVm = serde_json::from_value(request).map_err(wrong)?;
    printer.item(&client.create_vm(&request).await?)
}

async fn snapshot(client: &SimClient, command: SnapshotCommand, printer: Printer) -> CommandResult {
    match command {
        SnapshotCommand::List { vm } => printer.list(&client.list_snapshots(&vm).await?, SNAPSHOTS),
        SnapshotCommand::Create { vm, owner, purpose, hours } => {
            let duration_seconds = Some(hours.saturating_mul(3600));
            let request = CreateSnapshot { owner, purpose, duration_seconds, expires_at: None };
            printer.item(&client.create_snapshot(&vm, &request).await?)
        }
        SnapshotCommand::Delete { vm, snapshot } => {
            client.delete_snapshot(&vm, snapshot).await?;
            done(&format!("snapshot {snapshot} is deleted"))
        }
        SnapshotCommand::Revert { vm, snapshot } => {
            printer.item(&client.revert_snapshot(&vm, snapshot).await?)
        }
    }
}

fn state(state: &SimState, printer: Printer) -> CommandResult {
    if !printer.is_for_people() {
        return printer.json(state);
    }
    note(&format!("version {}", state.version));
    printer.list(&state.vms, VMS)
}

pub async fn fault(connection: &Connection, command: FaultCommand, printer: Printer) -> CommandResult {
    let client = connection.sim();
    let faults_of = |vm: Option<_>| filter([("vm_id", vm.map(|id: domain::ids::CiId| id.to_string()))]);
    match command {
        FaultCommand::Inject { kind, vms, probability, times, service, delay, seed } => {
            let mut injected = Vec::new();
            for vm_id in vms {
                let service = service.clone();
                let request = CreateFault { vm_id, probability, times, service, delay_seconds: delay, seed };
                injected.push(client.inject_fault(kind, &request).await?);
            }
            printer.list(&injected, FAULTS)
        }
        FaultCommand::List { vm, most } => {
            let mut faults = client.list_faults(&faults_of(vm)).await?;
            faults.truncate(most.limit);
            printer.list(&faults, FAULTS)
        }
        FaultCommand::Clear { id: Some(id), .. } => {
            client.delete_fault(id).await?;
            done(&format!("fault {id} is cleared"))
        }
        FaultCommand::Clear { id: None, vm, .. } => {
            let faults = client.list_faults(&faults_of(vm)).await?;
            for fault in &faults {
                client.delete_fault(fault.id).await?;
            }
            done(&format!("faults cleared: {}", faults.len()))
        }
    }
}

pub async fn repository(
    connection: &Connection,
    command: RepositoryCommand,
    printer: Printer,
) -> CommandResult {
    let client = connection.sim();
    let repository = match command {
        RepositoryCommand::Show { os } => client.get_repository(&os).await?,
        RepositoryCommand::Set { os, request } => {
            client.put_repository(&os, &input::request(&request.file)?).await?
        }
    };
    let rows = repository.packages.iter().map(|(name, versions)| vec![name.clone(), versions.join(", ")]);
    printer.rows_of(&repository, &["package", "versions"], rows)
}
