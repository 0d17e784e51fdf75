//! The program as its users meet it: real processes, real output, real exit statuses.

mod answers;
mod commands;
mod program;
mod up;
mod usage;
