//! pidfd_open(2): a descriptor that names one process for good and becomes readable when it ends.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::signal::SigInfo;
use super::{Pid, SigNo};

/// Opens a descriptor for a process.
pub fn open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: plain integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.0, 0) };
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Sends a signal to the process that a descriptor names, as kill(2) would (pidfd_send_signal(2)).
pub fn send_signal(pidfd: &OwnedFd, signal: SigNo) -> io::Result<()> {
    send(pidfd, signal, std::ptr::null())
}

/// Sends a signal with that `siginfo_t`; its code must be one that processes may send, `SI_QUEUE` above all.
pub fn send_siginfo(pidfd: &OwnedFd, info: &SigInfo) -> io::Result<()> {
    send(pidfd, info.signal(), info.as_bytes())
}

fn send(pidfd: &OwnedFd, signal: SigNo, info: *const [u8; SigInfo::SIZE]) -> io::Result<()> {
    // SAFETY: the descriptor is alive; `info` is null or points to a live siginfo_t.
    let outcome = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal.0, info, 0) };
    Errno::result(outcome)?;
    Ok(())
}
