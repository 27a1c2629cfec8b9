//! Where a process that supervises others in the foreground is asked: `watch/PID.sock` below `/run/sickbay` for root, below
//! `$XDG_RUNTIME_DIR/sickbay` for other users. A unit may write neither (`User=`, `ProtectSystem=strict`): there it is below
//! the first directory of `$RUNTIME_DIRECTORY` (systemd.exec(5), `RuntimeDirectory=`), which whoever asks finds in the
//! process's own environment. Who listens at a place that a process names is judged by the kernel's word.
//!
//! The directory is its owner's alone, so that nobody else can listen there, connect, or take a name first; and it is
//! of the file system, which containers on the host's network do not share. Several such processes share it, so it stays.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
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
/// What is read of another process's environment, bytes.
const MAX_ENVIRONMENT: u64 = 4 << 20;

/// Has this process listen at the first of its places where it can, the directories made. Names of processes that are no
/// more are removed from there.
pub(super) fn listen<T>(at: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    let machine = geteuid().is_root().then(machine);
    listen_below(machine, |name| std::env::var_os(name), at)
}

fn listen_below<T>(
    machine: Option<PathBuf>,
    variable: impl Fn(&str) -> Option<OsString>,
    at: impl Fn(&Path) -> io::Result<T>,
) -> io::Result<T> {
    let usual = machine.or_else(|| runtime(&variable).map(|directory| own(&directory)));
    let managed = managed(&variable).map(|directory| own(&directory));
    let mut errors = Vec::new();
    for outer in usual.into_iter().chain(managed) {
        let listening = place_below(&outer).and_then(|place| {
            at(&place).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", place.display())))
        });
        match listening {
            Ok(listening) => return Ok(listening),
            Err(error) => errors.push(error.to_string()),
        }
    }
    if errors.is_empty() {
        errors.push(
            "neither XDG_RUNTIME_DIR nor RUNTIME_DIRECTORY names a directory; a unit gets one by RuntimeDirectory="
                .to_owned(),
        );
    }
    Err(io::Error::other(errors.join("; ")))
}

fn place_below(outer: &Path) -> io::Result<PathBuf> {
    // The daemon's socket is in it, for its group; a user's own is closed by the directory that it is in.
    make(outer, 0o755)?;
    let directory = outer.join(DIRECTORY);
    make(&directory, 0o700)?;
    forget_the_dead(&directory);
    Ok(place_in(&directory, Pid(std::process::id().cast_signed())))
}

/// Where that process would listen, which runs as that user, as far as can be told from outside: by our own variables, and
/// by its.
pub(super) fn places_of(
    front: Pid,
    owner: u32,
    variable: impl Fn(&str) -> Option<OsString>,
    theirs: impl Fn(&str) -> Option<OsString>,
) -> Vec<PathBuf> {
    let mut outer = Vec::new();
    if owner == 0 {
        outer.push(machine());
    } else {
        let named = runtime(variable).filter(|_| owner == geteuid().as_raw());
        let usual = PathBuf::from(format!("/run/user/{owner}"));
        outer.extend(
            [named, runtime(&theirs), Some(usual)]
                .into_iter()
                .flatten()
                .map(|directory| own(&directory)),
        );
    }
    outer.extend(managed(theirs).map(|directory| own(&directory)));
    let mut places: Vec<PathBuf> = Vec::new();
    for place in outer.iter().map(|outer| place_in(&outer.join(DIRECTORY), front)) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// A variable of the environment that a process was started with, where we may read it.
pub(super) fn variable_of(process: Pid, name: &str) -> Option<OsString> {
    let mut environment = Vec::new();
    let file = fs::File::open(format!("/proc/{process}/environ")).ok()?;
    file.take(MAX_ENVIRONMENT).read_to_end(&mut environment).ok()?;
    let value = environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    value.map(|value| OsString::from_vec(value.to_owned()))
}

/// The first directory that the service manager made for this unit.
fn managed(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let named = variable("RUNTIME_DIRECTORY")?;
    let first = named.as_bytes().split(|byte| *byte == b':').next()?;
    Some(PathBuf::from(OsStr::from_bytes(first))).filter(|first| first.is_absolute())
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
        let nothing = |_: &str| None;
        let places = |owner| {
            let variable = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| "/run/mine".into());
            places_of(Pid(7), owner, variable, nothing)
        };
        assert_eq!(places(0), [PathBuf::from("/run/sickbay/watch/7.sock")]);
        let other = geteuid().as_raw() + 1;
        let usual = PathBuf::from(format!("/run/user/{other}/sickbay/watch/7.sock"));
        assert_eq!(places(other), std::slice::from_ref(&usual));
        assert_eq!(runtime(|_| Some("".into())), None);
        assert_eq!(runtime(|_| Some("run".into())), None);

        let of_unit = |name: &str| (name == "RUNTIME_DIRECTORY").then(|| "/run/api:/run/more".into());
        let managed = PathBuf::from("/run/api/sickbay/watch/7.sock");
        assert_eq!(
            places_of(Pid(7), other, nothing, of_unit),
            [usual, managed.clone()]
        );
        let of_root = [PathBuf::from("/run/sickbay/watch/7.sock"), managed];
        assert_eq!(places_of(Pid(7), 0, nothing, of_unit), of_root);
    }

    #[test]
    fn a_unit_listens_in_the_directory_that_the_service_manager_made() {
        let given = tempfile::tempdir().unwrap();
        let path = given.path().to_str().unwrap();
        let of_unit = |name: &str| (name == "RUNTIME_DIRECTORY").then(|| format!("{path}:/other").into());
        let named = |place: &Path| Ok(place.to_owned());
        let place = listen_below(None, of_unit, named).unwrap();
        assert!(
            place.starts_with(given.path().join("sickbay/watch")),
            "{}",
            place.display()
        );
        // Where root may not write either; where the directory is there, and closed (`ProtectSystem=strict`).
        let closed = given.path().join("file");
        fs::write(&closed, "").unwrap();
        assert_eq!(
            listen_below(Some(closed.join("sickbay")), of_unit, named).unwrap(),
            place
        );
        let other = tempfile::tempdir().unwrap();
        let closed = |place: &Path| match place.starts_with(other.path()) {
            true => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            false => named(place),
        };
        assert_eq!(
            listen_below(Some(own(other.path())), of_unit, closed).unwrap(),
            place
        );
        let nowhere = listen_below(None, |_| None, named).unwrap_err().to_string();
        assert!(nowhere.contains("RuntimeDirectory="), "{nowhere}");
    }

    #[test]
    fn a_variable_of_another_process_is_read() {
        let mut program = std::process::Command::new("cat");
        let mut program = program.env_clear().env("A", "x=y").env("AB", "z");
        program = program
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        let mut program = program.spawn().unwrap();
        let pid = Pid(program.id().cast_signed());
        // Its environment is its own once it answers.
        let mut stdin = program.stdin.take().unwrap();
        io::Write::write_all(&mut stdin, b".").unwrap();
        program.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        assert_eq!(variable_of(pid, "A"), Some("x=y".into()));
        assert_eq!(variable_of(pid, "B"), None);
        drop(stdin);
        program.wait().unwrap();
        assert_eq!(variable_of(NOBODY, "A"), None);
    }
}
