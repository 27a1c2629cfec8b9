//! How many faults are recorded in full before they are only counted.

use std::collections::VecDeque;
use std::time::Duration;

/// The stretch of time that a budget is about.
const WINDOW: Duration = Duration::from_secs(60);

/// Admits at most a number of reports within any minute.
///
/// It remembers when each of the last admissions was, so its size is bounded by the limit, and no minute holds
/// more than the limit wherever it begins. The time is the caller's: any clock that does not run backwards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Budget {
    limit: usize,
    admitted: VecDeque<Duration>,
    counted: u64,
}

/// Whether a fault is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It gets a report.
    Record,
    /// It is only counted, as the so-manieth since [`Budget::take_counted`].
    Count(u64),
}

impl Budget {
    /// A budget of that many reports a minute; 0 records nothing.
    pub const fn per_minute(limit: u32) -> Self {
        Self {
            limit: limit as usize,
            admitted: VecDeque::new(),
            counted: 0,
        }
    }

    /// Whether a fault at `now` (time since any fixed point) is recorded.
    pub fn admit(&mut self, now: Duration) -> Admission {
        while self
            .admitted
            .front()
            .is_some_and(|then| now.saturating_sub(*then) >= WINDOW)
        {
            self.admitted.pop_front();
        }
        if self.admitted.len() < self.limit {
            self.admitted.push_back(now);
            Admission::Record
        } else {
            self.counted = self.counted.saturating_add(1);
            Admission::Count(self.counted)
        }
    }

    /// How many faults were only counted since this was last asked.
    pub fn take_counted(&mut self) -> u64 {
        std::mem::take(&mut self.counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn past_the_limit_faults_are_counted_until_a_minute_has_passed() {
        let mut budget = Budget::per_minute(2);
        assert_eq!(budget.admit(at(0)), Admission::Record);
        assert_eq!(budget.admit(at(30)), Admission::Record);
        assert_eq!(budget.admit(at(59)), Admission::Count(1));
        assert_eq!(budget.admit(at(60)), Admission::Record);
        assert_eq!(budget.admit(at(61)), Admission::Count(2));
        assert_eq!(budget.admit(at(90)), Admission::Record);
        assert_eq!(budget.take_counted(), 2);
        assert_eq!(budget.take_counted(), 0);
    }

    #[test]
    fn a_budget_of_nothing_counts_everything() {
        assert_eq!(Budget::per_minute(0).admit(at(0)), Admission::Count(1));
    }

    proptest::proptest! {
        #[test]
        fn no_minute_holds_more_than_the_limit(limit in 0u32..5, steps in proptest::collection::vec(0u64..40, 0..60)) {
            let mut budget = Budget::per_minute(limit);
            let mut now = 0;
            let mut records: Vec<u64> = Vec::new();
            for step in steps {
                now += step;
                if budget.admit(at(now)) == Admission::Record {
                    records.push(now);
                }
            }
            for &start in &records {
                let within = records.iter().filter(|&&t| t >= start && t < start + 60).count();
                proptest::prop_assert!(within <= limit as usize);
            }
        }
    }
}
