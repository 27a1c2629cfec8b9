//! pidfd_open(2): a descriptor that names one process for good and becomes readable when it ends.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::signal::SigInfo;
use super::wait::ExitStatus;
use super::{Pid, SigNo};

/// Opens a descriptor for a process.
pub fn open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: plain integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.0, 0) };
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A descriptor of ours for the file that a process has at that one (pidfd_getfd(2)); needs the right to trace it.
pub fn descriptor(pidfd: &OwnedFd, theirs: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), theirs, 0) };
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

/// Whether that process has ended.
pub fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut source = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut source, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// How a process ended that is not a child of ours. None: the kernel does not tell.
///
/// Until it is reaped, /proc tells those who may trace it; afterwards its descriptor does (since Linux 6.15).
pub fn exit_status(pidfd: &OwnedFd, pid: Pid) -> Option<ExitStatus> {
    let unreaped = status_in_proc(pid).filter(|_| send_signal(pidfd, SigNo(0)).is_ok());
    unreaped
        .or_else(|| status_in_descriptor(pidfd))
        .map(ExitStatus::from_raw)
}

/// `exit_code`, the last field of `/proc/PID/stat` (proc_pid_stat(5)).
fn status_in_proc(pid: Pid) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.trim_end().rsplit(' ').next()?.parse().ok()
}

/// `PIDFD_GET_INFO` of include/uapi/linux/pidfd.h, asked for the exit status.
fn status_in_descriptor(pidfd: &OwnedFd) -> Option<i32> {
    /// `struct pidfd_info`, whose first version is 64 bytes: mask, cgroup, ids, exit code.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        cgroup: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    const PIDFD_GET_INFO: libc::Ioctl = libc::_IOWR::<Info>(0xff, 11);
    let mut info = Info {
        mask: PIDFD_INFO_EXIT,
        ..Info::default()
    };
    // SAFETY: the descriptor is alive, and the request's number says how large `info` is.
    let outcome = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    Errno::result(outcome).ok()?;
    (info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

fn send(pidfd: &OwnedFd, signal: SigNo, info: *const [u8; SigInfo::SIZE]) -> io::Result<()> {
    // SAFETY: the descriptor is alive; `info` is null or points to a live siginfo_t.
    let outcome = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal.0, info, 0) };
    Errno::result(outcome)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn ending(script: &str) -> (Child, OwnedFd, Pid) {
        let child = Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
        let pid = Pid(child.id() as i32);
        let pidfd = open(pid).unwrap();
        let mut source = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut source, PollTimeout::NONE).unwrap();
        (child, pidfd, pid)
    }

    #[test]
    fn an_end_is_known_before_and_after_it_is_reaped() {
        let killed = ExitStatus::Killed {
            signal: SigNo::SEGV,
            core: false,
        };
        for (script, status) in [
            ("exit 3", ExitStatus::Exited(3)),
            ("ulimit -c 0; kill -SEGV $$", killed),
        ] {
            let (mut child, pidfd, pid) = ending(script);
            assert!(has_ended(&pidfd));
            assert_eq!(exit_status(&pidfd, pid), Some(status));
            child.wait().unwrap();
            // Kernels before 6.15 do not know any more.
            assert!(exit_status(&pidfd, pid).is_none_or(|told| told == status));
        }
    }

    #[test]
    fn the_end_of_another_process_with_the_same_id_is_not_taken_for_it() {
        let (mut child, pidfd, _) = ending("exit 3");
        child.wait().unwrap();
        let alive = Pid(std::process::id() as i32);
        assert_ne!(exit_status(&pidfd, alive), Some(ExitStatus::Exited(0)));
    }
}
