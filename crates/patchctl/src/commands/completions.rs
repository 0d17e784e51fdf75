use clap::CommandFactory;
use clap_complete::Shell;

use super::OK;
use crate::arguments::Arguments;
use crate::failure::Outcome;
use crate::output::print;

pub fn run(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "patchctl", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    OK
}
