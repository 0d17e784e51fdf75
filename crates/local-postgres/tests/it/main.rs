//! Each test starts a real server; without PostgreSQL the tests are skipped with a message.

mod errors;
mod lifecycle;
mod owner_death;
mod support;
