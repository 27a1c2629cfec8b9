//! inotify(7) on the places where a service's processes come and go: slices, `cgroup.events`, pid files.
//!
//! A notice is a hint to look, never the truth: what is missed (a limit, a full queue) is found by the next regular
//! look.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// The watched places of one process.
#[derive(Debug)]
pub struct Notices {
    inotify: Inotify,
    places: HashMap<WatchDescriptor, PathBuf>,
}

/// What changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Files that changed, and what was made in or moved into watched directories.
    pub paths: Vec<PathBuf>,
    /// Whether notices were lost, so that anything may have changed.
    pub lost: bool,
}

impl Notices {
    /// Watches nothing yet.
    ///
    /// # Errors
    ///
    /// The kernel's: EMFILE where this user has too many (`fs.inotify.max_user_instances`).
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        Ok(Self {
            inotify,
            places: HashMap::new(),
        })
    }

    /// Watches a place, which may be watched already. One that does not exist is watched by its parent, or not
    /// at all.
    pub fn watch(&mut self, place: &Path) {
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE;
        match self.inotify.add_watch(place, flags) {
            Ok(descriptor) => drop(self.places.insert(descriptor, place.to_owned())),
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(errno) => log::warn!(
                "cannot watch {}: {}; changes there are found late",
                place.display(),
                errno.desc()
            ),
        }
    }

    /// What changed since the last call.
    pub fn pending(&mut self) -> Changes {
        let mut changes = Changes::default();
        while let Ok(events) = self.inotify.read_events() {
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    changes.lost = true;
                } else if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                    self.places.remove(&event.wd);
                } else if let Some(place) = self.places.get(&event.wd) {
                    let path = match event.name {
                        Some(name) => place.join(name),
                        None => place.clone(),
                    };
                    if changes.paths.last() != Some(&path) {
                        changes.paths.push(path);
                    }
                }
            }
        }
        changes
    }
}

impl AsFd for Notices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_by_path() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.pid");
        let mut notices = Notices::new().unwrap();
        notices.watch(directory.path());
        notices.watch(&directory.path().join("absent"));
        assert_eq!(notices.pending(), Changes::default());
        std::fs::write(&file, "1").unwrap();
        let told = notices.pending();
        assert!(told.paths.contains(&file) && !told.lost, "{told:?}");
        notices.watch(&file);
        std::fs::write(&file, "2").unwrap();
        assert!(notices.pending().paths.contains(&file));
        std::fs::remove_file(&file).unwrap();
        notices.pending();
        assert_eq!(notices.places.len(), 1, "a removed place is forgotten");
    }
}
