//! `rescue`: the thread returns to an outer frame, as if the function that this had called were done.
//!
//! The frame's registers are those that calls preserve, the value is where functions return it. What the functions in
//! between had begun stays as it is; that they hold no lock and have no destructors is the caller's to know.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{Shutdown, SockaddrStorage, getpeername, shutdown};

use crate::diagnose::unwind::OuterFrame;
use crate::sys::memory::Memory;
use crate::sys::ptrace::Stopped;
use crate::sys::status::Status;
use crate::sys::{Pid, pidfd};

use super::call::Call;
use super::inject::Obstacle;

/// Puts a thread that stands in front of its signal behind the call that `frame` made. It takes effect when the thread
/// is let go on without the signal; until then, the signal is what it takes if we end.
pub fn prepare(thread: &Stopped, status: &Status, frame: &OuterFrame, value: u64) -> Result<(), Obstacle> {
    let memory = Memory::of(thread.tid());
    Call::from(thread, status, frame, &memory)?.finish(thread, value)
}

/// A connection of a process, whatever becomes of the descriptor that it had there.
#[derive(Debug)]
pub struct Connection(OwnedFd);

impl Connection {
    /// The connection that the process has at that descriptor.
    ///
    /// # Errors
    ///
    /// There is none, or it may not be taken.
    pub fn of(process: Pid, descriptor: i32) -> io::Result<Self> {
        let copy = pidfd::descriptor(&pidfd::open(process)?, descriptor)?;
        // Of sockets, only those with a peer have a name of it: none that listens, or serves many peers.
        getpeername::<SockaddrStorage>(copy.as_raw_fd())?;
        Ok(Self(copy))
    }

    /// Ends the connection in both directions. The process still has its descriptor, and finds it at its end.
    pub fn shut_down(self) -> io::Result<()> {
        Ok(shutdown(self.0.as_raw_fd(), Shutdown::Both)?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::*;

    fn own() -> Pid {
        Pid(std::process::id() as i32)
    }

    #[test]
    fn a_connection_is_shut_down_by_a_copy_of_its_descriptor() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let connection = Connection::of(own(), ours.as_raw_fd()).unwrap();
        connection.shut_down().unwrap();
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
        drop(ours);
    }

    #[test]
    fn what_has_no_peer_is_no_connection() {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        let datagram = UnixDatagram::unbound().unwrap();
        let file = std::fs::File::open("/proc/self/status").unwrap();
        for descriptor in [
            listener.as_raw_fd(),
            datagram.as_raw_fd(),
            file.as_raw_fd(),
            1 << 20,
        ] {
            assert!(Connection::of(own(), descriptor).is_err(), "{descriptor}");
        }
    }
}
