use std::process::ExitCode;

fn main() -> ExitCode {
    service_kit::cli::main::<sim_engine::SimEngine>()
}
