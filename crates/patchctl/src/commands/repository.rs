use super::OK;
use crate::arguments::{Format, RepositoryCommand};
use crate::connect::Connection;
use crate::failure::Outcome;
use crate::input;
use crate::output::Printer;

pub async fn run(connection: &Connection, command: RepositoryCommand, printer: Printer) -> Outcome {
    let client = connection.sim();
    let repository = match command {
        RepositoryCommand::Show { os } => client.get_repository(&os).await?,
        RepositoryCommand::Set { os, request } => {
            client.put_repository(&os, &input::request(&request.file)?).await?
        }
    };
    if printer.format == Format::Json {
        printer.json(&repository)?;
        return OK;
    }
    let rows = repository.packages.iter().map(|(name, versions)| vec![name.clone(), versions.join(", ")]);
    printer.rows(&["package", "versions"], rows.collect())?;
    OK
}
