//! What the tracer is asked, whether it answers, and how often the service stops by what it said.
//!
//! Silence counts in two halves, each from a look of ours: whoever was stopped, or frozen with its control group, must
//! not take its own pause for the tracer's.

use std::time::{Duration, Instant};

use crate::ipc::Census;
use crate::sys::fail;

/// How often a tracer is asked, where nobody wants to know more often.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
/// How long it may leave a question unanswered. It ends itself where one fault keeps it half as long.
const SILENCE: Duration = Duration::from_secs(20);
/// Over less time one burst of stops would be a rate.
const SPAN: Duration = Duration::from_secs(1);

/// What one tracer was asked, and what it said.
#[derive(Debug, Default)]
pub(super) struct Inquiry {
    asked: Option<Asked>,
    census: Census,
    /// When stops were counted, and how many there had been.
    counted: Option<(Instant, u64)>,
    stops_per_second: u64,
}

/// A question without an answer so far.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// When it was, or when it was looked for the answer in vain for half of the time.
    since: Instant,
    in_vain: bool,
}

impl Inquiry {
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked = Some(Asked {
            since: now,
            in_vain: false,
        });
    }

    pub(super) fn answered(&mut self, census: Census, now: Instant) {
        self.asked = None;
        self.census = census;
        let Some((counted, before)) = self.counted else {
            self.counted = Some((now, census.stops));
            return;
        };
        let passed = now.duration_since(counted);
        if passed >= SPAN {
            let stops = census.stops.saturating_sub(before);
            self.stops_per_second = (stops as f64 / passed.as_secs_f64()) as u64;
            self.counted = Some((now, census.stops));
        }
    }

    /// Whether no answer is due.
    pub(super) fn is_answered(&self) -> bool {
        self.asked.is_none()
    }

    /// Whether the tracer has been silent for too long, as nothing of it is left to hear now. Said once of a question.
    pub(super) fn is_overdue(&mut self, now: Instant) -> bool {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return false;
        }
        let overdue = self.asked.is_some_and(|asked| asked.in_vain);
        self.asked = (!overdue).then_some(Asked {
            since: now,
            in_vain: true,
        });
        overdue
    }

    /// When to look whether it is.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asked.map(|asked| asked.since + fail::patience(SILENCE) / 2)
    }

    /// What was said last.
    pub(super) fn census(&self) -> Census {
        self.census
    }

    /// Of late.
    pub(super) fn stops_per_second(&self) -> u64 {
        self.stops_per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops(stops: u64) -> Census {
        Census {
            stops,
            ..Census::default()
        }
    }

    #[test]
    fn silence_is_what_two_looks_found() {
        let (mut inquiry, now) = (Inquiry::default(), Instant::now());
        inquiry.asked(now);
        assert!(!inquiry.is_overdue(now + SILENCE / 4));
        assert!(!inquiry.is_overdue(now + SILENCE / 2));
        assert!(!inquiry.is_overdue(now + SILENCE * 3 / 4));
        assert!(inquiry.is_overdue(now + SILENCE));
        assert!(!inquiry.is_overdue(now + SILENCE), "said once");

        // Nobody looked for an hour.
        inquiry.asked(now);
        let later = now + Duration::from_secs(3600);
        assert!(!inquiry.is_overdue(later));
        inquiry.answered(stops(1), later + SILENCE / 4);
        assert!(!inquiry.is_overdue(later + SILENCE));
    }

    #[test]
    fn a_rate_is_over_a_second_or_more() {
        let (mut inquiry, now) = (Inquiry::default(), Instant::now());
        inquiry.answered(stops(100), now);
        inquiry.answered(stops(1000), now + SPAN / 2);
        assert_eq!(inquiry.stops_per_second(), 0);
        inquiry.answered(stops(2100), now + 2 * SPAN);
        assert_eq!(inquiry.stops_per_second(), 1000);
    }
}
