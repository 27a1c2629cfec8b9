//! Realtime signals to this process, taken from the kernel's queue one by one.
//!
//! They are blocked, so that they wait there with their order and payload, as many as the kernel takes
//! (`RLIMIT_SIGPENDING`). A handler would have to store them, and could only drop what it has no room for.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;

use super::signal::{SIGNAL_MAX, SigInfo};

/// The queue; its descriptor is readable while a signal waits.
#[derive(Debug)]
pub struct SignalQueue {
    set: libc::sigset_t,
    waiting: OwnedFd,
}

impl SignalQueue {
    /// Blocks every realtime signal that is a program's to use, for this thread and those it starts.
    pub fn of_realtime_signals() -> io::Result<Self> {
        // SAFETY: sigset_t is plain data, all zero is a valid (empty) set.
        let mut set: libc::sigset_t = unsafe { mem::zeroed() };
        for number in libc::SIGRTMIN()..=SIGNAL_MAX {
            // SAFETY: `set` is live; the number is a valid signal.
            unsafe { libc::sigaddset(&raw mut set, number) };
        }
        // SAFETY: `set` is a live, initialised set; the old one is not asked for.
        let blocked = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
        if blocked != 0 {
            return Err(io::Error::from_raw_os_error(blocked));
        }
        // SAFETY: as above; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC) };
        let fd = Errno::result(fd)?;
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        let waiting = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { set, waiting })
    }

    /// Takes the next one. None: no signal waits.
    pub fn take(&self) -> Option<SigInfo> {
        // SAFETY: siginfo_t is plain data, all zero is a valid value.
        let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
        let now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: all three point to live values.
        let signal = unsafe { libc::sigtimedwait(&raw const self.set, &raw mut info, &raw const now) };
        (signal > 0).then(|| SigInfo::from_libc(&info))
    }
}

impl AsFd for SignalQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waiting.as_fd()
    }
}
