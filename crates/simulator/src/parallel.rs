//! Distributes independent runs over the cores.

use std::{num::NonZeroUsize, thread};

pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// `play(0..count)` in order. The results do not depend on the number of threads, because a run knows only its number.
pub fn map<T: Send>(count: usize, play: impl Fn(usize) -> T + Sync) -> Vec<T> {
    map_with(cores(), count, || (), |(), run| play(run))
}

/// Like [`map`], with a workspace per thread; `play` must leave nothing in it that affects the next run.
pub fn map_with<W, T: Send>(
    threads: usize,
    count: usize,
    workspace: impl Fn() -> W + Sync,
    play: impl Fn(&mut W, usize) -> T + Sync,
) -> Vec<T> {
    let share = count.div_ceil(threads.max(1)).max(1);
    let work = |from: usize| {
        let mut workspace = workspace();
        (from..count.min(from + share)).map(|run| play(&mut workspace, run)).collect::<Vec<T>>()
    };
    if share >= count {
        return work(0);
    }
    let work = &work;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..count).step_by(share).map(|from| scope.spawn(move || work(from))).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::map_with;

    #[test]
    fn results_keep_their_order_whatever_the_threads() {
        let expected: Vec<usize> = (0..10).map(|n| n * n).collect();
        for threads in [1, 2, 3, 7, 50] {
            assert_eq!(map_with(threads, 10, || (), |(), n| n * n), expected);
        }
        assert!(map_with(4, 0, || (), |(), n| n).is_empty());
    }
}
