//! How many threads a process may lose before nothing more is taken from it.
//!
//! A service that loses one thread after the other is no longer the service that was started: past the limit, a fault
//! takes its signal, and whoever manages the service starts it anew.

use std::collections::VecDeque;
use std::time::Duration;

use crate::sys::Pid;

/// The most threads that a process may lose within [`WINDOW`].
pub const MAX_TAKEN: usize = 3;
const WINDOW: Duration = Duration::from_secs(600);
/// The most losses that are remembered.
const MAX_REMEMBERED: usize = 1024;

/// The threads that were taken away lately. The time is the caller's: any clock that does not run backwards.
#[derive(Debug, Default)]
pub struct TakenThreads(VecDeque<(Pid, Duration)>);

impl TakenThreads {
    /// Whether that process may lose another thread.
    pub fn allow(&mut self, process: Pid, now: Duration) -> bool {
        while self
            .0
            .front()
            .is_some_and(|(_, then)| now.saturating_sub(*then) >= WINDOW)
        {
            self.0.pop_front();
        }
        self.0.len() < MAX_REMEMBERED
            && self.0.iter().filter(|(taken, _)| *taken == process).count() < MAX_TAKEN
    }

    /// That process has lost a thread.
    pub fn note(&mut self, process: Pid, now: Duration) {
        self.0.push_back((process, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_lose_three_threads_within_ten_minutes() {
        let mut taken = TakenThreads::default();
        let at = Duration::from_secs;
        for time in [0, 10, 20] {
            assert!(taken.allow(Pid(7), at(time)));
            taken.note(Pid(7), at(time));
        }
        assert!(!taken.allow(Pid(7), at(599)));
        assert!(taken.allow(Pid(8), at(599)), "another process");
        assert!(taken.allow(Pid(7), at(600)), "the first is forgotten");
    }
}
