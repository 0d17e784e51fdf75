//! The ITSM service over real HTTP and a real PostgreSQL.

mod lab;
mod links;
mod mailbox;
mod receiver;

mod approve_page;
mod approvers;
mod audit_exports;
mod bad_input;
mod changes;
mod conflicts;
mod duties;
mod execution;
mod incidents;
mod outbox;
mod outbox_faults;
mod problems;
mod receivers_guard;
mod reviews;
mod sign_in;
mod smtp_server;
mod transitions;
mod webhooks;
