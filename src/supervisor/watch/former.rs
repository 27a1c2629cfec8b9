//! Tracers that were: those that are not reaped yet, and how many have died lately.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::sys::{Pid, wait};

/// So many tracers may die within [`RESTART_WINDOW`] before the service is left unsupervised.
pub(crate) const MAX_RESTARTS: usize = 5;
const RESTART_WINDOW: Duration = Duration::from_secs(60);

/// The earlier tracers of a service.
#[derive(Debug, Default)]
pub(super) struct FormerTracers {
    unreaped: Vec<Pid>,
    deaths: VecDeque<Instant>,
}

impl FormerTracers {
    /// These tracers end, or have ended.
    pub(super) fn extend(&mut self, tracers: impl IntoIterator<Item = Pid>) {
        self.unreaped.extend(tracers);
    }

    /// Reaps those that have ended; true if none is left.
    pub(super) fn reap(&mut self) -> bool {
        self.unreaped.retain(|pid| wait::child_change(*pid).is_none());
        self.unreaped.is_empty()
    }

    /// One died that nobody had asked to end.
    pub(super) fn note_death(&mut self, now: Instant) {
        self.deaths.push_back(now);
    }

    /// Whether so many have died lately that the next one would, too.
    pub(super) fn die_too_often(&mut self, now: Instant) -> bool {
        self.deaths
            .retain(|death| now.duration_since(*death) < RESTART_WINDOW);
        self.died_too_often()
    }

    /// The same as of the last look.
    pub(super) fn died_too_often(&self) -> bool {
        self.deaths.len() > MAX_RESTARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_count_for_a_while() {
        let (mut former, now) = (FormerTracers::default(), Instant::now());
        for _ in 0..MAX_RESTARTS {
            former.note_death(now);
        }
        assert!(!former.die_too_often(now));
        former.note_death(now + RESTART_WINDOW / 2);
        assert!(former.die_too_often(now + RESTART_WINDOW / 2));
        assert!(!former.die_too_often(now + RESTART_WINDOW));
    }
}
