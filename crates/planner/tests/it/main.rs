//! The planner as its users see it: requests in, plans and notes out.

mod fixture;
mod host_plans;
mod host_plans_always;
mod lints;
mod scenarios;
mod strategies;
