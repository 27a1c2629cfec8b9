//! One directory, held by a descriptor: every name is looked up in it, and no symbolic link is followed.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::dir;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{Gid, UnlinkatFlags, fchown, fsync, geteuid, unlinkat};
use nix::{Error, Result};

use crate::sys::acl::{self, Access};

/// Who may use a directory that we create.
const DIR_MODE: Mode = Mode::S_IRWXU;
/// Who may use a file that we create.
const FILE_MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
/// How deep a tree may be that we remove; ours have one level.
const MAX_DEPTH: usize = 8;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Other,
}

/// The room on a file system, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    /// What an ordinary user may still use of it.
    pub(super) free: u64,
    pub(super) whole: u64,
}

/// A directory that is taken.
#[derive(Debug)]
pub(super) struct Lock {
    _flock: Flock<OwnedFd>,
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Dir(OwnedFd);

impl Dir {
    /// Opens a directory that somebody named; links in that path are theirs and are followed.
    pub(super) fn open_path(path: &Path) -> Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        open(path, flags, Mode::empty()).map(Self)
    }

    /// The same, after creating what is missing of the path.
    pub(super) fn create_path(path: &Path) -> Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE.bits())
            .create(path)
            .map_err(|error| match error.raw_os_error() {
                // mkdir(2) says "exists" of a file in the way.
                Some(libc::EEXIST) | None => Error::ENOTDIR,
                Some(errno) => Error::from_raw(errno),
            })?;
        Self::open_path(path)
    }

    /// Opens a directory in it.
    pub(super) fn open_dir(&self, name: &str) -> Result<Self> {
        self.open_dir_for(name, OFlag::O_RDONLY)
    }

    /// Enters a directory in it, of which only names can be opened that are known.
    pub(super) fn enter_dir(&self, name: &str) -> Result<Self> {
        self.open_dir_for(name, OFlag::O_PATH)
    }

    fn open_dir_for(&self, name: &str, access: OFlag) -> Result<Self> {
        let flags = access | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&self.0, name, flags, Mode::empty()) {
            // open(2) reports a link as "not a directory" when it looks for one.
            Err(Error::ENOTDIR) if self.is_link(name) => Err(Error::ELOOP),
            opened => opened.map(Self),
        }
    }

    pub(super) fn create_dir(&self, name: &str) -> Result<()> {
        mkdirat(&self.0, name, DIR_MODE)
    }

    /// Opens a regular file in it for reading; other kinds are refused, and a pipe is not waited for.
    pub(super) fn open_file(&self, name: &str) -> Result<File> {
        let flags =
            OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = openat(&self.0, name, flags, Mode::empty())?;
        match kind_of(&fstat(&file)?) {
            Kind::File => Ok(File::from(file)),
            Kind::Directory => Err(Error::EISDIR),
            Kind::Other => Err(Error::EINVAL),
        }
    }

    /// Creates a file in it that did not exist, for writing and reading back.
    pub(super) fn create_file(&self, name: &str) -> Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&self.0, name, flags, FILE_MODE).map(File::from)
    }

    /// Opens a regular file in it for appending, and creates it where it does not exist.
    pub(super) fn append_file(&self, name: &str) -> Result<File> {
        let flags = OFlag::O_WRONLY
            | OFlag::O_APPEND
            | OFlag::O_CREAT
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_CLOEXEC;
        let file = openat(&self.0, name, flags, FILE_MODE)?;
        match kind_of(&fstat(&file)?) {
            Kind::File => Ok(File::from(file)),
            Kind::Directory => Err(Error::EISDIR),
            Kind::Other => Err(Error::EINVAL),
        }
    }

    /// Moves a name to another directory of the same file system.
    pub(super) fn rename(&self, from: &str, target: &Self, to: &str) -> Result<()> {
        renameat(&self.0, from, &target.0, to)
    }

    pub(super) fn remove_file(&self, name: &str) -> Result<()> {
        unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir)
    }

    /// Removes a name and, if it is a directory, everything below it. What others remove meanwhile is as good.
    pub(super) fn remove_tree(&self, name: &str) -> Result<()> {
        self.remove_below(name.as_ref(), MAX_DEPTH)
    }

    fn remove_below(&self, name: &std::ffi::OsStr, depth: usize) -> Result<()> {
        match unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir) {
            Err(Error::EISDIR) => {}
            Err(Error::ENOENT) => return Ok(()),
            done => return done,
        }
        let depth = depth.checked_sub(1).ok_or(Error::ELOOP)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let child = Self(openat(&self.0, name, flags, Mode::empty())?);
        for name in child.names()? {
            child.remove_below(&name, depth)?;
        }
        match unlinkat(&self.0, name, UnlinkatFlags::RemoveDir) {
            Err(Error::ENOENT) => Ok(()),
            done => done,
        }
    }

    /// The names in it, in no order.
    pub(super) fn names(&self) -> Result<Vec<OsString>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut names = Vec::new();
        for entry in dir::Dir::openat(&self.0, ".", flags, Mode::empty())? {
            let entry = entry?;
            let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    pub(super) fn kind(&self, name: &str) -> Result<Kind> {
        self.stat(name).map(|stat| kind_of(&stat))
    }

    /// When a name's content was last changed.
    pub(super) fn modified(&self, name: &str) -> Result<SystemTime> {
        let seconds = u64::try_from(self.stat(name)?.st_mtime).unwrap_or(0);
        Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Whether somebody besides us and root could exchange what is in it.
    pub(super) fn is_writable_by_others(&self) -> Result<bool> {
        let stat = fstat(&self.0)?;
        let foreign = stat.st_uid != 0 && stat.st_uid != geteuid().as_raw();
        Ok(foreign || stat.st_mode & Mode::S_IWOTH.bits() != 0)
    }

    /// Takes the directory for oneself, until the value is dropped or its holder ends; `EWOULDBLOCK` where another has.
    pub(super) fn lock(&self) -> Result<Lock> {
        let descriptor = self.try_clone()?.0;
        Flock::lock(descriptor, FlockArg::LockExclusiveNonblock)
            .map(|_flock| Lock { _flock })
            .map_err(|(_, errno)| errno)
    }

    /// What its files take of the disk, bytes; directories in it are not looked into.
    pub(super) fn disk_bytes(&self) -> Result<u64> {
        let names = self.names()?;
        // st_blocks counts 512 bytes, whatever the file system (stat(3type)).
        let bytes = |stat: FileStat| u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        let of_name = |name| fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_or(0, bytes);
        Ok(names.iter().map(|name| of_name(name.as_os_str())).sum())
    }

    /// What the directory itself is.
    pub(super) fn own_stat(&self) -> Result<FileStat> {
        fstat(&self.0)
    }

    /// Gives it to a group, with that mode.
    pub(super) fn share(&self, group: Gid, mode: Mode) -> Result<()> {
        fchown(&self.0, None, Some(group))?;
        fchmod(&self.0, mode)
    }

    /// Gives it that access control list.
    pub(super) fn list(&self, access: Access) -> Result<()> {
        acl::set(&self.0, access)
    }

    /// The room on its file system.
    pub(super) fn space(&self) -> Result<Space> {
        let of_file_system = fstatvfs(&self.0)?;
        let block = of_file_system.fragment_size();
        Ok(Space {
            free: of_file_system.blocks_available().saturating_mul(block),
            whole: of_file_system.blocks().saturating_mul(block),
        })
    }

    /// Makes the names in it durable.
    pub(super) fn sync(&self) -> Result<()> {
        fsync(&self.0)
    }

    pub(super) fn try_clone(&self) -> Result<Self> {
        self.0
            .try_clone()
            .map(Self)
            .map_err(|error| Error::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
    }

    fn stat(&self, name: &str) -> Result<FileStat> {
        fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    fn is_link(&self, name: &str) -> bool {
        self.stat(name)
            .is_ok_and(|stat| file_type(&stat) == SFlag::S_IFLNK)
    }
}

fn file_type(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

fn kind_of(stat: &FileStat) -> Kind {
    match file_type(stat) {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFDIR => Kind::Directory,
        _ => Kind::Other,
    }
}
