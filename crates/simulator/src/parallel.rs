//! Shares independent runs among the cores.

use std::{num::NonZeroUsize, thread};

/// `play(0..count)` in order. The results do not depend on the number of threads, because a run knows nothing but its
/// number.
pub fn map<T: Send>(count: usize, play: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    map_on(cores, count, play)
}

pub fn map_on<T: Send>(threads: usize, count: usize, play: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let share = count.div_ceil(threads.max(1)).max(1);
    if share >= count {
        return (0..count).map(play).collect();
    }
    let play = &play;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..count)
            .step_by(share)
            .map(|from| scope.spawn(move || (from..count.min(from + share)).map(play).collect::<Vec<T>>()))
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::map_on;

    #[test]
    fn results_keep_their_order_whatever_the_threads() {
        let expected: Vec<usize> = (0..10).map(|n| n * n).collect();
        for threads in [1, 2, 3, 7, 50] {
            assert_eq!(map_on(threads, 10, |n| n * n), expected);
        }
        assert!(map_on(4, 0, |n| n).is_empty());
    }
}
