//! This process: the signal state it was started with, and what a role needs to set up before its work.
//!
//! A program that `run` starts must find the signal mask and the ignored signals that our caller had chosen.
//! Rust's runtime ignores SIGPIPE before `main`, and spawning a child resets the mask; so both are noted
//! before the runtime starts (`.init_array`, run by the C library's start-up code) and restored before exec.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;

use super::signal::SIGNAL_MAX;
use super::{Pid, SigNo};

static INHERITED_MASK: AtomicU64 = AtomicU64::new(0);
static INHERITED_IGNORED: AtomicU64 = AtomicU64::new(0);

// SAFETY: the loader calls every pointer in this section once, before `main`, with arguments that a function
// without parameters leaves alone.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE_SIGNAL_STATE: extern "C" fn() = note_signal_state;

/// Blocked and ignored signals, bit n - 1 for signal n.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignalState {
    /// The blocked ones.
    pub mask: u64,
    /// The ignored ones.
    pub ignored: u64,
}

/// The signal state that this program was started with.
pub fn inherited_signal_state() -> SignalState {
    SignalState {
        mask: INHERITED_MASK.load(Ordering::Relaxed),
        ignored: INHERITED_IGNORED.load(Ordering::Relaxed),
    }
}

/// Gives this process that signal state, handlers aside: exec resets them by itself.
pub fn restore_signal_state(state: SignalState) {
    for number in (1..=SIGNAL_MAX).filter(|number| *number != libc::SIGKILL && *number != libc::SIGSTOP) {
        let handler = if state.ignored & bit(SigNo(number)) == 0 {
            libc::SIG_DFL
        } else {
            libc::SIG_IGN
        };
        set_disposition(SigNo(number), handler);
    }
    // SAFETY: the kernel's own call with a live 8-byte mask; the C library's would refuse signals 32 and 33.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const state.mask,
            0_usize,
            8_usize,
        )
    };
}

/// Lets go of what is the program's: stdin, stdout, and whatever else our caller had left open for it.
///
/// Whoever reads or feeds the program through these learns of its closing them, and not only of our end. Stderr is kept
/// for what we have to say ourselves.
pub fn leave_descriptors_to_the_program() -> io::Result<()> {
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    for standard in [libc::STDIN_FILENO, libc::STDOUT_FILENO] {
        // SAFETY: both are plain numbers of descriptors; what the first stood for is nobody's in this process.
        Errno::result(unsafe { libc::dup2(nothing.as_raw_fd(), standard) })?;
    }
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for number in open.into_iter().filter(|number| *number > libc::STDERR_FILENO) {
        // SAFETY: asks about a number only.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        // Ours are all closed on exec, so this one came from outside.
        if flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: no value of this process owns it.
            unsafe { libc::close(number) };
        }
    }
    Ok(())
}

/// Takes ownership of a descriptor that this process was started with; an error if there is none of that number.
pub fn inherited_descriptor(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: asks about a number only.
    Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: the descriptor exists, and the program that passed its number gave it to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Stops this process as that signal does by default, until somebody continues it. What else was arranged for the signal
/// holds again afterwards.
pub fn stop_by(signal: SigNo) {
    let mut before = None;
    if signal.0 != libc::SIGSTOP {
        // SAFETY: sigaction is plain data, all zero is a valid value: the default action, nothing blocked.
        let standard: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: both are live; the default action installs no code.
        if unsafe { libc::sigaction(signal.0, &raw const standard, &raw mut ours) } == 0 {
            before = Some(ours);
        }
    }
    // SAFETY: plain integers.
    unsafe { libc::raise(signal.0) };
    if let Some(ours) = before {
        // SAFETY: what the kernel had handed out a moment ago.
        unsafe { libc::sigaction(signal.0, &raw const ours, std::ptr::null_mut()) };
    }
}

/// What a tracer or a recorder does first: it leaves the terminal and what its front was started with.
///
/// Signals of the terminal and of a service manager are for the front, whose end is the end of its roles. Descriptors
/// beyond the standard three were left open for the program that is run.
pub fn become_a_role() {
    // Fails only in the leader of a process group, which has left already.
    let _ = nix::unistd::setsid();
    for signal in [SigNo::HUP, SigNo::INT, SigNo::QUIT, SigNo::TERM, SigNo::TSTP] {
        set_disposition(signal, libc::SIG_IGN);
    }
    // SAFETY: plain integers; this process has opened no descriptor of its own yet. A kernel before 5.9 has no such
    // call, and they stay open.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}

/// Ends a process that is ours to end. One that is gone already needs no ending.
pub fn kill(pid: Pid) {
    // An id that is not positive would name a group.
    if pid.0 > 0 {
        // SAFETY: plain integers.
        unsafe { libc::kill(pid.0, libc::SIGKILL) };
    }
}

/// Has this process killed when the thread that started it ends (prctl(2), `PR_SET_PDEATHSIG`). A change of user forgets
/// that, so it comes after one.
pub fn die_with_parent() {
    // SAFETY: plain integers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Leaves the keyboard's signals to a child that talks to the user in our place.
pub fn leave_keyboard_signals() {
    for signal in [SigNo::INT, SigNo::QUIT] {
        set_disposition(signal, libc::SIG_IGN);
    }
}

/// Names a process that may trace this one, as may its descendants, where Yama restricts tracing to the traced
/// process's own ancestors (prctl(2), `PR_SET_PTRACER`). Without Yama there is nothing to do, and the kernel says `EINVAL`.
pub fn allow_tracer(tracer: Pid) -> io::Result<()> {
    // SAFETY: plain integers.
    let outcome = unsafe { libc::prctl(libc::PR_SET_PTRACER, tracer.0 as libc::c_ulong, 0, 0, 0) };
    match Errno::result(outcome) {
        Ok(_) | Err(Errno::EINVAL) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// How long the calling thread has run so far (`CLOCK_THREAD_CPUTIME_ID`).
pub fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is live; the clock exists since Linux 2.6.12.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The bit of a signal in a mask of 64.
pub const fn bit(signal: SigNo) -> u64 {
    if signal.0 >= 1 && signal.0 <= SIGNAL_MAX {
        1 << (signal.0 - 1)
    } else {
        0
    }
}

fn set_disposition(signal: SigNo, handler: libc::sighandler_t) {
    // SAFETY: SIG_DFL and SIG_IGN install no code.
    unsafe { libc::signal(signal.0, handler) };
}

extern "C" fn note_signal_state() {
    let mut mask = 0_u64;
    // SAFETY: a null new set asks for the current one; `mask` is live and of the kernel's size.
    unsafe {
        let none = std::ptr::null::<u64>();
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            none,
            &raw mut mask,
            8_usize,
        )
    };
    let mut ignored = 0_u64;
    for number in 1..=SIGNAL_MAX {
        // SAFETY: sigaction is plain data, all zero is a valid value.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: a null new action asks for the current one.
        let known = unsafe { libc::sigaction(number, std::ptr::null(), &raw mut action) } == 0;
        if known && action.sa_sigaction == libc::SIG_IGN {
            ignored |= bit(SigNo(number));
        }
    }
    INHERITED_MASK.store(mask, Ordering::Relaxed);
    INHERITED_IGNORED.store(ignored, Ordering::Relaxed);
}
