use api_types::patch::Hold;

use super::restore::hold_text;
use crate::arguments::GlobalOptions;
use crate::connect::{self, Connection};
use crate::platform::ask_readiness;
use terminal::{CommandResult, ExitStatus};
use terminal::{Printer, note, row};

/// Exit status 0 when all services are ready, 3 when some are or a restore is to be confirmed, 1 when none is.
pub async fn run(global: &GlobalOptions, printer: Printer) -> CommandResult {
    let addresses = connect::addresses(global)?;
    let client = api_client::builder().build().map_err(anyhow::Error::from)?;
    let mut rows = Vec::new();
    let mut ready = 0;
    for (service, base) in addresses.each() {
        let asked = ask_readiness(&client, base).await;
        ready += usize::from(asked.is_ok());
        let state = asked.map_or_else(|reason| format!("not ready: {reason}"), |()| "ready".to_owned());
        rows.push(row![service, base, state]);
    }
    let all = rows.len();
    printer.rows(&["service", "address", "state"], rows)?;
    if let Some(hold) = find_hold(global).await {
        note(&hold_text(Some(&hold)));
        return Ok(ExitStatus::Partial);
    }
    Ok(match ready {
        0 => ExitStatus::Failed,
        ready if ready == all => ExitStatus::Ok,
        _ => ExitStatus::Partial,
    })
}

/// Why the installation is held, as far as the caller may know: without a token, only readiness is known.
async fn find_hold(global: &GlobalOptions) -> Option<Hold> {
    let client = Connection::new(global).ok()?.patch();
    client.get_installation().await.ok()?.hold
}
