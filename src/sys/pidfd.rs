//! pidfd_open(2): a descriptor that names one process for good and becomes readable when it ends.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::{Pid, SigNo};

/// Opens a descriptor for a process.
pub fn open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: plain integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.0, 0) };
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Sends a signal to the process that a descriptor names (pidfd_send_signal(2)).
pub fn send_signal(pidfd: &OwnedFd, signal: SigNo) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is alive; a null siginfo asks for what kill(2) would send.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal.0,
            no_info,
            0,
        )
    };
    Errno::result(outcome)?;
    Ok(())
}
