//! The public interface of the planner: requests in, plans and notes out.

mod fixture;
mod host_plans;
mod host_plans_always;
mod lints;
mod scenarios;
mod strategies;
