//! The vocabulary of the product: ids, states and their transitions, plans, policies, windows.
//!
//! Pure: nothing here touches the network, a database, the wall clock or a global source of randomness. Time and
//! randomness come in as arguments, so every decision can be played again.

pub mod baseline;
pub mod bootstrap;
pub mod change;
pub mod compliance;
pub mod ids;
pub mod owner_notice;
pub mod package;
pub mod pin;
pub mod plan;
pub mod plan_diff;
pub mod policy;
pub mod pre_approval;
pub mod preflight;
pub mod quantity;
pub mod release;
pub mod restart;
pub mod run;
pub mod selector;
pub mod strategy;
pub mod text;
pub mod time;
pub mod transaction;
pub mod workflow;

mod named;
