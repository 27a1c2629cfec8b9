//! How many reports of what: by service, by fingerprint, by day.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_with::skip_serializing_none;

use super::{Entry, Filter, Store, StoreError};
use crate::report::Summary;

/// How many days a trend covers, today included.
pub const DAYS: usize = 14;
/// Seconds in one.
const DAY: i64 = 86_400;

/// Reports in numbers.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Stats {
    /// How many there are.
    pub reports: usize,
    /// How many more cannot be read.
    pub damaged: usize,
    /// What they take of the disk.
    pub bytes: u64,
    /// When the first was.
    pub first: Option<Timestamp>,
    /// When the latest was.
    pub latest: Option<Timestamp>,
    /// The same for each service, the one with the most reports first.
    pub services: Vec<ServiceStats>,
    /// What they have in common, the most frequent first.
    pub fingerprints: Vec<FingerprintStats>,
}

/// The reports of one service.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct ServiceStats {
    /// Its name.
    pub name: Option<String>,
    /// How many there are.
    pub reports: usize,
    /// What they take of the disk.
    pub bytes: u64,
    /// When the latest was.
    pub latest: Option<Timestamp>,
    /// How many on each of the last [`DAYS`] days (UTC), the oldest day first.
    pub days: [usize; DAYS],
}

/// The reports of one fingerprint.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FingerprintStats {
    /// The fingerprint.
    pub fingerprint: String,
    /// How many there are.
    pub reports: usize,
    /// When the first was.
    pub first: Timestamp,
    /// The latest of them.
    pub latest: Box<Summary>,
}

impl Store {
    /// The numbers of what is wanted, with `now` for the end of the trend.
    pub fn stats(&self, filter: &Filter, now: Timestamp) -> Result<Stats, StoreError> {
        let mut counting = Counting::default();
        for entry in self.list_wanted(filter)? {
            match entry {
                Entry::Report { id, summary } => {
                    let directory = self.reports.open_dir(id.as_str());
                    let bytes = directory.and_then(|directory| directory.disk_bytes());
                    counting.add(*summary, bytes.unwrap_or(0), now);
                }
                Entry::Damaged { .. } => counting.stats.damaged += 1,
            }
        }
        Ok(counting.finish())
    }
}

#[derive(Default)]
struct Counting {
    stats: Stats,
    services: BTreeMap<Option<String>, ServiceStats>,
    fingerprints: BTreeMap<String, FingerprintStats>,
}

impl Counting {
    /// Adds a report; newer ones come before older ones.
    fn add(&mut self, summary: Summary, bytes: u64, now: Timestamp) {
        let stats = &mut self.stats;
        stats.reports += 1;
        stats.bytes += bytes;
        stats.latest.get_or_insert(summary.time);
        stats.first = Some(summary.time);
        let name = summary.service.name.clone();
        let service = self.services.entry(name.clone()).or_default();
        service.name = name;
        service.reports += 1;
        service.bytes += bytes;
        service.latest.get_or_insert(summary.time);
        let days_ago = now.as_second().div_euclid(DAY) - summary.time.as_second().div_euclid(DAY);
        let place = usize::try_from(days_ago)
            .ok()
            .and_then(|days| (DAYS - 1).checked_sub(days));
        if let Some(day) = place.and_then(|place| service.days.get_mut(place)) {
            *day += 1;
        }
        let Some(fingerprint) = summary.fingerprint.clone() else {
            return;
        };
        let common = self.fingerprints.entry(fingerprint.clone());
        let common = common.or_insert_with(|| FingerprintStats {
            fingerprint,
            reports: 0,
            first: summary.time,
            latest: Box::new(summary.clone()),
        });
        common.reports += 1;
        common.first = summary.time;
    }

    fn finish(self) -> Stats {
        let mut stats = self.stats;
        stats.services = self.services.into_values().collect();
        stats
            .services
            .sort_by_key(|service| std::cmp::Reverse(service.reports));
        stats.fingerprints = self.fingerprints.into_values().collect();
        let newest_of_most =
            |common: &FingerprintStats| std::cmp::Reverse((common.reports, common.latest.time));
        stats.fingerprints.sort_by_key(newest_of_most);
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn summary(service: &str, fingerprint: Option<&str>, time: &str) -> Summary {
        let mut report = sample::minimal();
        report.service.name = Some(service.to_owned());
        report.fingerprint = fingerprint.map(str::to_owned);
        report.time = time.parse().unwrap();
        report.into()
    }

    #[test]
    fn numbers_by_service_fingerprint_and_day() {
        let now = "2026-11-25T00:30:00Z".parse().unwrap();
        let mut counting = Counting::default();
        for (service, fingerprint, time) in [
            ("api", Some("f1"), "2026-11-25T00:10:00Z"),
            ("web", Some("f2"), "2026-11-24T23:59:59Z"),
            ("api", Some("f2"), "2026-11-12T00:00:00Z"),
            ("api", None, "2026-11-11T23:59:59Z"),
        ] {
            counting.add(summary(service, fingerprint, time), 10, now);
        }
        let stats = counting.finish();
        assert_eq!((stats.reports, stats.bytes, stats.damaged), (4, 40, 0));
        assert_eq!(stats.first, Some("2026-11-11T23:59:59Z".parse().unwrap()));
        assert_eq!(stats.latest, Some("2026-11-25T00:10:00Z".parse().unwrap()));
        let [api, web] = stats.services.as_slice() else {
            panic!("{stats:#?}")
        };
        assert_eq!(
            (api.name.as_deref(), api.reports, api.bytes),
            (Some("api"), 3, 30)
        );
        assert_eq!(api.days, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(web.days, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        let [two, one] = stats.fingerprints.as_slice() else {
            panic!("{stats:#?}")
        };
        assert_eq!((two.fingerprint.as_str(), two.reports), ("f2", 2));
        assert_eq!(two.first, "2026-11-12T00:00:00Z".parse().unwrap());
        assert_eq!(two.latest.service.name.as_deref(), Some("web"));
        assert_eq!((one.fingerprint.as_str(), one.reports), ("f1", 1));
    }
}
