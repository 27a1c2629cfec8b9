//! How often a service has had a fault, by its fingerprint.
//!
//! `<state-dir>/occurrences/<service>/<fingerprint>` holds one byte for each incident: its size is the count. An append is
//! atomic, so those who share a state directory need no lock, and one who is killed leaves no half of a number. The
//! count goes on when reports are deleted.

use std::hash::Hasher;
use std::io::{Seek, Write};
use std::path::PathBuf;

use fnv::FnvHasher;

use super::dir::Dir;
use super::dumps::SUFFIX;
use super::error::Context;
use super::id::sanitised;
use super::{Store, StoreError};

/// The directory of counts inside a state directory.
const OCCURRENCES: &str = "occurrences";
/// How many fingerprints of one service are counted: past it the one that was not seen for longest is forgotten.
const MAX_FINGERPRINTS: usize = 1024;
/// Where counting ends; what happens more often has been noticed.
const MAX_COUNT: u64 = 1 << 20;
/// Hexadecimal digits of a fingerprint.
const DIGITS: usize = 16;
/// How errors name what failed.
const COUNT: &str = "count in";

impl Store {
    /// Counts an incident; returns how many with this fingerprint the service has had, this one included.
    pub fn count(&self, service: &str, fingerprint: &str) -> Result<u64, StoreError> {
        if !is_fingerprint(fingerprint) {
            return Err(StoreError::Fingerprint(fingerprint.to_owned()));
        }
        let (counts, path) = counts_of(self, service)?;
        let mut file = counts.append_file(fingerprint).context(COUNT, &path)?;
        let before = file.metadata().context(COUNT, &path)?.len();
        if before >= MAX_COUNT {
            return Ok(before);
        }
        file.write_all(b"+").context(COUNT, &path)?;
        // The end of what this very call has appended (open(2), O_APPEND).
        let count = file.stream_position().context(COUNT, &path)?;
        if count == 1 {
            forget_oldest(&counts).context(COUNT, &path)?;
        }
        Ok(count)
    }
}

/// The directory of a service's counts, made where it is missing, and its path for errors.
pub(super) fn counts_of(store: &Store, service: &str) -> Result<(Dir, PathBuf), StoreError> {
    let directory = directory_of(service);
    let path = store.state_dir().join(OCCURRENCES).join(&directory);
    let counts = enter(&store.state, OCCURRENCES).and_then(|all| enter(&all, &directory));
    Ok((counts.context(COUNT, &path)?, path))
}

fn enter(parent: &Dir, name: &str) -> nix::Result<Dir> {
    match parent.create_dir(name) {
        Ok(()) | Err(nix::Error::EEXIST) => parent.open_dir(name),
        Err(error) => Err(error),
    }
}

/// A service's name as a file name: as in the ids of reports, told apart from others that are reduced to the same.
fn directory_of(service: &str) -> String {
    let name = sanitised(service);
    if name == service {
        return name;
    }
    let mut hasher = FnvHasher::default();
    hasher.write(service.as_bytes());
    format!("{name}.{:016x}", hasher.finish())
}

pub(super) fn is_fingerprint(text: &str) -> bool {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == DIGITS && text.bytes().all(is_digit)
}

/// Makes room for a fingerprint that is new.
fn forget_oldest(counts: &Dir) -> nix::Result<()> {
    let names = counts.names()?;
    let mut by_time: Vec<_> = names
        .iter()
        .filter_map(|name| name.to_str())
        .filter(|name| is_fingerprint(name))
        .filter_map(|name| Some((counts.modified(name).ok()?, name)))
        .collect();
    let superfluous = by_time.len().saturating_sub(MAX_FINGERPRINTS);
    by_time.sort();
    for (_, name) in by_time.into_iter().take(superfluous) {
        for name in [name, &format!("{name}{SUFFIX}")] {
            match counts.remove_file(name) {
                // Another front was faster, or there is no such file.
                Ok(()) | Err(nix::Error::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::{Duration, SystemTime};

    use tempfile::TempDir;

    use super::*;

    const FAULT: &str = "00000000000000aa";

    fn store() -> (TempDir, Store) {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        (directory, store)
    }

    #[test]
    fn each_service_has_its_own_count_for_each_fingerprint() {
        let (directory, store) = store();
        assert_eq!(store.count("api", FAULT).unwrap(), 1);
        assert_eq!(store.count("api", FAULT).unwrap(), 2);
        assert_eq!(store.count("api", "00000000000000ab").unwrap(), 1);
        for alike in ["web server", "web/server", "web-server", "../../x", "", "\u{1b}"] {
            assert_eq!(store.count(alike, FAULT).unwrap(), 1, "{alike:?}");
        }
        let reopened = Store::open(directory.path()).unwrap();
        assert_eq!(reopened.count("api", FAULT).unwrap(), 3);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn none_is_counted_twice_where_many_count() {
        let (directory, _) = store();
        let count = || {
            let store = Store::open(directory.path()).unwrap();
            (0..100)
                .map(|_| store.count("api", FAULT).unwrap())
                .collect::<Vec<_>>()
        };
        let mut counts: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(count)).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        counts.sort_unstable();
        assert_eq!(counts, (1..=800).collect::<Vec<u64>>());
    }

    #[test]
    fn what_was_not_seen_for_longest_is_forgotten() {
        let (directory, store) = store();
        let counts = directory.path().join("occurrences/api");
        for number in 0..MAX_FINGERPRINTS as u64 {
            store.count("api", &format!("{number:016x}")).unwrap();
        }
        let old = fs::File::options()
            .write(true)
            .open(counts.join(format!("{:016x}", 7)));
        let hour = Duration::from_secs(3600);
        old.unwrap().set_modified(SystemTime::now() - hour).unwrap();
        fs::write(counts.join(format!("{:016x}{SUFFIX}", 7)), "").unwrap();
        store.count("api", "ffffffffffffffff").unwrap();
        assert_eq!(fs::read_dir(&counts).unwrap().count(), MAX_FINGERPRINTS);
        assert_eq!(store.count("api", &format!("{:016x}", 7)).unwrap(), 1);
        assert_eq!(store.count("api", "ffffffffffffffff").unwrap(), 2);
    }

    #[test]
    fn no_link_is_followed_and_no_other_name_taken() {
        let (directory, store) = store();
        let foreign = directory.path().join("foreign");
        fs::write(&foreign, "").unwrap();
        fs::create_dir_all(directory.path().join("occurrences/api")).unwrap();
        symlink(&foreign, directory.path().join("occurrences/api").join(FAULT)).unwrap();
        symlink("/tmp", directory.path().join("occurrences/web")).unwrap();
        for (service, fingerprint) in [("api", FAULT), ("web", FAULT), ("x", "../../foreign"), ("x", "")] {
            let error = store.count(service, fingerprint).unwrap_err().to_string();
            assert!(
                error.contains("symbolic link") || error.contains("no fingerprint"),
                "{error}"
            );
        }
        assert_eq!(fs::read(&foreign).unwrap(), b"");
    }

    #[test]
    fn counting_ends() {
        let (directory, store) = store();
        store.count("api", FAULT).unwrap();
        let path = directory.path().join("occurrences/api").join(FAULT);
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(MAX_COUNT - 1).unwrap();
        for _ in 0..3 {
            assert_eq!(store.count("api", FAULT).unwrap(), MAX_COUNT);
        }
    }
}
