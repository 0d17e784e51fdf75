//! A real server each; skipped with a message where PostgreSQL is not installed.

mod errors;
mod lifecycle;
mod owner_death;
mod support;
