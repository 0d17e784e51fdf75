use super::simulate;
use crate::arguments::PlanCommand;
use crate::connect::Connection;
use crate::failure::{Failure, Outcome};
use crate::output::Printer;

pub async fn run(
    connect: impl FnOnce() -> Result<Connection, Failure>,
    command: PlanCommand,
    printer: Printer,
) -> Outcome {
    let PlanCommand::Simulate(arguments) = command;
    simulate::run(connect, arguments, printer).await
}
