//! Directories of the process that somebody may have to look into once it is gone.
//!
//! They are opened as mere places (`O_PATH`, open(2)): no file system is asked, so one that answers late or never (a
//! user's own, a network's) holds nobody up. Who reads in them is the recorder, which may wait.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use crate::sys::Tid;

use super::Capture;
use super::maps::{Mapping, Maps};

impl Capture {
    /// Opens the process's `/tmp`, where programs that generate code leave its names, if there is such code; and its
    /// root, if that is in another mount namespace than ours. `before`: how many descriptors are before them.
    pub(super) fn open_directories(&mut self, tid: Tid, maps: &Maps, before: usize) -> Vec<File> {
        let mut opened = Vec::new();
        if maps.iter().any(is_generated) {
            self.facts.process.tmp = self.open_directory(tid, "/tmp", before, &mut opened);
        }
        if is_elsewhere(tid) {
            self.facts.process.root = self.open_directory(tid, "/", before, &mut opened);
            // The mounts below the root last as long as somebody has the namespace open.
            opened.extend(File::open(format!("/proc/{tid}/ns/mnt")));
        }
        opened
    }

    fn open_directory(&mut self, tid: Tid, name: &str, before: usize, opened: &mut Vec<File>) -> Option<u32> {
        match place(&format!("/proc/{tid}/root{name}")) {
            Ok(directory) => {
                opened.push(directory);
                u32::try_from(before + opened.len() - 1).ok()
            }
            Err(error) => {
                self.miss(format!("the process's {name}"), error);
                None
            }
        }
    }
}

/// Whether a mapping holds code that is no file's.
fn is_generated(mapping: &Mapping) -> bool {
    let kernel = ["[vdso]", "[vsyscall]", "[uprobes]"].contains(&mapping.name.as_str());
    mapping.executable && !kernel && (mapping.inode == 0 || mapping.name.starts_with("/memfd:"))
}

fn is_elsewhere(tid: Tid) -> bool {
    let namespace = |of: &str| fs::metadata(format!("/proc/{of}/ns/mnt")).map(|meta| meta.ino());
    match (namespace(&tid.to_string()), namespace("self")) {
        (Ok(its), Ok(ours)) => its != ours,
        _ => false,
    }
}

fn place(path: &str) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_directories_are_opened_where_they_are_wanted() {
        let own = Tid(std::process::id() as i32);
        let mut capture = Capture::default();
        let maps = Maps::parse(&fs::read("/proc/self/maps").unwrap());
        assert_eq!(capture.open_directories(own, &maps, 2).len(), 0);
        assert_eq!(
            (capture.facts.process.tmp, capture.facts.process.root),
            (None, None)
        );
        let generated = Maps::parse(b"7f0000000000-7f0000001000 rwxp 00000000 00:00 0 [anon:jit]\n");
        assert_eq!(capture.open_directories(own, &generated, 2).len(), 1);
        assert_eq!(capture.facts.process.tmp, Some(2));
        assert_eq!(capture.facts.missing, []);
    }
}
