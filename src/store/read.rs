//! Finding and reading reports, whatever else lies in their directory.
//!
//! A damaged report never hides the others: it is an [`Entry`] of its own, with the reason.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Read};

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::error::Context;
use super::{Id, MODEL, Store, StoreError};
use crate::report::{Report, Summary};

/// The largest `report.json` that is read, in bytes.
pub const MAX_REPORT_BYTES: u64 = 64 << 20;
/// How many candidates an ambiguous prefix names.
const MAX_CANDIDATES: usize = 8;

/// What lies in the directory of reports.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A report.
    Report {
        /// Its name.
        id: Id,
        /// Its content in brief.
        summary: Box<Summary>,
    },
    /// Something that cannot be read as a report.
    Damaged {
        /// Its name: an id, or whatever somebody put there.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// No report, or more than one, goes by that name.
#[derive(Debug, Error)]
pub enum FindError {
    /// None does.
    #[error("no report '{spec}' in {place}; 'sickbay list' shows what there is")]
    None {
        /// What was asked for.
        spec: String,
        /// The directory of reports.
        place: String,
    },
    /// Several do.
    #[error("'{spec}' could be {count} reports; give more of the id: {}", .candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        spec: String,
        /// How many there are.
        count: usize,
        /// The first of them.
        candidates: Vec<String>,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The reports of a store, newest first, each read when it is asked for.
#[derive(Debug)]
pub struct Entries<'a> {
    store: &'a Store,
    ids: std::vec::IntoIter<Id>,
    foreign: std::vec::IntoIter<String>,
}

impl Store {
    /// Goes through all reports that may be read, newest first, then through what does not belong there. Fails only if the directory
    /// itself cannot be read.
    pub fn list(&self) -> Result<Entries<'_>, StoreError> {
        let mut foreign: Vec<String> = self
            .visible_names()?
            .into_iter()
            .filter(|name| name.parse::<Id>().is_err())
            .collect();
        foreign.sort();
        Ok(Entries {
            store: self,
            ids: self.ids()?.into_iter(),
            foreign: foreign.into_iter(),
        })
    }

    /// The ids of all reports, newest first, damaged ones included.
    pub fn ids(&self) -> Result<Vec<Id>, StoreError> {
        let mut ids: Vec<Id> = self
            .visible_names()?
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        for same_second in ids.chunk_by_mut(|a, b| a.second() == b.second()) {
            if same_second.len() > 1 {
                same_second.sort_by_cached_key(|id| std::cmp::Reverse(self.time(id)));
            }
        }
        Ok(ids)
    }

    /// The report of that name: a full id, a unique prefix of one, `latest`, or `-1` for the latest, `-2` for the one
    /// before, and so on.
    pub fn find(&self, spec: &str) -> Result<Id, FindError> {
        let ids = self.ids()?;
        let none = || FindError::None {
            spec: spec.to_owned(),
            place: self.path.display().to_string(),
        };
        let mut readable = ids.iter().filter(|id| self.may_read(id)).cloned();
        if spec == "latest" {
            return readable.next().ok_or_else(none);
        }
        if let Some(place) = spec.strip_prefix('-') {
            let index = place
                .parse::<usize>()
                .ok()
                .and_then(|place| place.checked_sub(1))
                .ok_or_else(none)?;
            return readable.nth(index).ok_or_else(none);
        }
        if let Some(exact) = ids.iter().find(|id| id.as_str() == spec) {
            return Ok(exact.clone());
        }
        let mut candidates: Vec<Id> = ids
            .into_iter()
            .filter(|id| !spec.is_empty() && id.as_str().starts_with(spec))
            .collect();
        match candidates.len() {
            0 => Err(none()),
            1 => candidates.pop().ok_or_else(none),
            count => Err(FindError::Ambiguous {
                spec: spec.to_owned(),
                count,
                candidates: candidates
                    .iter()
                    .take(MAX_CANDIDATES)
                    .map(Id::to_string)
                    .collect(),
            }),
        }
    }

    /// Whether a report can be read at all, before anything is done with it.
    pub fn examine(&self, id: &Id) -> Result<(), StoreError> {
        self.open_file(id, MODEL).map(drop)
    }

    /// Reads a report.
    pub fn load(&self, id: &Id) -> Result<Report, StoreError> {
        self.read_model(id)
    }

    /// Reads a report as it was written, fields that this version does not know included.
    pub fn load_json(&self, id: &Id) -> Result<serde_json::Value, StoreError> {
        self.read_model(id)
    }

    /// Opens a file of a report for reading.
    pub fn open_file(&self, id: &Id, name: &str) -> Result<File, StoreError> {
        let path = self.path_of(id).join(name);
        if name.contains('/') {
            return Err(StoreError::Name {
                name: name.to_owned(),
            });
        }
        let directory = self.reports.enter_dir(id.as_str()).context("open", &path)?;
        directory.open_file(name).context("open", &path)
    }

    fn read_model<T: DeserializeOwned>(&self, id: &Id) -> Result<T, StoreError> {
        let path = self.path_of(id).join(MODEL);
        let damaged = |reason: String| StoreError::Damaged {
            path: path.clone(),
            reason,
        };
        let file = self.open_file(id, MODEL)?;
        let size = file.metadata().context("read", &path)?.len();
        if size > MAX_REPORT_BYTES {
            return Err(damaged(format!(
                "{size} bytes, more than the {MAX_REPORT_BYTES} that are read"
            )));
        }
        // The file may grow between the two: the bound is held here.
        serde_json::from_reader(BufReader::new(file.take(MAX_REPORT_BYTES)))
            .map_err(|error| damaged(error.to_string()))
    }

    fn entry(&self, id: Id) -> Option<Entry> {
        match self.read_model::<Summary>(&id) {
            Ok(summary) => Some(Entry::Report {
                id,
                summary: Box::new(summary),
            }),
            // Deleted since the directory was read.
            Err(error) if error.is_not_found() && self.reports.kind(id.as_str()).is_err() => None,
            // Of another user: no concern of who asks.
            Err(error) if error.is_not_permitted() => None,
            Err(error) => Some(Entry::Damaged {
                name: id.to_string(),
                reason: error.to_string(),
            }),
        }
    }

    /// How many reports there are that whoever asks may not read.
    pub fn withheld(&self) -> Result<usize, StoreError> {
        Ok(self.ids()?.iter().filter(|id| !self.may_read(id)).count())
    }

    fn may_read(&self, id: &Id) -> bool {
        self.examine(id)
            .err()
            .is_none_or(|error| !error.is_not_permitted())
    }

    fn time(&self, id: &Id) -> Option<Timestamp> {
        #[derive(Deserialize)]
        struct Time {
            time: Timestamp,
        }
        self.read_model::<Time>(id).ok().map(|model| model.time)
    }

    fn visible_names(&self) -> Result<Vec<String>, StoreError> {
        let names = self.reports.names().context("read", &self.path)?;
        Ok(names
            .iter()
            .map(|name| OsStr::to_string_lossy(name).into_owned())
            .filter(|name| !name.starts_with('.'))
            .collect())
    }
}

impl Entries<'_> {
    /// Leaves out the reports whose names are not wanted, unread.
    pub(super) fn retain(&mut self, wanted: impl FnMut(&Id) -> bool) {
        let mut ids: Vec<Id> = self.ids.by_ref().collect();
        ids.retain(wanted);
        self.ids = ids.into_iter();
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let store = self.store;
        if let Some(entry) = self.ids.by_ref().find_map(|id| store.entry(id)) {
            return Some(entry);
        }
        let name = self.foreign.next()?;
        Some(Entry::Damaged {
            name,
            reason: "not a report: its name is not an id".to_owned(),
        })
    }
}
