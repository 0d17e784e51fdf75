//! The audit log, and its check against the chains and against their exported ends.

mod exported;

use api_types::{
    access::{AuditCheck, AuditFault},
    rights::SERVICES,
};

use super::filter;
use crate::arguments::{AuditArguments, AuditCommand, AuditHead};
use crate::connect::Connection;
use exported::ExportedHeads;
use terminal::{Columns, Printer, note, print};
use terminal::{CommandResult, ExitStatus, Failure, OK};

const CHECKS: Columns = "service position hash complete=is_complete waiting outside fault=fault/reason";
const AUDIT: Columns = "at who=subject service action object reason";
const EXPORTS: Columns =
    "service destination exported=exported_at position attempts error=last_error public_key";

pub async fn audit(connection: &Connection, arguments: AuditArguments, printer: Printer) -> CommandResult {
    match arguments.command {
        Some(AuditCommand::Verify { heads, exported, public_keys }) => {
            let exported = ExportedHeads::read(&exported, &public_keys)?;
            verify(connection, &heads, &exported, printer).await
        }
        Some(AuditCommand::Exports) => exports(connection, printer).await,
        None => {
            let filter = filter([("object", arguments.object)]);
            printer.list(&connection.access().list_audit(&filter, arguments.most.limit).await?, AUDIT)
        }
    }
}

async fn exports(connection: &Connection, printer: Printer) -> CommandResult {
    let mut exports = Vec::new();
    for service in SERVICES {
        exports.extend(connection.access_at(service).list_audit_exports().await?);
    }
    printer.list(&exports, EXPORTS)
}

/// Checks every chain to its end, and that the noted and exported ends are still in them.
async fn verify(
    connection: &Connection,
    heads: &[AuditHead],
    exported: &ExportedHeads,
    printer: Printer,
) -> CommandResult {
    let mut checks = Vec::new();
    let mut faults = exported.faults().to_vec();
    for service in SERVICES {
        let client = connection.access_at(service);
        for head in heads.iter().filter(|head| head.service == service) {
            let at_head = client.check_audit(i64::from(head.position) - 1, Some(1)).await?;
            if (at_head.position, &at_head.hash) != (i64::from(head.position), &head.hash) {
                faults.push(format!(
                    "the chain of {service} does not contain the noted position {}",
                    head.position
                ));
            }
        }
        let check = check_to_end(connection, service).await?;
        if let Some(fault) = &check.fault {
            let AuditFault { position, sequence, reason } = fault;
            faults.push(format!("{service}, position {position}, record {sequence}: {reason}"));
        }
        if check.outside > 0 {
            faults.push(format!("{service}: {} records are outside of the chain", check.outside));
        }
        faults.extend(exported.first_difference(&client, service).await?);
        checks.push(check);
    }
    let heads = |check: &AuditCheck| format!("{}:{}:{}", check.service, check.position, check.hash);
    if printer.is_for_people() {
        checks.iter().try_for_each(|check| print(&format!("{}\n", heads(check))))?;
    } else {
        printer.list(&checks, CHECKS)?;
    }
    exported.note_coverage();
    if faults.is_empty() {
        return OK;
    }
    faults.iter().for_each(|fault| note(fault));
    Ok(ExitStatus::Failed)
}

async fn check_to_end(connection: &Connection, service: &str) -> Result<AuditCheck, Failure> {
    let client = connection.access_at(service);
    let mut check = client.check_audit(0, None).await?;
    while !check.is_complete && check.fault.is_none() {
        check = client.check_audit(check.position, None).await?;
    }
    Ok(check)
}
