//! Sources of randomness, always seeded by the caller.
//!
//! They are implemented here because a prediction is stored with its seed and must be reproducible years later, whatever a
//! library's next version does.

mod random_streams;
mod xoshiro;

pub use random_streams::{RandomStream, RunStreams};
pub use xoshiro::Xoshiro256;

/// Uniform numbers in `[0, 1)` with 53 bits.
pub trait Random {
    fn random(&mut self) -> f64;
}
