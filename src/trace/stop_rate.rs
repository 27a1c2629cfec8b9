//! Whether a service stops for its tracer more often than is good for it.
//!
//! Each signal, and each birth and end of a thread, costs the service some microseconds more than unsupervised. The
//! clock is looked at once in as many stops as the limit allows for a second, so that a single stop costs one
//! subtraction.

use std::time::{Duration, Instant};

/// For how long the limit has to be exceeded without a pause.
pub const SUSTAINED: Duration = Duration::from_secs(5);
/// What the limit is about.
const SECOND: Duration = Duration::from_secs(1);

/// Counts the stops of one service.
#[derive(Debug)]
pub struct StopRate {
    /// Stops a second; 0 for no limit.
    limit: u32,
    /// How many stops are left before the clock is looked at, and when it was.
    left: u32,
    looked_at: Instant,
    /// Since when the limit has been exceeded, and how many stops there were in that time.
    exceeded: Option<(Instant, u64)>,
    told: bool,
}

/// The limit was exceeded for [`SUSTAINED`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyStops {
    /// Stops a second in that time.
    pub per_second: u64,
    /// How long it was.
    pub time: Duration,
}

impl StopRate {
    /// At most so many stops a second are wanted; 0 for any number.
    pub fn new(limit: u32, now: Instant) -> Self {
        Self {
            limit,
            left: limit,
            looked_at: now,
            exceeded: None,
            told: false,
        }
    }

    /// Counts a stop. The first time that the limit turns out to be exceeded for long, it says so.
    pub fn count(&mut self, clock: impl FnOnce() -> Instant) -> Option<TooManyStops> {
        self.left = self.left.saturating_sub(1);
        if self.left > 0 || self.limit == 0 {
            return None;
        }
        self.left = self.limit;
        let now = clock();
        let before = std::mem::replace(&mut self.looked_at, now);
        if now.duration_since(before) >= SECOND {
            self.exceeded = None;
            return None;
        }
        let (since, stops) = self.exceeded.unwrap_or((before, 0));
        let stops = stops + u64::from(self.limit);
        self.exceeded = Some((since, stops));
        let time = now.duration_since(since);
        if self.told || time < SUSTAINED {
            return None;
        }
        self.told = true;
        let per_second = (stops as f64 / time.as_secs_f64()) as u64;
        Some(TooManyStops { per_second, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: [u64; 0] = [];

    /// What is said about stops at these rates, each for a number of seconds.
    fn told(limit: u32, phases: &[(u32, u32)]) -> Vec<u64> {
        let begin = Instant::now();
        let mut rate = StopRate::new(limit, begin);
        let mut told = Vec::new();
        let mut now = begin;
        for (per_second, seconds) in phases {
            for _ in 0..per_second * seconds {
                now += SECOND / *per_second;
                told.extend(rate.count(|| now).map(|excess| excess.per_second));
            }
        }
        told
    }

    #[test]
    fn a_storm_that_lasts_is_told_of_once_with_its_rate() {
        assert_eq!(told(2000, &[(10_000, 4)]), NOTHING);
        assert_eq!(told(2000, &[(10_000, 20)]), [10_000]);
        assert_eq!(told(2000, &[(10_000, 20), (10, 60), (50_000, 20)]), [10_000]);
    }

    #[test]
    fn a_pause_starts_the_time_anew() {
        assert_eq!(told(2000, &[(10_000, 4), (100, 30), (10_000, 4)]), NOTHING);
    }

    #[test]
    fn what_the_limit_allows_is_not_told_of() {
        assert_eq!(told(2000, &[(1999, 30)]), NOTHING);
        assert_eq!(told(0, &[(100_000, 10)]), NOTHING);
        assert_eq!(told(1, &[(3, 10)]), [3]);
    }
}
