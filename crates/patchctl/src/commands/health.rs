use crate::arguments::GlobalOptions;
use crate::connect;
use crate::failure::{CommandResult, ExitStatus};
use crate::output::{Printer, row};
use crate::platform::ask_readiness;

/// Exit status 0 when all services are ready, 3 when some are, 1 when none is.
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
    Ok(match ready {
        0 => ExitStatus::Failed,
        ready if ready == all => ExitStatus::Ok,
        _ => ExitStatus::Partial,
    })
}
