//! When reports are deleted that are past the limits: soon after one was written, and every hour for those that age.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config::Retention;
use crate::report::words::count;
use crate::store::Store;

/// How long after a look the next one may follow: each reads the whole directory.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// How long after a look the next one follows in any case.
const HOUR: Duration = Duration::from_secs(3600);

/// The limits, and when they are held next.
#[derive(Debug)]
pub(super) struct Retained {
    limits: Retention,
    due: Instant,
    last: Option<Instant>,
}

impl Retained {
    pub(super) fn new(limits: Retention, now: Instant) -> Self {
        Self {
            limits,
            due: now + HOUR,
            last: None,
        }
    }

    /// Takes other limits, to be held at once.
    pub(super) fn set(&mut self, limits: Retention, now: Instant) {
        self.limits = limits;
        self.due = now;
    }

    /// There is one more report, or no room for one.
    pub(super) fn hurry(&mut self, now: Instant) {
        let earliest = self.last.map_or(now, |last| last + LEAST_INTERVAL);
        self.due = self.due.min(earliest);
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Deletes what is past the limits, if it is time to look.
    pub(super) fn hold(&mut self, store: &Store, now: Instant) {
        if now < self.due {
            return;
        }
        self.last = Some(now);
        self.due = now + HOUR;
        match store.vacuum(&self.limits, Timestamp::now()) {
            Ok(gone) if gone.is_empty() => {}
            Ok(gone) => {
                let mut reasons: Vec<&str> = gone.iter().map(|gone| gone.reason.key()).collect();
                reasons.sort_unstable();
                reasons.dedup();
                let reports = count(gone.len(), "report");
                log::info!("{reports} deleted, past {}", reasons.join(", "));
            }
            Err(error) => log::warn!("old reports stay: {error}"),
        }
    }
}
