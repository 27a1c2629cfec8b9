//! Which reports are wanted.

use jiff::Timestamp;

use super::{Entry, Id, Store, StoreError};
use crate::config::Action;
use crate::report::Summary;
use crate::sys::SigNo;

/// What reports must have in common to be wanted; the default wants all.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Filter {
    /// The service's name.
    pub service: Option<String>,
    /// Nothing before that time.
    pub since: Option<Timestamp>,
    /// Nothing after it.
    pub until: Option<Timestamp>,
    /// The signal.
    pub signal: Option<SigNo>,
    /// What was done to the thread.
    pub action: Option<Action>,
}

impl Store {
    /// Everything that is wanted, newest first. Of a damaged report nothing is known: it is among them where all are
    /// wanted.
    pub fn list_wanted<'s>(
        &'s self,
        filter: &'s Filter,
    ) -> Result<impl Iterator<Item = Entry> + use<'s>, StoreError> {
        let mut entries = self.list()?;
        entries.retain(|id| filter.may_admit(id));
        Ok(entries.filter(|entry| match entry {
            Entry::Report { summary, .. } => filter.admits(summary),
            Entry::Damaged { .. } => *filter == Filter::default(),
        }))
    }
}

impl Filter {
    fn admits(&self, summary: &Summary) -> bool {
        let service = self.service.as_deref();
        let action = self.action.map(Action::name);
        service.is_none_or(|name| summary.service.name.as_deref() == Some(name))
            && self.since.is_none_or(|since| summary.time >= since)
            && self.until.is_none_or(|until| summary.time <= until)
            && self
                .signal
                .is_none_or(|signal| summary.signal.number == Some(signal))
            && action.is_none_or(|action| summary.action.taken.as_deref() == Some(action))
    }

    /// Whether a report of that name can be wanted, as far as its name says; it knows seconds.
    fn may_admit(&self, id: &Id) -> bool {
        let second = id.time().as_second();
        self.since.is_none_or(|since| second >= since.as_second())
            && self.until.is_none_or(|until| second <= until.as_second())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn summary() -> Summary {
        let mut report = sample::null_write();
        report.service.name = Some("api".to_owned());
        report.time = "2026-11-24T10:00:00.5Z".parse().unwrap();
        report.action.taken = Some("deliver".to_owned());
        report.into()
    }

    fn time(text: &str) -> Option<Timestamp> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn every_condition_must_hold() {
        let all = Filter {
            service: Some("api".to_owned()),
            since: time("2026-11-24T10:00:00.5Z"),
            until: time("2026-11-24T10:00:00.5Z"),
            signal: Some(SigNo::SEGV),
            action: Some(Action::Deliver),
        };
        let summary = summary();
        assert!(all.admits(&summary));
        assert!(Filter::default().admits(&summary));
        let others = [
            Filter {
                service: Some("ap".to_owned()),
                ..all.clone()
            },
            Filter {
                since: time("2026-11-24T10:00:00.6Z"),
                ..all.clone()
            },
            Filter {
                until: time("2026-11-24T10:00:00.4Z"),
                ..all.clone()
            },
            Filter {
                signal: Some(SigNo::BUS),
                ..all.clone()
            },
            Filter {
                action: Some(Action::Throw),
                ..all
            },
        ];
        for filter in others {
            assert!(!filter.admits(&summary), "{filter:?}");
        }
    }

    #[test]
    fn names_are_judged_by_their_second() {
        let id: Id = "20261124T100000Z-api-1-0000".parse().unwrap();
        let filter = |since, until| Filter {
            since: time(since),
            until: time(until),
            ..Filter::default()
        };
        assert!(filter("2026-11-24T10:00:00.9Z", "2026-11-24T10:00:00.9Z").may_admit(&id));
        assert!(!filter("2026-11-24T10:00:01Z", "2026-11-24T10:00:02Z").may_admit(&id));
        assert!(!filter("2026-11-24T09:00:00Z", "2026-11-24T09:59:59.9Z").may_admit(&id));
    }
}
