//! What the tracer is asked, whether it answers, and how often the service stops by what it said.

use std::time::{Duration, Instant};

use crate::ipc::Census;

/// How long a tracer may leave a question unanswered. It ends itself where one fault keeps it half as long.
const SILENCE: Duration = Duration::from_secs(20);
/// Over less time one burst of stops would be a rate.
const SPAN: Duration = Duration::from_secs(1);

/// What one tracer was asked, and what it said.
#[derive(Debug, Default)]
pub(super) struct Inquiry {
    asked: Option<Instant>,
    census: Census,
    /// When stops were counted, and how many there had been.
    counted: Option<(Instant, u64)>,
    stops_per_second: u64,
}

impl Inquiry {
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
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

    /// Whether the tracer has been silent for too long.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }

    /// When it will have been.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asked.map(|asked| asked + SILENCE)
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
    fn a_rate_is_over_a_second_or_more() {
        let (mut inquiry, now) = (Inquiry::default(), Instant::now());
        inquiry.answered(stops(100), now);
        inquiry.answered(stops(1000), now + SPAN / 2);
        assert_eq!(inquiry.stops_per_second(), 0);
        inquiry.answered(stops(2100), now + 2 * SPAN);
        assert_eq!(inquiry.stops_per_second(), 1000);
    }
}
