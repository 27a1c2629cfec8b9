//! ptrace(2) with the thread's state in the types.
//!
//! A [`Stopped`] is a thread in a ptrace-stop: registers, memory and signal state are to be had from it, and
//! the call that lets it go on consumes it. Only [`super::wait`] and [`super::news`] make one, from a stop that the
//! kernel has reported **and that was not consumed** (`WNOWAIT`). So a `Stopped` that is dropped loses nothing: the same
//! stop is reported again by the next look, and if this process ends instead, the kernel finishes the stop as
//! if nobody had looked (a consumed signal-delivery-stop would lose its signal).
//!
//! A thread that the types prove stopped can still be gone: SIGKILL, the death of its process or an exec by
//! another thread end a stop. Every request then fails with `ESRCH`, which is [`PtraceError::Died`]: news about
//! the thread, not a failure of ours.
//!
//! All requests must come from the thread that attached (ptrace(2)), therefore `Stopped` is not `Send`.
//!
//! Left out: `PTRACE_ATTACH` (its SIGSTOP is seen by others), `PTRACE_TRACEME`, `PTRACE_O_EXITKILL` (our death
//! would be the service's) and `PTRACE_O_TRACEEXIT` (makes SIGKILL wait for us).

use std::marker::PhantomData;

use nix::errno::Errno;

use super::regs::{ForeignRegisters, GeneralRegisters, NT_PRSTATUS, restart_interrupted_call};
use super::signal::SigInfo;
use super::{SigNo, Tid};

/// The largest register set that is read: AVX-512 with AMX tiles needs about 11 KiB.
const MAX_REGISTER_SET: usize = 16 << 10;

/// `PTRACE_GET_RSEQ_CONFIGURATION` (linux/ptrace.h); the C library's headers lack it on some architectures.
const GET_RSEQ_CONFIGURATION: libc::c_uint = 0x420f;

/// What a seized task reports about its children, fixed in the moment of the seizure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options(usize);

/// Why a ptrace request was not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PtraceError {
    /// The thread has died, or is no longer in the stop that was seen.
    #[error("thread {0} is gone")]
    Died(Tid),
    /// The kernel refused.
    #[error("failed to {operation} thread {tid}: {errno}")]
    Refused {
        /// The request, as a verb.
        operation: &'static str,
        /// The thread.
        tid: Tid,
        /// The kernel's reason.
        errno: Errno,
    },
    /// The thread runs code of another architecture (a 32-bit program).
    #[error("thread {tid}: {reason}")]
    Foreign {
        /// The thread.
        tid: Tid,
        /// What was found.
        reason: ForeignRegisters,
    },
}

/// The result of a request on one thread.
pub type Result<T> = std::result::Result<T, PtraceError>;

/// A thread in a ptrace-stop that has been reported and not consumed.
#[must_use = "a stopped thread is let go on by cont, listen or detach"]
#[derive(Debug)]
pub struct Stopped {
    tid: Tid,
    only_this_thread: PhantomData<*const ()>,
}

impl Options {
    /// Threads and exec are followed: always wanted.
    pub const fn threads() -> Self {
        Self((libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_TRACEEXEC) as usize)
    }

    /// Processes that the service starts are followed as well.
    pub const fn with_children(self) -> Self {
        Self(self.0 | (libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_TRACEVFORK) as usize)
    }
}

/// Attaches to a task without stopping it (`PTRACE_SEIZE`).
///
/// Blocks while another thread of the target's process is in `execve(2)` (the kernel's `cred_guard_mutex`):
/// the caller bounds that with a [`super::deadline::Deadline`].
pub fn seize(tid: Tid, options: Options) -> Result<()> {
    request("seize", libc::PTRACE_SEIZE, tid, 0, options.0)
}

/// Asks a running thread to stop (`PTRACE_INTERRUPT`). Some system calls return `EINTR` for it, so this is
/// for processes that are about to die, or whose owner asked.
pub fn interrupt(tid: Tid) -> Result<()> {
    request("interrupt", libc::PTRACE_INTERRUPT, tid, 0, 0)
}

impl Stopped {
    /// For [`super::wait`] and [`super::news`], which have seen the stop.
    pub(super) fn seen(tid: Tid) -> Self {
        Self {
            tid,
            only_this_thread: PhantomData,
        }
    }

    /// Its id.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// Lets it run on; `signal` is the one of a signal-delivery-stop, to be delivered now.
    pub fn cont(self, signal: Option<SigNo>) -> Result<()> {
        request("continue", libc::PTRACE_CONT, self.tid, 0, number(signal))
    }

    /// Lets it execute one instruction.
    pub fn single_step(self, signal: Option<SigNo>) -> Result<()> {
        request(
            "single-step",
            libc::PTRACE_SINGLESTEP,
            self.tid,
            0,
            number(signal),
        )
    }

    /// Lets it run until it enters or leaves a system call, or stops for another reason.
    pub fn to_system_call(self, signal: Option<SigNo>) -> Result<()> {
        request("continue", libc::PTRACE_SYSCALL, self.tid, 0, number(signal))
    }

    /// Leaves it stopped with its group while it reports what follows (`PTRACE_LISTEN`): the answer to a
    /// group-stop. It takes no request until it reports again.
    pub fn listen(self) -> Result<()> {
        request("listen to", libc::PTRACE_LISTEN, self.tid, 0, 0)
    }

    /// Lets it go for good, with the signal of its signal-delivery-stop.
    pub fn detach(self, signal: Option<SigNo>) -> Result<()> {
        request("detach from", libc::PTRACE_DETACH, self.tid, 0, number(signal))
    }

    /// The general registers.
    pub fn registers(&self) -> Result<GeneralRegisters> {
        let mut bytes = Vec::with_capacity(GeneralRegisters::SIZE);
        self.register_set(NT_PRSTATUS, &mut bytes)?;
        GeneralRegisters::from_bytes(&bytes).map_err(|reason| PtraceError::Foreign {
            tid: self.tid,
            reason,
        })
    }

    /// Replaces the general registers.
    pub fn set_registers(&self, registers: &GeneralRegisters) -> Result<()> {
        self.set_register_set(NT_PRSTATUS, &registers.to_bytes())
    }

    /// Appends a register set (`NT_*` of elf.h) as the kernel keeps it to `out`; returns its size in bytes.
    pub fn register_set(&self, kind: i32, out: &mut Vec<u8>) -> Result<usize> {
        let before = out.len();
        out.reserve(MAX_REGISTER_SET);
        let room = out.spare_capacity_mut();
        let mut area = libc::iovec {
            iov_base: room.as_mut_ptr().cast(),
            iov_len: room.len().min(MAX_REGISTER_SET),
        };
        request(
            "read the registers of",
            libc::PTRACE_GETREGSET,
            self.tid,
            kind as usize,
            &raw mut area as usize,
        )?;
        // SAFETY: the kernel has set `iov_len` to what it has written, which is no more than it was (ptrace(2)).
        unsafe { out.set_len(before + area.iov_len) };
        Ok(area.iov_len)
    }

    /// Replaces a register set with bytes in the kernel's layout.
    pub fn set_register_set(&self, kind: i32, bytes: &[u8]) -> Result<()> {
        let mut area = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        let area = &raw mut area as usize;
        request(
            "set the registers of",
            libc::PTRACE_SETREGSET,
            self.tid,
            kind as usize,
            area,
        )
    }

    /// Makes a system call that this stop interrupted restart, where it would otherwise return `EINTR` for it.
    pub fn restart_interrupted_call(&self) {
        let mut set = Vec::with_capacity(MAX_REGISTER_SET);
        if self.register_set(NT_PRSTATUS, &mut set).is_ok() && restart_interrupted_call(&mut set) {
            // Failure means that the thread died.
            let _ = self.set_register_set(NT_PRSTATUS, &set);
        }
    }

    /// The `siginfo_t` of the signal it stopped for.
    pub fn siginfo(&self) -> Result<SigInfo> {
        let mut bytes = [0_u8; SigInfo::SIZE];
        let target = bytes.as_mut_ptr() as usize;
        request("read the signal of", libc::PTRACE_GETSIGINFO, self.tid, 0, target)?;
        Ok(SigInfo::new_raw(bytes))
    }

    /// Replaces the `siginfo_t` of the signal it stopped for.
    pub fn set_siginfo(&self, info: &SigInfo) -> Result<()> {
        let source = info.as_bytes().as_ptr() as usize;
        request("set the signal of", libc::PTRACE_SETSIGINFO, self.tid, 0, source)
    }

    /// Its blocked signals, bit n - 1 for signal n.
    pub fn signal_mask(&self) -> Result<u64> {
        let mut mask = 0_u64;
        let target = &raw mut mask as usize;
        request(
            "read the signal mask of",
            libc::PTRACE_GETSIGMASK,
            self.tid,
            size_of::<u64>(),
            target,
        )?;
        Ok(mask)
    }

    /// Replaces its blocked signals.
    pub fn set_signal_mask(&self, mask: u64) -> Result<()> {
        let source = &raw const mask as usize;
        request(
            "set the signal mask of",
            libc::PTRACE_SETSIGMASK,
            self.tid,
            size_of::<u64>(),
            source,
        )
    }

    /// Where its `struct rseq` lies, if it has registered one (rseq(2); since Linux 5.13).
    pub fn rseq_address(&self) -> Result<Option<u64>> {
        // struct ptrace_rseq_configuration: the pointer, then four words of 32 bits.
        let mut configuration = [0_u64; 3];
        let target = configuration.as_mut_ptr() as usize;
        let outcome = request(
            "read the restartable sequences of",
            GET_RSEQ_CONFIGURATION,
            self.tid,
            size_of_val(&configuration),
            target,
        );
        match outcome {
            Ok(()) => Ok(Some(configuration[0]).filter(|address| *address != 0)),
            Err(PtraceError::Refused { .. }) => Ok(None),
            Err(died) => Err(died),
        }
    }

    /// The message of an event stop: the new task's id, or the former one after exec.
    pub fn event_message(&self) -> Result<u64> {
        let mut message = 0_u64;
        let target = &raw mut message as usize;
        request("read the event of", libc::PTRACE_GETEVENTMSG, self.tid, 0, target)?;
        Ok(message)
    }

    /// One word of its memory; whole ranges are [`super::memory`]'s.
    pub fn peek(&self, address: u64) -> Result<u64> {
        let mut word = 0_u64;
        let target = &raw mut word as usize;
        request(
            "read the memory of",
            libc::PTRACE_PEEKDATA,
            self.tid,
            address as usize,
            target,
        )?;
        Ok(word)
    }

    /// Replaces one word of its memory.
    pub fn poke(&self, address: u64, word: u64) -> Result<()> {
        request(
            "write the memory of",
            libc::PTRACE_POKEDATA,
            self.tid,
            address as usize,
            word as usize,
        )
    }
}

fn number(signal: Option<SigNo>) -> usize {
    signal.map_or(0, |signal| signal.0 as usize)
}

/// One request, which C libraries declare with different signs. The system call itself is used, since the C library's
/// wrapper returns peeked words in errno's place.
fn request(
    operation: &'static str,
    request: impl Into<i64>,
    tid: Tid,
    address: usize,
    data: usize,
) -> Result<()> {
    let request: i64 = request.into();
    // SAFETY: the kernel checks tid and state; where `data` is an address, the callers above pass one of a
    // live local of the size that the request reads or writes.
    let outcome = unsafe { libc::syscall(libc::SYS_ptrace, request, tid.0, address, data) };
    match Errno::result(outcome) {
        Ok(_) => Ok(()),
        Err(Errno::ESRCH) => Err(PtraceError::Died(tid)),
        Err(errno) => Err(PtraceError::Refused {
            operation,
            tid,
            errno,
        }),
    }
}
