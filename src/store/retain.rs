//! Which reports have to go: by their age, by the number and size of a service's, by the size of all, by free space.
//!
//! Under every limit but age the latest report of a service stays: a disk that others have filled does not cost us what
//! we know. Where all together are too many, the service that uses the most gives first, its oldest report first, so a
//! service that crashes all day takes no other's reports. Services are told apart by the names in ids, which need no
//! report to be read; two whose names differ in their punctuation alone share their limits.
//!
//! Reports that are being written stay, and so does whatever in the directory has not the name of a report.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::dir::Space;
use super::error::Context;
use super::{Id, Store, StoreError};
use crate::config::Retention;

/// Of a small file system, not more than one part in so many is to stay free.
const FREE_PART: u64 = 10;

/// A report that has to go, or has gone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Leaving {
    /// Its name.
    pub id: Id,
    /// What it takes of the disk.
    pub bytes: u64,
    /// Why.
    pub reason: Reason,
}

/// The limit that a report is past.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// `max_age`.
    MaxAge,
    /// `service_max_reports`.
    ServiceMaxReports,
    /// `service_max_size`.
    ServiceMaxSize,
    /// `max_size`.
    MaxSize,
    /// `keep_free`.
    KeepFree,
}

impl Store {
    /// The reports that are past the limits, in the order in which they are to go.
    pub fn overdue(&self, limits: &Retention, now: Timestamp) -> Result<Vec<Leaving>, StoreError> {
        let mut kept = Vec::new();
        for id in self.ids()?.into_iter().rev() {
            // What is deleted meanwhile, or is a file, is not counted.
            let Ok(directory) = self.reports.open_dir(id.as_str()) else {
                continue;
            };
            kept.push(Kept {
                bytes: directory.disk_bytes().unwrap_or(0),
                under_way: directory.lock().err() == Some(nix::Error::EWOULDBLOCK),
                id,
            });
        }
        let space = self.reports.space().context("examine", &self.path)?;
        Ok(plan(kept, limits, space, now))
    }

    /// Deletes the reports that are past the limits, and returns them. What cannot be deleted is logged, and stays.
    pub fn vacuum(&self, limits: &Retention, now: Timestamp) -> Result<Vec<Leaving>, StoreError> {
        let mut leaving = self.overdue(limits, now)?;
        leaving.retain(|leaving| match self.delete(&leaving.id) {
            Ok(()) => true,
            Err(error) if error.is_not_found() => false,
            Err(error) => {
                log::warn!("{error}");
                false
            }
        });
        Ok(leaving)
    }
}

impl Reason {
    /// The key of the limit.
    pub const fn key(self) -> &'static str {
        match self {
            Self::MaxAge => "max_age",
            Self::ServiceMaxReports => "service_max_reports",
            Self::ServiceMaxSize => "service_max_size",
            Self::MaxSize => "max_size",
            Self::KeepFree => "keep_free",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// A report as it lies there.
struct Kept {
    id: Id,
    bytes: u64,
    under_way: bool,
}

/// The reports of one service, oldest first.
#[derive(Default)]
struct OfService {
    reports: VecDeque<Kept>,
    bytes: u64,
}

/// What has to go of these reports, which are given oldest first.
fn plan(kept: Vec<Kept>, limits: &Retention, space: Space, now: Timestamp) -> Vec<Leaving> {
    let mut services: BTreeMap<String, OfService> = BTreeMap::new();
    let mut leaving = Vec::new();
    let max_age = jiff::SignedDuration::try_from(limits.max_age.0).unwrap_or(jiff::SignedDuration::MAX);
    for report in kept {
        let is_old = !max_age.is_zero() && now.duration_since(report.id.time()) > max_age;
        if is_old && !report.under_way {
            leaving.push(report.leaves(Reason::MaxAge));
        } else {
            let service = services.entry(report.id.service().to_owned()).or_default();
            service.bytes += report.bytes;
            service.reports.push_back(report);
        }
    }
    let (most_reports, most_bytes) = (limits.service_max_reports as usize, limits.service_max_size.0);
    for service in services.values_mut() {
        while most_reports > 0 && service.reports.len() > most_reports {
            let Some(report) = service.take_oldest() else {
                break;
            };
            leaving.push(report.leaves(Reason::ServiceMaxReports));
        }
        while most_bytes > 0 && service.bytes > most_bytes {
            let Some(report) = service.take_oldest() else {
                break;
            };
            leaving.push(report.leaves(Reason::ServiceMaxSize));
        }
    }
    let stay: u64 = services.values().map(|service| service.bytes).sum();
    let over = match limits.max_size.0 {
        0 => 0,
        max_size => stay.saturating_sub(max_size),
    };
    take_from_largest(&mut services, over, Reason::MaxSize, &mut leaving);
    let gone: u64 = leaving.iter().map(|leaving| leaving.bytes).sum();
    let wanted = limits.keep_free.0.min(space.whole / FREE_PART);
    let over = wanted.saturating_sub(space.free.saturating_add(gone));
    take_from_largest(&mut services, over, Reason::KeepFree, &mut leaving);
    leaving
}

/// Takes that many bytes of reports, of whichever service uses the most at the time.
fn take_from_largest(
    services: &mut BTreeMap<String, OfService>,
    mut bytes: u64,
    reason: Reason,
    leaving: &mut Vec<Leaving>,
) {
    while bytes > 0 {
        let may_give = services.values_mut().filter(|service| service.oldest().is_some());
        let largest = may_give.max_by_key(|service| service.bytes);
        let Some(report) = largest.and_then(OfService::take_oldest) else {
            break;
        };
        bytes = bytes.saturating_sub(report.bytes);
        leaving.push(report.leaves(reason));
    }
}

impl OfService {
    /// The place of the oldest report that may go: neither one under way nor the latest.
    fn oldest(&self) -> Option<usize> {
        let before_latest = self.reports.len().checked_sub(1)?;
        let mut others = self.reports.iter().take(before_latest);
        others.position(|report| !report.under_way)
    }

    fn take_oldest(&mut self) -> Option<Kept> {
        let report = self.reports.remove(self.oldest()?)?;
        self.bytes -= report.bytes;
        Some(report)
    }
}

impl Kept {
    fn leaves(self, reason: Reason) -> Leaving {
        Leaving {
            id: self.id,
            bytes: self.bytes,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Size, Span};
    use crate::sys::Pid;

    const NOW: i64 = 1_795_413_372;
    const NO_LIMIT: Retention = Retention {
        max_size: Size(0),
        keep_free: Size(0),
        max_age: Span::millis(0),
        service_max_size: Size(0),
        service_max_reports: 0,
    };
    const SPACE: Space = Space {
        free: 1_000,
        whole: 10_000,
    };

    /// A report of that service, that many hours old.
    fn kept(service: &str, hours: i64, bytes: u64) -> Kept {
        let time = Timestamp::from_second(NOW - hours * 3600).unwrap();
        Kept {
            id: Id::from_parts(time, service, Pid(1), 0),
            bytes,
            under_way: false,
        }
    }

    /// What goes, as service and age in hours, and why.
    fn gone(kept: Vec<Kept>, limits: Retention) -> Vec<(String, i64, Reason)> {
        let now = Timestamp::from_second(NOW).unwrap();
        let leaving = plan(kept, &limits, SPACE, now);
        let told = leaving.into_iter().map(|leaving| {
            let hours = now.duration_since(leaving.id.time()).as_hours();
            (leaving.id.service().to_owned(), hours, leaving.reason)
        });
        told.collect()
    }

    fn told(service: &str, hours: i64, reason: Reason) -> (String, i64, Reason) {
        (service.to_owned(), hours, reason)
    }

    #[test]
    fn without_limits_all_stay() {
        assert_eq!(gone(vec![kept("a", 100_000, 1 << 50)], NO_LIMIT), []);
    }

    #[test]
    fn old_reports_go_even_the_latest_of_a_service() {
        let limits = Retention {
            max_age: Span::days(1),
            ..NO_LIMIT
        };
        let all = vec![kept("a", 25, 1), kept("b", 24, 1)];
        assert_eq!(gone(all, limits), [told("a", 25, Reason::MaxAge)]);
    }

    #[test]
    fn a_service_has_its_number_and_its_size() {
        let limits = Retention {
            service_max_reports: 2,
            service_max_size: Size(100),
            ..NO_LIMIT
        };
        let all = vec![
            kept("a", 9, 1),
            kept("b", 8, 60),
            kept("b", 7, 60),
            kept("a", 6, 1),
            kept("a", 5, 1),
            kept("c", 4, 200),
        ];
        assert_eq!(
            gone(all, limits),
            [
                told("a", 9, Reason::ServiceMaxReports),
                told("b", 8, Reason::ServiceMaxSize)
            ]
        );
    }

    #[test]
    fn a_service_that_crashes_all_day_takes_no_others_reports() {
        let limits = Retention {
            max_size: Size(1_000),
            ..NO_LIMIT
        };
        let mut all = vec![kept("quiet", 1_001, 50), kept("quiet", 1_000, 50)];
        all.extend((0..500).map(|hours| kept("noisy", 999 - hours, 10)));
        let gone = gone(all, limits);
        assert_eq!(gone.len(), 410);
        assert!(gone.iter().all(|(service, ..)| service == "noisy"));
        assert_eq!(gone[0], told("noisy", 999, Reason::MaxSize));
    }

    #[test]
    fn free_space_counts_what_goes_already_and_has_a_bound_of_its_own() {
        let limits = Retention {
            max_size: Size(500),
            keep_free: Size(5_000),
            ..NO_LIMIT
        };
        let all = || {
            vec![
                kept("a", 4, 300),
                kept("a", 3, 300),
                kept("a", 2, 300),
                kept("a", 1, 300),
            ]
        };
        // A tenth of the file system is 1,000, which is free.
        assert_eq!(
            gone(all(), limits),
            [
                told("a", 4, Reason::MaxSize),
                told("a", 3, Reason::MaxSize),
                told("a", 2, Reason::MaxSize)
            ]
        );
        let now = Timestamp::from_second(NOW).unwrap();
        let full = Space {
            free: 100,
            whole: 10_000,
        };
        let reasons: Vec<Reason> = plan(
            all(),
            &Retention {
                max_size: Size(1_000),
                ..limits
            },
            full,
            now,
        )
        .iter()
        .map(|leaving| leaving.reason)
        .collect();
        assert_eq!(reasons, [Reason::MaxSize, Reason::KeepFree, Reason::KeepFree]);
    }

    #[test]
    fn reports_under_way_stay_and_count() {
        let limits = Retention {
            max_age: Span::days(1),
            service_max_reports: 1,
            ..NO_LIMIT
        };
        let mut all = vec![kept("a", 99, 1), kept("a", 9, 1), kept("a", 8, 1)];
        all[0].under_way = true;
        all[1].under_way = true;
        assert_eq!(gone(all, limits), []);
    }

    proptest! {
        #[test]
        fn limits_hold_but_for_the_latest(
            reports in prop::collection::vec((0usize..4, 0i64..200, 0u64..1000), 0..60),
            max_size in 1u64..5000, of_service in 1u64..2000, number in 1u32..6,
        ) {
            let mut all: Vec<Kept> = reports
                .iter()
                .map(|(service, hours, bytes)| kept(["a", "b", "c", "d"][*service], *hours, *bytes))
                .collect();
            all.sort_by_key(|report| report.id.time());
            let (count, bytes): (usize, u64) = (all.len(), all.iter().map(|report| report.bytes).sum());
            let services: std::collections::BTreeSet<&str> = all.iter().map(|report| report.id.service()).collect();
            let services = services.len();
            let limits = Retention {
                max_size: Size(max_size),
                service_max_size: Size(of_service),
                service_max_reports: number,
                ..NO_LIMIT
            };
            let leaving = plan(all, &limits, SPACE, Timestamp::from_second(NOW).unwrap());
            let left = bytes - leaving.iter().map(|leaving| leaving.bytes).sum::<u64>();
            let number_left = count - leaving.len();
            prop_assert!(number_left >= services);
            prop_assert!(number_left <= services * number as usize);
            prop_assert!(left <= max_size || number_left == services);
        }
    }
}
