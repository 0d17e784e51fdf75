//! Predictions held against what happened: how far they may be trusted, and what the model learns.

mod calibration;
mod refit;

pub use calibration::{Actual, Calibration, calibrate};
pub use refit::{HostObservation, refit};
