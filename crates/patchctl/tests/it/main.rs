//! The program as its users see it: real processes, real output, real exit statuses.

mod answers;
mod audit_exports;
mod backups;
mod commands;
mod duties;
mod imports;
mod login;
mod manners;
mod program;
mod run_parts;
mod simulate;
mod up;
mod usage;
mod watch;
