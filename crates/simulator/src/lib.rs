//! Plays a plan before it is approved: how long it takes, what may go wrong, what stays exposed.
//!
//! Pure: no network, no database, no wall clock, no global source of randomness. A seed comes in as an argument and the
//! same seed returns the same result, however many threads share the work.

pub mod check;
pub mod compare;
pub mod distribution;
pub mod forecast;
pub mod inverse;
pub mod ledger;
pub mod native;
pub mod output;
pub mod plot;
pub mod random;
pub mod replay;
pub mod statistics;
pub mod trace;

mod choice;
mod parallel;

pub use compare::{
    Comparison, RefusedStrategy, StrategyOutcome, compare, compare_within, estimated, plan_and_forecast,
};
pub use distribution::Distribution;
pub use forecast::{
    DurationModel, Forecast, HostModel, ServiceForecast, forecast, forecast_within, window_note,
};
pub use inverse::{Answer, Deadline, Inverse, meet_deadline};
pub use ledger::{Actual, Calibration, HostObservation, calibrate, refit};
pub use replay::{Observed, replay};
pub use statistics::{Probability, Spread};
