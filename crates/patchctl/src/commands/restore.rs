//! Restores a backup; and what follows a restore of any kind: whether the database is the one that was worked with, and its confirmation.

use api_types::patch::{ConfirmInstallation, Hold, Installation};

use crate::arguments::{GlobalOptions, RestoreArguments, RestoreCommand};
use crate::connect::{self, Connection};
use crate::platform::{RestoreConfig, restore};
use terminal::{Columns, Printer, note, print};
use terminal::{CommandResult, ExitStatus, Failure, OK};

use super::{backup, spaced_name};

const RUNS: Columns = "run=id stage unfinished_hosts created=created_at reason";

pub async fn run(global: &GlobalOptions, arguments: RestoreArguments, printer: Printer) -> CommandResult {
    let Some(command) = arguments.command else {
        let Some(file) = arguments.file else {
            return Err(Failure::usage("name the backup to restore: `patchctl restore FILE`"));
        };
        let config = RestoreConfig {
            data_dir: connect::data_dir(global)?,
            database_url: backup::database_url(&arguments.database)?,
            file,
            replace: arguments.replace,
        };
        let printed = backup::show(&restore(&config).await?, printer)?;
        note("start the platform; its open runs wait, and `patchctl restore status` shows them");
        return Ok(printed);
    };
    let client = Connection::new(global)?.patch();
    match command {
        RestoreCommand::Status => {
            let found = client.get_installation().await?;
            show(&found, printer)?;
            Ok(if found.hold.is_some() { ExitStatus::Partial } else { ExitStatus::Ok })
        }
        RestoreCommand::Confirm { reason } => {
            show(&client.confirm_installation(&ConfirmInstallation { reason }).await?, printer)
        }
    }
}

fn show(found: &Installation, printer: Printer) -> CommandResult {
    if !printer.is_for_people() {
        return printer.item(found);
    }
    let Installation { id, epoch, hold, held_runs, .. } = found;
    print(&format!("installation {id}, epoch {epoch}: {}\n", hold_text(hold.as_ref())))?;
    if held_runs.is_empty() {
        return OK;
    }
    print("\nThese runs wait for an operator. What was done to their hosts since then is not known.\n")?;
    printer.section(held_runs, RUNS)
}

/// One sentence for people.
pub(super) fn hold_text(hold: Option<&Hold>) -> String {
    match hold {
        None => "nothing is to be confirmed".to_owned(),
        Some(Hold { cause, detail, .. }) => format!(
            "held ({}): {detail}; nothing is worked on until an administrator runs `patchctl restore confirm`",
            spaced_name(cause)
        ),
    }
}
