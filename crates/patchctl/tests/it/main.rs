//! The program as its users meet it: real processes, real output, real exit statuses.

mod answers;
mod commands;
mod program;
mod simulate;
mod up;
mod usage;
mod watch;
