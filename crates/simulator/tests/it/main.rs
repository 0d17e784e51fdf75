//! The simulator as its users see it: plans in, forecasts out.

mod checks;
mod fixture;
mod forecasts;
mod inverses;
mod ledgers;
mod natives;
mod plots;
mod scenarios;
