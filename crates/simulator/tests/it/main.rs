//! The simulator as its users see it: plans in, forecasts out.

mod checks;
mod fixture;
mod forecasts;
mod natives;
mod oracle;
mod references;
mod scenarios;
