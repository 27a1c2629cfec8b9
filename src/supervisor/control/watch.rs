//! Where a process that supervises others in the foreground is asked: `watch/PID.sock` below `/run/sickbay` for root, below
//! `$XDG_RUNTIME_DIR/sickbay` for other users.
//!
//! The directory is its owner's alone, so that nobody else can listen there, connect, or take a name first; and it is
//! of the file system, which containers on the host's network do not share. Several such processes share it, so it stays.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid as RawPid, geteuid};

use super::socket::{GROUP, connect};
use crate::sys::Pid;

/// The directory of these sockets, beside the daemon's own.
const DIRECTORY: &str = "watch";
const EXTENSION: &str = "sock";
/// What anybody but the owner would need to change a directory.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The place of this process, its directories made. Names of processes that are no more are removed from there.
pub(super) fn own_place() -> io::Result<PathBuf> {
    let outer = match geteuid().as_raw() {
        0 => machine(),
        _ => runtime(|name| std::env::var_os(name))
            .map(|directory| own(&directory))
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "XDG_RUNTIME_DIR names no directory"))?,
    };
    place_below(&outer)
}

fn place_below(outer: &Path) -> io::Result<PathBuf> {
    // The daemon's socket is in it, for its group; a user's own is closed by the directory that it is in.
    make(outer, 0o755)?;
    let directory = outer.join(DIRECTORY);
    make(&directory, 0o700)?;
    forget_the_dead(&directory);
    Ok(place_in(&directory, Pid(std::process::id().cast_signed())))
}

/// Where that process would listen, which runs as that user, as far as can be told from outside.
pub(super) fn places_of(
    front: Pid,
    owner: u32,
    variable: impl Fn(&str) -> Option<OsString>,
) -> impl Iterator<Item = PathBuf> {
    let runtime = runtime(variable).filter(|_| owner == geteuid().as_raw());
    let outer = if owner == 0 {
        [Some(machine()), None]
    } else {
        let usual = PathBuf::from(format!("/run/user/{owner}"));
        let named = runtime.filter(|named| *named != usual);
        [named.map(|named| own(&named)), Some(own(&usual))]
    };
    let outer = outer.into_iter().flatten();
    outer.map(move |outer| place_in(&outer.join(DIRECTORY), front))
}

/// The user's runtime directory; a relative one, or an empty one, is none (XDG Base Directory Specification).
fn runtime(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let named = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    named.filter(|named| named.is_absolute())
}

fn machine() -> PathBuf {
    Path::new("/run").join(GROUP)
}

fn own(runtime: &Path) -> PathBuf {
    runtime.join(GROUP)
}

fn place_in(directory: &Path, front: Pid) -> PathBuf {
    directory.join(format!("{front}.{EXTENSION}"))
}

/// Makes a directory of that mode, whatever the umask; one that is there must be ours and closed to others' changes.
fn make(directory: &Path, mode: u32) -> io::Result<()> {
    let in_it = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", directory.display()));
    match DirBuilder::new().mode(mode).create(directory) {
        Ok(()) => fs::set_permissions(directory, Permissions::from_mode(mode)).map_err(in_it)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(in_it(error)),
    }
    let found = fs::symlink_metadata(directory).map_err(in_it)?;
    if found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & WRITABLE_BY_OTHERS == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!(
            "{} is not a directory that only its owner may write",
            directory.display()
        ),
    ))
}

/// Removes what processes left that were killed. Those of another pid namespace, whose ids mean nothing here, listen still.
fn forget_the_dead(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let name = path.file_stem().and_then(|name| name.to_str()?.parse().ok());
        let gone = name.is_some_and(|pid| kill(RawPid::from_raw(pid), None) == Err(Errno::ESRCH));
        let refuses =
            |path| connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if gone && refuses(&path) {
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// No process has it: it is past the kernel's limit (`PID_MAX_LIMIT`).
    const NOBODY: Pid = Pid(i32::MAX);

    #[test]
    fn the_directory_is_closed_and_what_the_dead_left_is_removed() {
        let runtime = tempfile::tempdir().unwrap();
        let outer = own(runtime.path());
        let place = place_below(&outer).unwrap();
        let directory = place.parent().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&outer), mode(directory)), (0o755, 0o700));

        let dead = place_in(directory, NOBODY);
        let listener = UnixListener::bind(&dead).unwrap();
        let living = UnixListener::bind(&place).unwrap();
        assert_eq!(place_below(&outer).unwrap(), place);
        assert!(dead.exists(), "somebody listens there");
        drop((listener, living));
        place_below(&outer).unwrap();
        assert!(!dead.exists());
        assert!(place.exists(), "its process lives");
    }

    #[test]
    fn a_directory_that_others_may_write_is_not_used() {
        let runtime = tempfile::tempdir().unwrap();
        let outer = own(runtime.path());
        place_below(&outer).unwrap();
        for (directory, usual) in [(outer.clone(), 0o755), (outer.join(DIRECTORY), 0o700)] {
            fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
            let refused = place_below(&outer).unwrap_err();
            assert!(
                refused.to_string().contains("only its owner may write"),
                "{refused}"
            );
            fs::set_permissions(&directory, Permissions::from_mode(usual)).unwrap();
        }
        fs::remove_dir(outer.join(DIRECTORY)).unwrap();
        std::os::unix::fs::symlink(runtime.path(), outer.join(DIRECTORY)).unwrap();
        assert!(place_below(&outer).is_err());
    }

    #[test]
    fn a_process_is_looked_for_where_its_user_has_it_listen() {
        let places = |owner| -> Vec<PathBuf> {
            let variable = |_: &str| Some("/run/mine".into());
            places_of(Pid(7), owner, variable).collect()
        };
        assert_eq!(places(0), [PathBuf::from("/run/sickbay/watch/7.sock")]);
        let other = geteuid().as_raw() + 1;
        let usual = PathBuf::from(format!("/run/user/{other}/sickbay/watch/7.sock"));
        assert_eq!(places(other), [usual]);
        assert_eq!(runtime(|_| Some("".into())), None);
        assert_eq!(runtime(|_| Some("run".into())), None);
    }
}
