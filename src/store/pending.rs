//! A report on its way to disk, in two steps.
//!
//! ```text
//! Store::begin -> Draft --create_small--> PendingReport --open_parts--> Part ...
//!                                             |                          | the recorder writes
//!                                             '-------- commit(parts) <--'
//! ```
//!
//! The small record must exist before anything can go wrong with the large one: with the recorder, with the disk,
//! with us. It is assembled in a directory `.ID.new` and renamed as a whole. The files of the full report are
//! opened here and written by the recorder, a process that can reach nothing else; [`PendingReport::commit`] moves
//! them in, the model last, so that whatever the model refers to is there. A value dropped on the way removes its
//! temporary names; the small record stands. Until then the report's directory is locked (flock(2)), so that no other
//! process takes it for finished and makes room by it; the kernel unlocks it where we are killed.

use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use super::access::Readers;
use super::dir::{Dir, Lock};
use super::error::Context;
use super::read::MAX_REPORT_BYTES;
use super::{Id, MODEL, Store, StoreError};
use crate::report::{Report, Summary};

/// How errors name what failed.
const WRITE: &str = "write report to";
/// The longest name of a file in a report, in bytes.
const MAX_NAME: usize = 64;

/// A report of which nothing is visible yet.
#[derive(Debug)]
pub struct Draft {
    reports: Dir,
    directory: Option<Dir>,
    temporary: String,
    id: Id,
    path: PathBuf,
    lock: Option<Lock>,
    readers: Readers,
}

impl Draft {
    pub(super) fn new(store: &Store, id: &Id) -> Result<Self, StoreError> {
        let path = store.path_of(id);
        let temporary = format!(".{id}.new");
        let reports = store.reports.try_clone().context(WRITE, &path)?;
        reports.create_dir(&temporary).context(WRITE, &path)?;
        let mut draft = Self {
            reports,
            directory: None,
            temporary,
            id: id.clone(),
            path,
            lock: None,
            readers: store.readers,
        };
        let opened = draft.reports.open_dir(&draft.temporary);
        let directory = opened.context(WRITE, &draft.path)?;
        // On a file system without locks a report may go before it is whole; that is better than none.
        draft.lock = directory.lock().ok();
        draft.directory = Some(directory);
        Ok(draft)
    }

    /// Writes the small record. When this returns, the report is on disk and readers see it.
    pub fn create_small(mut self, report: &Report) -> Result<PendingReport, StoreError> {
        let json = serde_json::to_vec(report)?;
        let reports = self.reports.try_clone().context(WRITE, &self.path)?;
        let Some(directory) = self.directory.take() else {
            return Err(StoreError::new(WRITE, &self.path, nix::Error::EBADF));
        };
        let mut file = directory.create_file(MODEL).context(WRITE, &self.path)?;
        file.write_all(&json).context(WRITE, &self.path)?;
        self.readers.admit_to_file(&file);
        file.sync_all().context(WRITE, &self.path)?;
        self.readers.admit_to_report(&directory);
        directory.sync().context(WRITE, &self.path)?;
        reports
            .rename(&self.temporary, &reports, self.id.as_str())
            .context(WRITE, &self.path)?;
        reports.sync().context(WRITE, &self.path)?;
        Ok(PendingReport {
            reports,
            directory,
            id: self.id.clone(),
            path: self.path.clone(),
            _lock: self.lock.take(),
            readers: self.readers,
        })
    }
}

impl Drop for Draft {
    /// Removes what has not been renamed; after the rename the name is gone already.
    fn drop(&mut self) {
        if let Err(error) = self.reports.remove_tree(&self.temporary) {
            log::warn!(
                "cannot remove {:?} beside {:?}: {error}",
                self.temporary,
                self.path
            );
        }
    }
}

/// A report whose small record is on disk, and whose full record may follow.
#[derive(Debug)]
pub struct PendingReport {
    reports: Dir,
    directory: Dir,
    id: Id,
    path: PathBuf,
    _lock: Option<Lock>,
    readers: Readers,
}

impl PendingReport {
    /// The report's id.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// The report's directory.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Lets that user read what is committed from now on, where the store is shared: it is proven that the process was its
    /// own.
    pub fn admit(&mut self, user: u32) {
        self.readers = self.readers.and(user);
        self.readers.admit_to_report(&self.directory);
    }

    /// Creates an empty file for each part of the full report, by the name that it will have in the report's
    /// directory (`report.json`, `report.txt`, `memory.zst`, ...).
    ///
    /// The files are to be written through their descriptors, here or in another process.
    pub fn open_parts(&self, names: &[&str]) -> Result<Vec<Part>, StoreError> {
        names.iter().map(|name| self.open_part(name)).collect()
    }

    fn open_part(&self, name: &str) -> Result<Part, StoreError> {
        if !is_part_name(name) {
            return Err(StoreError::Name {
                name: name.to_owned(),
            });
        }
        let reports = self.reports.try_clone().context(WRITE, &self.path)?;
        let temporary = format!(".{}.{name}.new", self.id);
        let file = reports.create_file(&temporary).context(WRITE, &self.path)?;
        Ok(Part {
            reports,
            temporary,
            name: name.to_owned(),
            file,
        })
    }

    /// Makes the full report visible: every part with content is made durable and renamed into place, the model last.
    ///
    /// To be called when nobody writes to the parts any more. A part without content is discarded, and a model that is not
    /// a report with this id is refused: then nothing changes and the small record stands.
    pub fn commit(&self, mut parts: Vec<Part>) -> Result<(), StoreError> {
        for part in &mut parts {
            if part.name == MODEL {
                self.check_model(&mut part.file)?;
            }
        }
        let (model, others): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| part.name == MODEL);
        for group in [others, model] {
            for part in group {
                self.place(&part)?;
            }
            self.directory.sync().context(WRITE, &self.path)?;
        }
        Ok(())
    }

    /// Replaces the small record by another, where no full report will come: its parts are given up.
    pub fn replace_small(self, report: &Report, parts: Vec<Part>) -> Result<(), StoreError> {
        // The new record takes the temporary name of one of them.
        drop(parts);
        let part = self.open_part(MODEL)?;
        let json = serde_json::to_vec(report)?;
        (&part.file).write_all(&json).context(WRITE, &self.path)?;
        self.commit(vec![part])
    }

    /// Gives the full report up; the small record stands.
    pub fn abandon(self, parts: Vec<Part>) {
        drop(parts);
    }

    fn place(&self, part: &Part) -> Result<(), StoreError> {
        if part.file.metadata().context(WRITE, &self.path)?.len() == 0 {
            return Ok(());
        }
        self.readers.admit_to_file(&part.file);
        part.file.sync_all().context(WRITE, &self.path)?;
        self.reports
            .rename(&part.temporary, &self.directory, &part.name)
            .context(WRITE, &self.path)
    }

    fn check_model(&self, file: &mut File) -> Result<(), StoreError> {
        let damaged = |reason: String| StoreError::Damaged {
            path: self.path.join(MODEL),
            reason,
        };
        if file.metadata().context(WRITE, &self.path)?.len() > MAX_REPORT_BYTES {
            return Err(damaged(format!("larger than {MAX_REPORT_BYTES} bytes")));
        }
        file.rewind().context(WRITE, &self.path)?;
        let summary: Summary = serde_json::from_reader(BufReader::new(file.take(MAX_REPORT_BYTES)))
            .map_err(|error| damaged(error.to_string()))?;
        if summary.id == self.id.as_str() {
            Ok(())
        } else {
            Err(damaged("it has the id of another report".to_owned()))
        }
    }
}

/// A file of the full report, under a temporary name.
#[derive(Debug)]
pub struct Part {
    reports: Dir,
    temporary: String,
    name: String,
    file: File,
}

impl Part {
    /// The name that it will have in the report's directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl AsFd for Part {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Part {
    /// Removes what has not been renamed; after the rename the name is gone already.
    fn drop(&mut self) {
        if let Err(error) = self.reports.remove_tree(&self.temporary) {
            log::warn!("cannot remove {:?}: {error}", self.temporary);
        }
    }
}

/// Whether a file of a report may have that name.
fn is_part_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
}
