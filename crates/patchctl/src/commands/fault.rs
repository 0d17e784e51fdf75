use api_types::sim::CreateFault;

use super::{OK, filter};
use crate::arguments::FaultCommand;
use crate::connect::Connection;
use crate::failure::Outcome;
use crate::output::{Column, Printer, note};

const FAULTS: &[Column] = &[
    ("id", "/id"),
    ("kind", "/kind"),
    ("vm", "/vm_id"),
    ("probability", "/probability"),
    ("times left", "/times_left"),
    ("service", "/service"),
    ("delay", "/delay_seconds"),
    ("strikes", "/strikes"),
];

pub async fn run(connection: &Connection, command: FaultCommand, printer: Printer) -> Outcome {
    let client = connection.sim();
    match command {
        FaultCommand::Inject { kind, vms, probability, times, service, delay, seed } => {
            let mut injected = Vec::new();
            for vm_id in vms {
                let request = CreateFault {
                    vm_id,
                    probability,
                    times,
                    service: service.clone(),
                    delay_seconds: delay,
                    seed,
                };
                injected.push(client.inject_fault(kind, &request).await?);
            }
            printer.list(&injected, FAULTS)?;
        }
        FaultCommand::List { vm } => {
            let filter = filter([("vm_id", vm.map(|id| id.to_string()))]);
            printer.list(&client.list_faults(&filter).await?, FAULTS)?;
        }
        FaultCommand::Clear { id: Some(id), .. } => {
            client.delete_fault(id).await?;
            note(&format!("fault {id} is cleared"));
        }
        FaultCommand::Clear { id: None, vm, .. } => {
            let filter = filter([("vm_id", vm.map(|id| id.to_string()))]);
            let faults = client.list_faults(&filter).await?;
            for fault in &faults {
                client.delete_fault(fault.id).await?;
            }
            note(&format!("faults cleared: {}", faults.len()));
        }
    }
    OK
}
