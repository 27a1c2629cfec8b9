//! Users whose enrolments are refused again and again: whether one more is looked into at all.
//!
//! Everybody may ask to be enrolled, and each time it takes a look at control groups to tell whether they belong to the
//! service. Who does belong to it is never counted, however often it restarts; who is refused may try so many times, and
//! then once in a while.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// So many refusals are looked into one after the other.
const BURST: u32 = 16;
/// How long one refusal counts.
const EACH: Duration = Duration::from_secs(4);
/// The most users that are remembered; past it they are all forgiven.
const MAX_USERS: usize = 1024;

/// Until when the refusals of each user count, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Refusals(HashMap<u32, Instant>);

impl Refusals {
    /// Whether that user has had its share for now.
    pub(super) fn are_too_many(&self, user: u32, now: Instant) -> bool {
        let counts = |until: &Instant| until.saturating_duration_since(now) > EACH * (BURST - 1);
        self.0.get(&user).is_some_and(counts)
    }

    /// Counts a refusal.
    pub(super) fn note(&mut self, user: u32, now: Instant) {
        if self.0.len() >= MAX_USERS {
            self.0.clear();
        }
        let until = self.0.entry(user).or_insert(now);
        *until = (*until).max(now) + EACH;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_its_share_and_gets_it_back() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        for _ in 0..BURST {
            assert!(!refusals.are_too_many(1000, now));
            refusals.note(1000, now);
        }
        assert!(refusals.are_too_many(1000, now));
        assert!(!refusals.are_too_many(1001, now), "others are not concerned");
        assert!(!refusals.are_too_many(1000, now + EACH));
        refusals.note(1000, now + EACH);
        assert!(refusals.are_too_many(1000, now + EACH));
        assert!(!refusals.are_too_many(1000, now + EACH * BURST * 2));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        for user in 0..3 * MAX_USERS {
            refusals.note(u32::try_from(user).unwrap(), now);
        }
        assert!(refusals.0.len() <= MAX_USERS);
    }
}
