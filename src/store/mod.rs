//! Reports on disk: write, index, find, count, retain, delete.
//!
//! Each report is a directory `<state-dir>/reports/<id>/`, named after its [`Id`]. A report is written in two steps
//! ([`Draft`], [`PendingReport`]): a small record at once, then the full one in its place. A reader
//! sees a whole report or none, because everything is assembled under a name that begins with a dot and then renamed:
//!
//! | name in `reports/` | what it is |
//! |---|---|
//! | `ID` | a report |
//! | `.ID.new` | a small record before its rename |
//! | `.ID.FILE.new` | a file of the full report, before its rename into `ID` |
//! | `.ID.deleted` | a report on its way out |
//!
//! Names with a dot that nobody has touched for [`STALE_AFTER`] were left by a process that was killed; the next
//! [`Store::open`] removes them.
//!
//! How often each fault has happened lies beside, in `occurrences/`, and outlives the reports ([`Store::count`]).
//!
//! Every access below the state directory is relative to a directory descriptor and follows no symbolic link:
//! whoever may write to one report's directory must not be able to direct us elsewhere (CVE-2022-4415 and its kin).
//! Directories are created 0700, files 0600; [`access`] tells who else may read them then.

mod access;
mod core;
mod dir;
mod dumps;
mod error;
mod filter;
mod id;
mod location;
mod occurrences;
mod pending;
mod read;
mod retain;
mod stats;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub use self::core::{CoreError, StoredCore};
pub use error::StoreError;
pub use filter::Filter;
pub use id::{Id, ParseIdError};
pub use location::{NoStateDir, SYSTEM_STATE_DIR, default_state_dir};
pub use pending::{Draft, Part, PendingReport};
pub use read::{Entries, Entry, FindError, MAX_REPORT_BYTES};
pub use retain::{Leaving, Reason};
pub use stats::{DAYS, FingerprintStats, ServiceStats, Stats};

use access::Readers;
use dir::{Dir, Kind};
use error::Context;

/// How long a temporary name may stay untouched before it counts as left behind.
pub const STALE_AFTER: Duration = Duration::from_secs(600);

/// The directory of reports inside a state directory.
const REPORTS: &str = "reports";
/// The name of the model in a report's directory: its presence makes the directory a report.
const MODEL: &str = "report.json";

/// The reports of one state directory.
#[derive(Debug)]
pub struct Store {
    state: Dir,
    reports: Dir,
    path: PathBuf,
    readers: Readers,
}

impl Store {
    /// Opens the store of a state directory for writing: creates what is missing (0700) and removes what a killed
    /// process left behind.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let path = state_dir.join(REPORTS);
        let state = Dir::create_path(state_dir).context("create state directory", state_dir)?;
        match state.create_dir(REPORTS) {
            Ok(()) | Err(nix::Error::EEXIST) => {}
            Err(error) => return Err(StoreError::new("create", &path, error)),
        }
        let reports = state.open_dir(REPORTS).context("open", &path)?;
        if reports.is_writable_by_others().context("examine", &path)? {
            return Err(StoreError::Insecure { path });
        }
        let readers = Readers::of(&state);
        readers.admit_to_reports(&state, &reports);
        let store = Self {
            state,
            reports,
            path,
            readers,
        };
        store.remove_stale(SystemTime::now());
        Ok(store)
    }

    /// Opens the store of a state directory for reading and deleting; `None` if there is none yet.
    pub fn open_existing(state_dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = state_dir.join(REPORTS);
        let opened = Dir::open_path(state_dir).and_then(|state| Ok((state.open_dir(REPORTS)?, state)));
        match opened {
            Ok((reports, state)) => Ok(Some(Self {
                readers: Readers::of(&state),
                state,
                reports,
                path,
            })),
            Err(nix::Error::ENOENT) => Ok(None),
            Err(error) => Err(StoreError::new("open", &path, error)),
        }
    }

    /// Where the reports are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn state_dir(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// The directory of one report.
    pub fn path_of(&self, id: &Id) -> PathBuf {
        self.path.join(id.as_str())
    }

    /// Begins a report: nothing is visible before [`Draft::create_small`].
    pub fn begin(&self, id: &Id) -> Result<Draft, StoreError> {
        Draft::new(self, id)
    }

    /// Deletes a report and everything in its directory, without following symbolic links.
    ///
    /// It vanishes at once from readers, then its files go. Deleting what is not there is an error
    /// ([`StoreError::is_not_found`]).
    pub fn delete(&self, id: &Id) -> Result<(), StoreError> {
        let path = self.path_of(id);
        let name = id.as_str();
        if self.reports.kind(name).context("delete", &path)? != Kind::Directory {
            return self.reports.remove_file(name).context("delete", &path);
        }
        let leaving = format!(".{id}.deleted");
        self.reports
            .rename(name, &self.reports, &leaving)
            .context("delete", &path)?;
        self.reports
            .remove_tree(&leaving)
            .context("delete", &self.path.join(&leaving))?;
        self.reports.sync().context("sync", &self.path)
    }

    /// Removes temporary names that nobody has touched for [`STALE_AFTER`]; what cannot be removed stays.
    fn remove_stale(&self, now: SystemTime) {
        let Ok(names) = self.reports.names() else {
            return;
        };
        for name in names
            .iter()
            .filter_map(|name| name.to_str())
            .filter(|name| is_temporary(name))
        {
            let age = self
                .reports
                .modified(name)
                .ok()
                .and_then(|modified| now.duration_since(modified).ok());
            if age.is_some_and(|age| age >= STALE_AFTER) {
                match self.reports.remove_tree(name) {
                    Ok(()) => log::info!("removed {name:?} in {:?}: left behind", self.path),
                    Err(error) => log::warn!("cannot remove {name:?} in {:?}: {error}", self.path),
                }
            }
        }
    }
}

/// Whether we would have given that name to something unfinished.
fn is_temporary(name: &str) -> bool {
    let ours = name.strip_prefix('.').and_then(|rest| {
        rest.strip_suffix(".new")
            .or_else(|| rest.strip_suffix(".deleted"))
    });
    ours.and_then(|rest| rest.split('.').next())
        .is_some_and(|id| id.parse::<Id>().is_ok())
}

#[cfg(test)]
mod tests;
