//! The wait before another attempt.

use std::time::Duration;

/// The wait after so many failures in a row: `first`, doubled by each further one, up to `longest`.
pub fn wait_after(failures: u32, first: Duration, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let seconds =
            |failures| wait_after(failures, Duration::from_secs(30), Duration::from_secs(600)).as_secs();
        assert_eq!([0, 1, 2, 3, 4].map(seconds), [30, 30, 60, 120, 240]);
        assert_eq!([6, 40, u32::MAX].map(seconds), [600; 3]);
    }
}
