//! Where the control socket is, and who may open it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, socket};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Group, chown};

/// The group whose members may ask, besides root; and the directory of our sockets.
pub(super) const GROUP: &str = "sickbay";
/// The name of the control socket in its directory.
const NAME: &str = "control.sock";
/// The name of the socket for enrolment, beside it.
const ENROLMENT: &str = "enroll.sock";

/// Who may connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// Owner and group.
    Group,
    /// Everybody; for enrolment alone.
    All,
    /// The owner, and root.
    Trusted,
}

impl Access {
    const fn mode(self) -> u32 {
        match self {
            Self::Group => 0o660,
            Self::All => 0o666,
            Self::Trusted => 0o600,
        }
    }
}

/// The socket's name in the file system, removed at the end.
#[derive(Debug)]
pub(super) struct Name(PathBuf);

impl Drop for Name {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Where a daemon listens and clients look for it: below `$RUNTIME_DIRECTORY`, else `/run/sickbay` for root, else
/// `$XDG_RUNTIME_DIR/sickbay`.
pub fn default_path(is_root: bool, variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let named = variable("RUNTIME_DIRECTORY").map(PathBuf::from);
    let own = || variable("XDG_RUNTIME_DIR").map(|directory| PathBuf::from(directory).join(GROUP));
    let machine = Path::new("/run").join(GROUP);
    let directory = named.or_else(|| {
        if is_root {
            Some(machine.clone())
        } else {
            own()
                .filter(|own| own.join(NAME).exists() || !machine.join(NAME).exists())
                .or(Some(machine.clone()))
        }
    });
    directory.map(|directory| directory.join(NAME))
}

/// Where processes enrol, of the daemon with that control socket.
pub fn enrolment_path(control: &Path) -> PathBuf {
    control.with_file_name(ENROLMENT)
}

/// Connects, and waits for nobody: where too many wait to be taken, it would block (`EAGAIN`, unix(7)).
pub(super) fn connect(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    nix::sys::socket::connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Listens there; a socket that nobody listens at is replaced.
pub(super) fn listen(path: &Path, access: Access) -> io::Result<(UnixListener, Name)> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    }
    let listened = connect(path).map_or_else(|error| error.kind() == io::ErrorKind::WouldBlock, |_| true);
    if listened {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens there",
        ));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Nobody else may connect before the group is set.
    let before = umask(Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(path);
    umask(before);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    if access != Access::Trusted
        && let Ok(Some(group)) = Group::from_name(GROUP)
    {
        // Without the right to, root alone may ask.
        let _ = chown(path, None, Some(group.gid));
    }
    fs::set_permissions(path, fs::Permissions::from_mode(access.mode()))?;
    Ok((listener, Name(path.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/control.sock");
        let (listener, name) = listen(&path, Access::Group).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert_eq!(
            listen(&path, Access::Group).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(listener);
        std::mem::forget(name);
        let (_listener, name) = listen(&path, Access::Group).unwrap();
        drop(name);
        assert!(!path.exists());
    }

    #[test]
    fn a_queue_that_is_full_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let (_listener, _name) = listen(&path, Access::Trusted).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut waiting = Vec::new();
        let full = loop {
            match connect(&path) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let again = listen(&path, Access::Trusted).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn the_directory_is_the_service_managers_or_the_users() {
        let none = |_: &str| None;
        assert_eq!(default_path(true, none), Some("/run/sickbay/control.sock".into()));
        let manager = |name: &str| (name == "RUNTIME_DIRECTORY").then(|| "/run/x".into());
        assert_eq!(default_path(true, manager), Some("/run/x/control.sock".into()));
    }
}
