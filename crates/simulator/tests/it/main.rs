//! The public interface of the simulator: plans in, forecasts out.

mod checks;
mod fixture;
mod forecasts;
mod inverses;
mod ledgers;
mod natives;
mod plots;
mod scenarios;
mod traces;
