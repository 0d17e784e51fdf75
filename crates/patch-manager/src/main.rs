use std::process::ExitCode;

fn main() -> ExitCode {
    service_kit::cli::main::<patch_manager::PatchManager>()
}
