//! Signal numbers, their names and default actions (signal(7)), and `siginfo_t` as the kernel fills it.

use std::fmt;
use std::io;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::{Pid, Tid};

/// A signal number as the kernel counts them: 1 to 64, realtime signals and the C library's own included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SigNo(pub i32);

/// What the kernel does with a signal that nobody handles, ignores or blocks (signal(7), "Signal dispositions").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefaultAction {
    /// The process ends.
    Terminate,
    /// The process ends and may leave a core.
    Core,
    /// Nothing happens.
    Ignore,
    /// The process stops.
    Stop,
    /// A stopped process continues.
    Continue,
}

/// The standard signals of Linux on every architecture that we know, in order of their numbers from 1.
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The first realtime signal as the kernel counts them; the C library keeps 32 and 33 for itself.
const KERNEL_SIGRTMIN: i32 = 32;
/// The last signal of all.
pub const SIGNAL_MAX: i32 = 64;

impl SigNo {
    /// Hang-up.
    pub const HUP: Self = Self(libc::SIGHUP);
    /// Interrupt from the keyboard.
    pub const INT: Self = Self(libc::SIGINT);
    /// Quit from the keyboard.
    pub const QUIT: Self = Self(libc::SIGQUIT);
    /// Illegal instruction.
    pub const ILL: Self = Self(libc::SIGILL);
    /// Breakpoint, single step.
    pub const TRAP: Self = Self(libc::SIGTRAP);
    /// `abort(3)`.
    pub const ABRT: Self = Self(libc::SIGABRT);
    /// Bus error.
    pub const BUS: Self = Self(libc::SIGBUS);
    /// Arithmetic error.
    pub const FPE: Self = Self(libc::SIGFPE);
    /// Kill; never seen as a stop.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// Invalid memory reference.
    pub const SEGV: Self = Self(libc::SIGSEGV);
    /// Write to a pipe that nobody reads.
    pub const PIPE: Self = Self(libc::SIGPIPE);
    /// Termination request.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// A child's state changed.
    pub const CHLD: Self = Self(libc::SIGCHLD);
    /// Continue if stopped.
    pub const CONT: Self = Self(libc::SIGCONT);
    /// Stop, unconditionally.
    pub const STOP: Self = Self(libc::SIGSTOP);
    /// Stop from the keyboard.
    pub const TSTP: Self = Self(libc::SIGTSTP);
    /// Background read from the terminal.
    pub const TTIN: Self = Self(libc::SIGTTIN);
    /// Background write to the terminal.
    pub const TTOU: Self = Self(libc::SIGTTOU);
    /// Urgent data on a socket.
    pub const URG: Self = Self(libc::SIGURG);
    /// CPU time limit.
    pub const XCPU: Self = Self(libc::SIGXCPU);
    /// File size limit.
    pub const XFSZ: Self = Self(libc::SIGXFSZ);
    /// Window size changed.
    pub const WINCH: Self = Self(libc::SIGWINCH);
    /// Bad system call.
    pub const SYS: Self = Self(libc::SIGSYS);

    /// The signal of that name: `SIGSEGV`, `segv`, `SIGRTMIN+3`, `SIGRTMAX-1`, or a plain number.
    pub fn from_name(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse::<i32>() {
            return (1..=SIGNAL_MAX).contains(&number).then_some(Self(number));
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(index) = NAMES
            .iter()
            .position(|known| known.strip_prefix("SIG") == Some(name))
        {
            return Some(Self(index as i32 + 1));
        }
        let offset = |rest: &str| {
            if rest.is_empty() {
                Some(0)
            } else {
                rest.parse::<i32>().ok()
            }
        };
        let number = if let Some(rest) = name.strip_prefix("RTMIN") {
            libc::SIGRTMIN() + offset(rest).filter(|n| *n >= 0)?
        } else if let Some(rest) = name.strip_prefix("RTMAX") {
            SIGNAL_MAX + offset(rest).filter(|n| *n <= 0)?
        } else {
            match name {
                "IOT" => Self::ABRT.0,
                "POLL" => libc::SIGIO,
                _ => return None,
            }
        };
        (libc::SIGRTMIN()..=SIGNAL_MAX)
            .contains(&number)
            .then_some(Self(number))
            .or(match name {
                "IOT" | "POLL" => Some(Self(number)),
                _ => None,
            })
    }

    /// All names that [`SigNo::from_name`] knows for standard signals, for suggestions.
    pub fn standard_names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().copied()
    }

    /// The default action of this signal; every realtime signal terminates.
    pub const fn default_action(self) -> DefaultAction {
        match self.0 {
            libc::SIGCHLD | libc::SIGURG | libc::SIGWINCH => DefaultAction::Ignore,
            libc::SIGCONT => DefaultAction::Continue,
            libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => DefaultAction::Stop,
            libc::SIGQUIT
            | libc::SIGILL
            | libc::SIGTRAP
            | libc::SIGABRT
            | libc::SIGBUS
            | libc::SIGFPE
            | libc::SIGSEGV
            | libc::SIGXCPU
            | libc::SIGXFSZ
            | libc::SIGSYS => DefaultAction::Core,
            _ => DefaultAction::Terminate,
        }
    }

    /// Whether an instruction of the thread itself can raise this signal.
    pub const fn is_hardware(self) -> bool {
        matches!(
            self.0,
            libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL | libc::SIGTRAP
        )
    }

    /// Whether groups of processes are sent this signal as a whole, by shells and service managers: it ends, stops,
    /// continues or informs all of them.
    pub const fn is_sent_to_groups(self) -> bool {
        matches!(
            self,
            Self::HUP
                | Self::INT
                | Self::QUIT
                | Self::TERM
                | Self::ABRT
                | Self::CONT
                | Self::TSTP
                | Self::WINCH
        )
    }

    /// Whether this is a realtime signal, those of the C library included.
    pub const fn is_realtime(self) -> bool {
        self.0 >= KERNEL_SIGRTMIN && self.0 <= SIGNAL_MAX
    }
}

impl fmt::Display for SigNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            number @ 1..=31 => f.write_str(NAMES[number as usize - 1]),
            number if self.is_realtime() && number >= libc::SIGRTMIN() => {
                write!(f, "SIGRTMIN+{}", number - libc::SIGRTMIN())
            }
            number => write!(f, "SIG{number}"),
        }
    }
}

/// Sends a signal to one thread (tgkill(2)).
pub fn send_to_thread(process: Pid, thread: Tid, signal: SigNo) -> io::Result<()> {
    // SAFETY: plain integers.
    let outcome = unsafe { libc::syscall(libc::SYS_tgkill, process.0, thread.0, signal.0) };
    Errno::result(outcome)?;
    Ok(())
}

/// The name of a `si_code` for that signal (sigaction(2), "The siginfo_t argument"), if it has one.
pub fn code_name(signal: SigNo, code: i32) -> Option<&'static str> {
    let own: &[&str] = match signal {
        SigNo::ILL => &[
            "ILL_ILLOPC",
            "ILL_ILLOPN",
            "ILL_ILLADR",
            "ILL_ILLTRP",
            "ILL_PRVOPC",
            "ILL_PRVREG",
            "ILL_COPROC",
            "ILL_BADSTK",
        ],
        SigNo::FPE => &[
            "FPE_INTDIV",
            "FPE_INTOVF",
            "FPE_FLTDIV",
            "FPE_FLTOVF",
            "FPE_FLTUND",
            "FPE_FLTRES",
            "FPE_FLTINV",
            "FPE_FLTSUB",
        ],
        SigNo::SEGV => &[
            "SEGV_MAPERR",
            "SEGV_ACCERR",
            "SEGV_BNDERR",
            "SEGV_PKUERR",
            "SEGV_ACCADI",
            "SEGV_ADIDERR",
            "SEGV_ADIPERR",
            "SEGV_MTEAERR",
            "SEGV_MTESERR",
            "SEGV_CPERR",
        ],
        SigNo::BUS => &[
            "BUS_ADRALN",
            "BUS_ADRERR",
            "BUS_OBJERR",
            "BUS_MCEERR_AR",
            "BUS_MCEERR_AO",
        ],
        SigNo::TRAP => &[
            "TRAP_BRKPT",
            "TRAP_TRACE",
            "TRAP_BRANCH",
            "TRAP_HWBKPT",
            "TRAP_UNK",
            "TRAP_PERF",
        ],
        SigNo::CHLD => &[
            "CLD_EXITED",
            "CLD_KILLED",
            "CLD_DUMPED",
            "CLD_TRAPPED",
            "CLD_STOPPED",
            "CLD_CONTINUED",
        ],
        SigNo::SYS => &["SYS_SECCOMP", "SYS_USER_DISPATCH"],
        _ => &[],
    };
    match code {
        0 => Some("SI_USER"),
        0x80 => Some("SI_KERNEL"),
        -1 => Some("SI_QUEUE"),
        -2 => Some("SI_TIMER"),
        -3 => Some("SI_MESGQ"),
        -4 => Some("SI_ASYNCIO"),
        -5 => Some("SI_SIGIO"),
        -6 => Some("SI_TKILL"),
        -7 => Some("SI_DETHREAD"),
        -60 => Some("SI_ASYNCNL"),
        code if code > 0 => own.get(code as usize - 1).copied(),
        _ => None,
    }
}

/// `siginfo_t` as the kernel filled it: 128 bytes, read by the layout of asm-generic/siginfo.h on 64-bit
/// architectures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SigInfo([u8; 128]);

/// A system call that seccomp or user dispatch refused (sigaction(2), SIGSYS).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefusedCall {
    /// `si_syscall`.
    pub number: i32,
    /// `si_arch`, whose number it is (`AUDIT_ARCH_*`).
    pub architecture: u32,
    /// `si_call_addr`: behind the instruction that called.
    pub from: u64,
}

impl SigInfo {
    /// Size of `siginfo_t`, bytes.
    pub const SIZE: usize = 128;

    /// Reads the kernel's bytes; none if there are fewer than 128.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.get(..Self::SIZE)?.try_into().ok()?))
    }

    /// The kernel's bytes, whole.
    pub const fn new_raw(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }

    /// The kernel's bytes again.
    pub fn as_bytes(&self) -> &[u8; 128] {
        &self.0
    }

    /// The bytes of the C library's type.
    pub fn from_libc(info: &libc::siginfo_t) -> Self {
        // SAFETY: both are 128 bytes of plain data, and any contents are valid for an array of bytes.
        Self(unsafe { std::mem::transmute_copy(info) })
    }

    /// The same with `SI_QUEUE` for a code: what a process may send in the name of another (rt_sigqueueinfo(2)).
    pub fn queued(mut self) -> Self {
        self.0[8..12].copy_from_slice(&SI_QUEUE.to_ne_bytes());
        self
    }

    /// The same for another signal.
    pub fn with_signal(mut self, signal: SigNo) -> Self {
        self.0[..4].copy_from_slice(&signal.0.to_ne_bytes());
        self
    }

    /// `si_signo`.
    pub fn signal(&self) -> SigNo {
        SigNo(self.int(0))
    }

    /// `si_code`: above 0 where the kernel raised the signal, 0 or below where a process sent it.
    pub fn code(&self) -> i32 {
        self.int(8)
    }

    /// Whether a process sent the signal (`kill`, `tgkill`, `sigqueue`), as opposed to the kernel.
    pub fn is_sent(&self) -> bool {
        self.code() <= 0
    }

    /// `si_addr` of a fault that the kernel raised: a memory address for SIGSEGV and SIGBUS, the
    /// instruction's for SIGILL, SIGFPE and SIGTRAP.
    pub fn address(&self) -> Option<u64> {
        let raised = self.code() > 0 && self.code() != SI_KERNEL;
        (raised && self.signal().is_hardware()).then(|| self.long(16))
    }

    /// `si_pid` and `si_uid` of a signal that a process sent (`SI_USER`, `SI_TKILL`, `SI_QUEUE`).
    pub fn sender(&self) -> Option<(Pid, u32)> {
        matches!(self.code(), SI_USER | SI_QUEUE | SI_TKILL | SI_MESGQ)
            .then(|| (Pid(self.int(16)), self.int(20) as u32))
    }

    /// The system call of a SIGSYS that seccomp or user dispatch raised.
    pub fn refused_call(&self) -> Option<RefusedCall> {
        (self.signal() == SigNo::SYS && self.code() > 0).then(|| RefusedCall {
            number: self.int(24),
            architecture: self.int(28) as u32,
            from: self.long(16),
        })
    }

    /// One as the kernel would build it, for tests of pure code.
    pub fn new(signal: SigNo, code: i32, address: u64) -> Self {
        let mut bytes = [0; 128];
        bytes[0..4].copy_from_slice(&signal.0.to_le_bytes());
        bytes[8..12].copy_from_slice(&code.to_le_bytes());
        bytes[16..24].copy_from_slice(&address.to_le_bytes());
        Self(bytes)
    }

    fn int(&self, offset: usize) -> i32 {
        self.long(offset) as i32
    }

    fn long(&self, offset: usize) -> u64 {
        self.0
            .iter()
            .skip(offset)
            .take(8)
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte))
    }
}

/// `si_code` of a signal that the kernel raised without saying why.
pub const SI_KERNEL: i32 = 0x80;
/// `si_code` of `kill(2)`.
pub const SI_USER: i32 = 0;
/// `si_code` of `sigqueue(3)`.
pub const SI_QUEUE: i32 = -1;
/// `si_code` of a message queue notification.
pub const SI_MESGQ: i32 = -3;
/// `si_code` of `tgkill(2)`, which `raise(3)`, `abort(3)` and `pthread_kill(3)` use.
pub const SI_TKILL: i32 = -6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_found_again_by_its_name() {
        for number in (1..=31).chain(libc::SIGRTMIN()..=SIGNAL_MAX) {
            let signal = SigNo(number);
            assert_eq!(SigNo::from_name(&signal.to_string()), Some(signal), "{signal}");
        }
    }

    #[test]
    fn names_are_forgiving_and_bounded() {
        assert_eq!(SigNo::from_name("segv"), Some(SigNo::SEGV));
        assert_eq!(SigNo::from_name("11"), Some(SigNo::SEGV));
        assert_eq!(SigNo::from_name("SIGRTMAX-1"), Some(SigNo(63)));
        assert_eq!(SigNo::from_name("SIGIOT"), Some(SigNo::ABRT));
        for wrong in ["", "0", "65", "SIGFOO", "SIGRTMIN+99", "SIGRTMIN-1", "SIG"] {
            assert_eq!(SigNo::from_name(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_c_librarys_own_signals_have_numbers_for_names() {
        assert_eq!(SigNo(32).to_string(), "SIG32");
        assert_eq!(SigNo(libc::SIGRTMIN()).to_string(), "SIGRTMIN+0");
    }

    #[test]
    fn siginfo_tells_sender_from_address() {
        let fault = SigInfo::new(SigNo::SEGV, 1, 0x8);
        assert_eq!(
            (fault.signal(), fault.address(), fault.sender()),
            (SigNo::SEGV, Some(8), None)
        );
        let sent = SigInfo::new(SigNo::SEGV, 0, 1000 << 32 | 4711);
        assert_eq!((sent.address(), sent.sender()), (None, Some((Pid(4711), 1000))));
        assert_eq!(SigInfo::new(SigNo::SEGV, SI_KERNEL, 0).address(), None);
        assert_eq!(SigInfo::from_bytes(&[0; 12]), None);
    }

    #[test]
    fn codes_belong_to_their_signal() {
        assert_eq!(code_name(SigNo::SEGV, 1), Some("SEGV_MAPERR"));
        assert_eq!(code_name(SigNo::BUS, 2), Some("BUS_ADRERR"));
        assert_eq!(code_name(SigNo::TERM, 1), None);
        assert_eq!(code_name(SigNo::TERM, 0), Some("SI_USER"));
    }
}
