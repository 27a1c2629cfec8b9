//! Which report holds the core or minidump of a fault, so that the same fault is not dumped over and over.
//!
//! `<state-dir>/occurrences/<service>/<fingerprint>.dump` holds the report's id; its time is when that began. The word counts
//! for as long as the report is there, and has its dump or is being written: one that was deleted, or became nothing,
//! leaves the next to dump. Fronts that ask in the same moment may both be told to.

use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

use super::dir::{Dir, Kind};
use super::error::Context;
use super::occurrences::{counts_of, is_fingerprint};
use super::{Id, Store, StoreError};

/// What the name of such a file ends in.
pub(super) const SUFFIX: &str = ".dump";
/// The files that are dumps.
const DUMPS: [&str; 2] = ["core.zst", "minidump.dmp"];
/// The longest id that is read, bytes.
const MAX_ID: u64 = 512;
/// How errors name what failed.
const NOTE: &str = "note a dump in";

impl Store {
    /// The report that has, or is about to have, the dump of this fault, begun within that time. Where there is none it is
    /// `id` from now on.
    pub fn dump_of(
        &self,
        service: &str,
        fingerprint: &str,
        id: &Id,
        within: Duration,
    ) -> Result<Option<Id>, StoreError> {
        if within.is_zero() {
            return Ok(None);
        }
        if !is_fingerprint(fingerprint) {
            return Err(StoreError::Fingerprint(fingerprint.to_owned()));
        }
        let (counts, path) = counts_of(self, service)?;
        let name = format!("{fingerprint}{SUFFIX}");
        if let Some(other) = noted(&counts, &name, within)
            && other != *id
            && self.dumps(&other)
        {
            return Ok(Some(other));
        }
        match counts.remove_file(&name) {
            Ok(()) | Err(nix::Error::ENOENT) => {}
            Err(error) => return Err(error).context(NOTE, &path),
        }
        match counts.create_file(&name) {
            Ok(mut file) => file.write_all(id.as_str().as_bytes()).context(NOTE, &path)?,
            // Another front was faster.
            Err(nix::Error::EEXIST) => {}
            Err(error) => return Err(error).context(NOTE, &path),
        }
        Ok(None)
    }

    /// Whether that report has a dump, or may have one soon.
    fn dumps(&self, id: &Id) -> bool {
        let Ok(report) = self.reports.open_dir(id.as_str()) else {
            return false;
        };
        let has = |name: &&str| report.kind(name) == Ok(Kind::File);
        DUMPS.iter().any(has) || report.lock().err() == Some(nix::Error::EWOULDBLOCK)
    }
}

/// The report that is noted, if that is no longer ago.
fn noted(counts: &Dir, name: &str, within: Duration) -> Option<Id> {
    // A time that is still to come is of a clock that was set back.
    let age = SystemTime::now()
        .duration_since(counts.modified(name).ok()?)
        .ok()?;
    if age >= within {
        return None;
    }
    let mut text = String::new();
    let file = counts.open_file(name).ok()?;
    file.take(MAX_ID).read_to_string(&mut text).ok()?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::report::sample;
    use crate::store::PendingReport;
    use crate::sys::Pid;

    const FAULT: &str = "00000000000000aa";
    const HOUR: Duration = Duration::from_secs(3600);

    fn id(number: u16) -> Id {
        Id::from_parts(jiff::Timestamp::UNIX_EPOCH, "api", Pid(1), number)
    }

    fn begun(store: &Store, number: u16) -> PendingReport {
        let small = sample::minimal();
        store.begin(&id(number)).unwrap().create_small(&small).unwrap()
    }

    #[test]
    fn a_dump_does_for_a_while_and_for_its_fault() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let dump_of =
            |service, fingerprint, number| store.dump_of(service, fingerprint, &id(number), HOUR).unwrap();
        let first = begun(&store, 1);
        assert_eq!(dump_of("api", FAULT, 1), None);
        assert_eq!(dump_of("api", FAULT, 2), Some(id(1)), "it is being written");
        assert_eq!(dump_of("api", "00000000000000ab", 2), None);
        assert_eq!(dump_of("web", FAULT, 2), None);
        fs::write(first.path().join("core.zst"), "core").unwrap();
        drop(first);
        assert_eq!(dump_of("api", FAULT, 3), Some(id(1)));
        let always = store.dump_of("api", FAULT, &id(3), Duration::ZERO).unwrap();
        assert_eq!(always, None);
        assert_eq!(dump_of("api", FAULT, 3), Some(id(1)), "which notes nothing");

        let note = directory
            .path()
            .join("occurrences/api")
            .join(format!("{FAULT}{SUFFIX}"));
        let note = fs::File::options().write(true).open(note).unwrap();
        note.set_modified(SystemTime::now() - HOUR).unwrap();
        let third = begun(&store, 3);
        assert_eq!(dump_of("api", FAULT, 3), None, "an hour is over");
        assert_eq!(dump_of("api", FAULT, 4), Some(id(3)));
        drop(third);
        assert_eq!(dump_of("api", FAULT, 4), None, "it never came");
    }

    #[test]
    fn what_was_deleted_or_is_damaged_does_for_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let first = begun(&store, 1);
        assert_eq!(store.dump_of("api", FAULT, &id(1), HOUR).unwrap(), None);
        fs::write(first.path().join("minidump.dmp"), "dump").unwrap();
        drop(first);
        assert_eq!(store.dump_of("api", FAULT, &id(2), HOUR).unwrap(), Some(id(1)));
        store.delete(&id(1)).unwrap();
        assert_eq!(store.dump_of("api", FAULT, &id(2), HOUR).unwrap(), None);
        let note = directory
            .path()
            .join("occurrences/api")
            .join(format!("{FAULT}{SUFFIX}"));
        for damage in ["", "../..", "\u{1b}"] {
            fs::write(&note, damage).unwrap();
            assert_eq!(
                store.dump_of("api", FAULT, &id(3), HOUR).unwrap(),
                None,
                "{damage:?}"
            );
        }
        let foreign = directory.path().join("foreign");
        fs::write(&foreign, "").unwrap();
        fs::remove_file(&note).unwrap();
        std::os::unix::fs::symlink(&foreign, &note).unwrap();
        assert_eq!(store.dump_of("api", FAULT, &id(3), HOUR).unwrap(), None);
        assert_eq!(fs::read(&foreign).unwrap(), b"", "no link is followed");
        assert!(store.dump_of("api", "../../x", &id(3), HOUR).is_err());
    }
}
