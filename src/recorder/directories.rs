//! Directories of the process that came with its capture, and regular files below them.
//!
//! What lies in there is the process's making. So paths are resolved as if the directory were the root
//! (`RESOLVE_IN_ROOT`, openat2(2)), whatever links say, and nothing but regular files is opened.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use crate::capture::Capture;

/// The directories of a capture; without any by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Directories<'a> {
    /// Its root, where that is in another mount namespace.
    root: Option<&'a File>,
    /// Its `/tmp`.
    tmp: Option<&'a File>,
}

impl<'a> Directories<'a> {
    /// Finds the directories among the descriptors that came with a capture.
    pub fn new(capture: &Capture, files: &'a [File]) -> Self {
        let file = |descriptor: Option<u32>| files.get(usize::try_from(descriptor?).ok()?);
        Self {
            root: file(capture.facts.process.root),
            tmp: file(capture.facts.process.tmp),
        }
    }

    /// Opens a file by its path as the process saw it, and else as we see it.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        let in_its_root = self.root.map(|root| open_below(root, path));
        match in_its_root {
            Some(Ok(file)) => Ok(file),
            _ => open_regular(path),
        }
    }

    /// Opens a file in the process's `/tmp`; none where the process generated no code.
    pub(super) fn open_in_tmp(&self, name: &str) -> Option<io::Result<File>> {
        self.tmp.map(|tmp| open_below(tmp, Path::new(name)))
    }
}

fn flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY
}

fn open_below(directory: &File, path: &Path) -> io::Result<File> {
    let how = OpenHow::new()
        .flags(flags())
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    regular(openat2(directory, path, how)?.into())
}

fn open_regular(path: &Path) -> io::Result<File> {
    regular(
        OpenOptions::new()
            .read(true)
            .custom_flags(flags().bits())
            .open(path)?,
    )
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_leads_out_of_a_directory_or_to_a_fifo() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("file"), "outside").unwrap();
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("usr")).unwrap();
        std::fs::write(root.path().join("usr/file"), "inside").unwrap();
        symlink("/usr", root.path().join("link")).unwrap();
        symlink(outside.path(), root.path().join("out")).unwrap();
        nix::unistd::mkfifo(&root.path().join("fifo"), nix::sys::stat::Mode::all()).unwrap();
        let directory = File::open(root.path()).unwrap();
        let read = |path: &str| open_below(&directory, Path::new(path)).and_then(io::read_to_string);
        assert_eq!(read("usr/file").unwrap(), "inside");
        assert_eq!(
            read("/link/file").unwrap(),
            "inside",
            "an absolute link stays below"
        );
        assert_eq!(read("../../../usr/file").unwrap(), "inside");
        assert!(read("out/file").is_err());
        assert!(read("fifo").is_err());
        let directories = Directories {
            root: Some(&directory),
            tmp: None,
        };
        assert!(directories.open(Path::new("/usr/file")).is_ok());
        assert!(
            directories.open(&outside.path().join("file")).is_ok(),
            "else ours"
        );
        assert!(directories.open_in_tmp("x").is_none());
    }
}
