//! Compares predictions with reality: how far they can be trusted, and what the model learns.

mod calibration;
mod refit;

pub use calibration::{Actual, Calibration, calibrate};
pub use refit::{HostObservation, refit};
