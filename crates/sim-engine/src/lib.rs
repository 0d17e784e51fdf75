//! sim-engine
