//! This process: what it was started with, and what a role needs to set up before its work.
//!
//! A program that `run` starts must find the signal mask, the ignored signals and the closed standard descriptors that our
//! caller had chosen. Rust's runtime ignores SIGPIPE and opens `/dev/null` for what is closed before `main`, and
//! posix_spawn(3) of the C library ignores signals 32 and 33 in each child; so all is noted before the runtime starts
//! (`.init_array`, run by the C library's start-up code) and restored by [`exec`], of the signals with the kernel's own
//! calls: the C library's refuse those two.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;

use super::signal::SIGNAL_MAX;
use super::{Pid, SigNo};

static INHERITED_MASK: AtomicU64 = AtomicU64::new(0);
static INHERITED_IGNORED: AtomicU64 = AtomicU64::new(0);
static INHERITED_CLOSED: AtomicU64 = AtomicU64::new(0);

/// Size of a signal set, as the kernel's calls want to be told.
const SET_SIZE: usize = 8;
/// The standard descriptors.
const STANDARD: [i32; 3] = [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO];

// SAFETY: the loader calls every pointer in this section once, before `main`, with arguments that a function
// without parameters leaves alone.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE_INHERITANCE: extern "C" fn() = note_inheritance;

/// What a program is started with, by its starter's choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inheritance {
    /// Blocked signals, bit n - 1 for signal n.
    pub mask: u64,
    /// Ignored signals, likewise.
    pub ignored: u64,
    /// Standard descriptors that are closed, bit n for descriptor n.
    pub closed: u64,
}

/// What this program was started with.
pub fn inheritance() -> Inheritance {
    Inheritance {
        mask: INHERITED_MASK.load(Ordering::Relaxed),
        ignored: INHERITED_IGNORED.load(Ordering::Relaxed),
        closed: INHERITED_CLOSED.load(Ordering::Relaxed),
    }
}

/// Replaces this program by another that is to find just that. Returns only where it fails.
pub fn exec(mut command: Command, inheritance: Inheritance) -> io::Error {
    // SAFETY: there is no fork, so any code may run there; it comes behind the standard library's own resetting of SIGPIPE.
    unsafe {
        command.pre_exec(move || {
            inheritance.restore();
            Ok(())
        })
    };
    command.exec()
}

impl Inheritance {
    /// Handlers aside: exec resets them by itself.
    fn restore(&self) {
        for signal in signals().filter(|signal| !matches!(signal.0, libc::SIGKILL | libc::SIGSTOP)) {
            let ignored = self.ignored & bit(signal) != 0;
            set_disposition(signal, if ignored { libc::SIG_IGN } else { libc::SIG_DFL });
        }
        // SAFETY: a live mask of that size.
        unsafe {
            let mask = &raw const self.mask;
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_SETMASK,
                mask,
                0_usize,
                SET_SIZE,
            )
        };
        for descriptor in STANDARD
            .into_iter()
            .filter(|number| self.closed >> number & 1 != 0)
        {
            // SAFETY: a plain number, for which the runtime had opened `/dev/null`.
            unsafe { libc::close(descriptor) };
        }
    }
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
    fail_at_the_limit_of_file_sizes();
    // SAFETY: plain integers; this process has opened no descriptor of its own yet. A kernel before 5.9 has no such
    // call, and they stay open.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}

/// Has writing beyond that limit (`RLIMIT_FSIZE`), which our caller may have set for the program, fail with `EFBIG`
/// instead of ending this process by SIGXFSZ.
pub fn fail_at_the_limit_of_file_sizes() {
    set_disposition(SigNo(libc::SIGXFSZ), libc::SIG_IGN);
}

/// Ends a process that is ours to end. One that is gone already needs no ending.
pub fn kill(pid: Pid) {
    // An id that is not positive would name a group.
    if pid.0 > 0 {
        // SAFETY: plain integers.
        unsafe { libc::kill(pid.0, libc::SIGKILL) };
    }
}

/// Whether two processes run on the same memory, as parent and child do in vfork(2) (kcmp(2), `KCMP_VM`). None: the
/// kernel does not tell, or not us.
pub fn share_memory(one: Pid, other: Pid) -> Option<bool> {
    const KCMP_VM: libc::c_int = 1;
    // SAFETY: plain integers.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, one.0, other.0, KCMP_VM, 0, 0) };
    (order >= 0).then_some(order == 0)
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

fn signals() -> impl Iterator<Item = SigNo> {
    (1..=SIGNAL_MAX).map(SigNo)
}

/// `struct sigaction` of the kernel (include/linux/signal_types.h), the same on all 64-bit architectures that have a
/// restorer.
#[repr(C)]
#[derive(Default)]
struct KernelAction {
    handler: libc::sighandler_t,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

/// Sets a disposition that is no handler, for all signals alike.
fn set_disposition(signal: SigNo, handler: libc::sighandler_t) {
    let action = KernelAction {
        handler,
        ..KernelAction::default()
    };
    // SAFETY: `action` is live and of the kernel's layout; SIG_DFL and SIG_IGN install no code.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal.0,
            &raw const action,
            0_usize,
            SET_SIZE,
        )
    };
}

fn is_ignored(signal: SigNo) -> bool {
    let mut action = KernelAction::default();
    // SAFETY: a null new action asks for the current one; `action` is live and of the kernel's layout.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal.0,
            0_usize,
            &raw mut action,
            SET_SIZE,
        )
    };
    action.handler == libc::SIG_IGN
}

extern "C" fn note_inheritance() {
    let mut mask = 0_u64;
    // SAFETY: a null new set asks for the current one; `mask` is live and of that size.
    unsafe {
        let mask = &raw mut mask;
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            0_usize,
            mask,
            SET_SIZE,
        )
    };
    let ignored = signals().filter(|signal| is_ignored(*signal)).map(bit).sum();
    // SAFETY: asks about numbers only.
    let is_closed = |number: &i32| unsafe { libc::fcntl(*number, libc::F_GETFD) } < 0;
    let closed = STANDARD
        .into_iter()
        .filter(is_closed)
        .map(|number| 1 << number)
        .sum();
    INHERITED_MASK.store(mask, Ordering::Relaxed);
    INHERITED_IGNORED.store(ignored, Ordering::Relaxed);
    INHERITED_CLOSED.store(closed, Ordering::Relaxed);
}
