//! Pure: a [`Capture`] in, a [`Diagnosis`] out.
//!
//! Nothing here touches a live process, the file system or the clock. What a diagnosis needs beyond the capture
//! are bytes of the mapped files, and those come through a [`ModuleSource`]; without them ([`NoModules`]) only
//! the reason of an `abort(3)` that left no message stays unknown.
//!
//! | file | subject |
//! |---|---|
//! | [`cause`](Cause) | the causes and their published texts |
//! | `subject` | what is examined: the fault itself, or the fault that the program's own handler took first |
//! | `memory`, `bus`, `protection` | SIGSEGV, SIGBUS, and both of them without an address |
//! | `stack` | is it a stack overflow? |
//! | `trap` | SIGFPE, SIGILL, SIGTRAP, SIGSYS |
//! | `refused` | names of system calls, and those that were refused |
//! | `abort` | SIGABRT that the process raised: the message, or the functions on the stack |
//! | `sent` | signals that somebody sent |
//! | `sentence` | parts of sentences that the families share |
//! | `locks` | who waits for whom: [`LockGraph`] |
//! | `stuck` | what a live process is stuck at: [`diagnose_stuck`] |
//! | `waiting` | what a thread waits for, by its system call |
//! | `exit` | ends that no stop announced: [`diagnose_end`] |
//! | [`instruction`] | the instruction at the program counter, its operands and memory accesses |
//! | `elf` | build ids and symbols of mapped files |
//! | `landmarks` | functions whose presence on a stack explains an abort |
//! | `functions`, `demangle`, `short_name` | the names of functions by the symbol tables alone, as written, and short |
//! | `inside` | what a thread is in the middle of that others need it to finish |
//! | `runtime` | the language runtime that a thread belongs to |
//! | [`unwind`] | the call stacks of the threads |
//!
//! Everything that is read was under the control of the process that crashed. No input makes a diagnosis
//! fail: what cannot be read is left out.

mod abort;
mod bus;
mod callback;
mod cause;
mod demangle;
mod elf;
mod exit;
mod functions;
mod inside;
pub mod instruction;
mod landmarks;
mod locks;
mod memory;
mod protection;
mod refused;
mod runtime;
mod sent;
mod sentence;
mod short_name;
mod stack;
mod stuck;
mod subject;
mod trap;
pub mod unwind;
mod waiting;

use std::io;

use serde::{Deserialize, Serialize};

use crate::capture::maps::Maps;
use crate::capture::{Capture, FaultFacts, Precursor};
use crate::sys::regs::GeneralRegisters;
use crate::sys::{Pid, SigNo, Tid};
use abort::Abort;
use sent::Sender;
use subject::Subject;

pub use callback::{Called, callback_descriptor};
pub use cause::Cause;
pub use demangle::demangled;
pub use elf::{Binding, ElfError, Image, InMemory, Section, Symbol};
pub use exit::{Ended, diagnose_end};
pub use functions::{Functions, MAX_FRAMES};
pub use inside::{Inside, inside};
pub use locks::{Deadlock, Lock, LockGraph, LockKind};
pub use refused::system_call_name;
pub use runtime::{Runtime, Runtimes, Tie, holds_interpreter_lock};
pub use short_name::short_name;
pub use stuck::diagnose_stuck;
pub use waiting::InCall;

/// What happened, in words and values.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The cause.
    pub cause: Cause,
    /// One sentence with the values that matter: "null pointer write: `mov dword ptr [rdi+8], 2ah`,
    /// rdi = 0x0". It quotes the process (names, messages): escape it before it reaches a terminal.
    pub detail: String,
    /// What the thread tried to do to the address of the signal.
    pub access: Option<Access>,
    /// The program counter of the fault that is described.
    pub pc: Option<u64>,
    /// The address that the fault is about: of the signal, or computed from the instruction where the kernel
    /// gives none.
    pub address: Option<u64>,
    /// The instruction at [`Diagnosis::pc`], where the architecture's decoder is there and its bytes are.
    pub instruction: Option<instruction::Instruction>,
    /// What the C library said before it aborted.
    pub abort_message: Option<String>,
    /// The thread that is described: of the precursor, where there is one.
    pub subject_tid: Option<Tid>,
}

/// What a thread does to memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Data is read.
    Read,
    /// Data is written, or read and written back.
    Write,
    /// Instructions are fetched.
    Execute,
}

/// Bytes of the files that are mapped into the process.
pub trait ModuleSource {
    /// Size of that module's file, bytes; `module` counts [`Facts::modules`](crate::capture::Facts::modules).
    fn size(&self, module: usize) -> io::Result<u64>;

    /// Reads as many bytes as are there, up to the size of `buffer`, as pread(2) does.
    fn read_at(&self, module: usize, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// What tells the file and its contents from any other; none where nothing does.
    fn version(&self, _module: usize) -> Option<FileVersion> {
        None
    }
}

/// A file as it was written last (stat(2)).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileVersion {
    /// Device and inode.
    pub file: (u64, u64),
    /// Size, bytes.
    pub size: u64,
    /// When its contents changed last, seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
    /// When anything of it changed last, which no program can set.
    pub changed: (i64, i64),
}

/// A [`ModuleSource`] without any.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoModules;

impl ModuleSource for NoModules {
    fn size(&self, _module: usize) -> io::Result<u64> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn read_at(&self, _module: usize, _offset: u64, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// What one of the families found.
struct Finding {
    cause: Cause,
    detail: String,
    access: Option<Access>,
    address: Option<u64>,
}

/// Explains the signal of a capture, with the memory map of its process; none for a capture without one.
pub fn diagnose(capture: &Capture, maps: &Maps, modules: &dyn ModuleSource) -> Option<Diagnosis> {
    let fault = capture.facts.fault.as_ref()?;
    let fatal = Subject::fatal(capture, fault, maps);
    let sender = Sender {
        own_pid: own_pid(capture),
        comm: fault.sender_comm.as_deref(),
    };
    let by_itself = sent::is_itself(&fatal, &sender);
    let abort = if fatal.signal == SigNo::ABRT && by_itself {
        Abort::find(capture, fault, maps, modules)
    } else {
        Abort::none()
    };
    let found = explain(&fatal, &sender, &abort);
    let mut diagnosis = match precursor(capture, fault, &found, by_itself) {
        Some(precursor) => {
            let first = Subject::precursor(capture, precursor, maps);
            let mut found = explain(&first, &sender, &Abort::none());
            found.detail.push_str(if by_itself {
                "; the program's own handler ran first"
            } else {
                "; the program's own handler could not be entered"
            });
            found.about(first)
        }
        None => found.about(fatal),
    };
    if diagnosis.cause == Cause::Watchdog
        && let Some(reason) = stuck::stuck(&LockGraph::of(capture))
    {
        diagnosis.detail.push_str(&format!("; {}", reason.detail));
    }
    diagnosis.abort_message = abort.message;
    Some(diagnosis)
}

fn explain(subject: &Subject<'_>, sender: &Sender<'_>, abort: &Abort) -> Finding {
    if subject.info.is_none() {
        return Finding::new(
            Cause::Unknown,
            format!("{}; its siginfo is missing", subject.signal),
        );
    }
    let raised = subject.code() > 0;
    match subject.signal {
        SigNo::SEGV | SigNo::BUS if raised => match subject.address() {
            Some(address) if subject.signal == SigNo::BUS => bus::explain(subject, address),
            Some(address) => memory::explain(subject, address),
            None => protection::explain(subject),
        },
        SigNo::FPE if raised => trap::arithmetic(subject),
        SigNo::ILL if raised => trap::illegal(subject),
        SigNo::TRAP if raised => trap::trap(subject),
        SigNo::SYS if raised => trap::system_call(subject),
        _ => sent::explain(subject, sender, abort),
    }
}

/// The fault to describe in place of the fatal signal, which is its consequence only: the program's handler raised
/// the same signal once more or called abort(3), or the kernel could not enter it (`force_sigsegv`).
fn precursor<'a>(
    capture: &Capture,
    fault: &'a FaultFacts,
    found: &Finding,
    by_itself: bool,
) -> Option<&'a Precursor> {
    let precursor = fault.precursor.as_ref()?;
    let same_signal = precursor.signal == fault.signal;
    let same_thread = precursor.tid == fault.tid;
    let raised_again = same_signal && by_itself;
    let not_entered = same_signal && same_thread && found.cause == Cause::GeneralProtection;
    let aborted = same_thread && found.cause == Cause::Abort && handler_runs(capture, precursor);
    (raised_again || not_entered || aborted).then_some(precursor)
}

/// Whether the handler of that fault has not returned: the registers that the kernel saved for its return are on the
/// stack, stack pointer and program counter one behind the other (`struct sigcontext`, on every architecture that
/// is supported).
fn handler_runs(capture: &Capture, precursor: &Precursor) -> bool {
    let Ok(registers) = GeneralRegisters::from_bytes(capture.get(precursor.general)) else {
        return false;
    };
    let saved = [registers.sp().to_le_bytes(), registers.pc().to_le_bytes()].concat();
    let stack = capture.faulting().and_then(|thread| thread.stack);
    let words = stack.map(|stack| capture.get(stack.data)).unwrap_or_default();
    words.windows(saved.len()).step_by(8).any(|pair| pair == saved)
}

/// The process's id in its own pid namespace: the last of `NStgid` (proc(5)), which is the
/// same in the files of all its threads.
fn own_pid(capture: &Capture) -> Option<Pid> {
    let outer = capture.pid();
    let status = capture
        .facts
        .process
        .status
        .map(|status| capture.get(status))
        .unwrap_or_default();
    let ids = status
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"NStgid:"));
    let innermost = ids.and_then(|ids| {
        str::from_utf8(ids)
            .ok()?
            .split_whitespace()
            .next_back()?
            .parse()
            .ok()
    });
    Some(innermost.map_or(outer, Pid))
}

impl Finding {
    fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self {
            cause,
            detail: detail.into(),
            access: None,
            address: None,
        }
    }

    fn at(self, access: Option<Access>, address: u64) -> Self {
        Self {
            access,
            address: Some(address),
            ..self
        }
    }

    fn about(self, subject: Subject<'_>) -> Diagnosis {
        Diagnosis {
            pc: subject.pc(),
            subject_tid: Some(subject.tid),
            instruction: subject.instruction,
            ..self.into_diagnosis()
        }
    }

    fn into_diagnosis(self) -> Diagnosis {
        Diagnosis {
            cause: self.cause,
            detail: self.detail,
            access: self.access,
            pc: None,
            address: self.address,
            instruction: None,
            abort_message: None,
            subject_tid: None,
        }
    }
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod sample;

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use proptest::prelude::*;

    use super::sample::{Case, LOAD, PC, PID, SP, STORE, explained, segv};
    use super::*;
    use crate::capture::Purpose;
    use crate::sys::signal::SI_TKILL;

    #[test]
    fn the_first_fault_is_told_and_not_the_handlers_second() {
        let first = || segv(1, 8).with("rdi", 0).code(STORE);
        let raised = Case::sent(SigNo::SEGV, SI_TKILL, PID)
            .with("rip", 0x40_1ff0)
            .precursor(first())
            .diagnose();
        assert_eq!(raised.cause, Cause::NullDereference);
        assert!(
            raised.detail.ends_with("; the program's own handler ran first"),
            "{}",
            raised.detail
        );
        assert_eq!((raised.pc, raised.access), (Some(PC), Some(Access::Write)));
        let not_entered = segv(0x80, 0).precursor(first()).told();
        assert_eq!(not_entered.0, Cause::NullDereference);
        assert!(
            not_entered
                .2
                .ends_with("; the program's own handler could not be entered"),
            "{}",
            not_entered.2
        );
        let other = Case::sent(SigNo::TERM, 0, 812).precursor(first());
        assert_eq!(
            other.cause(),
            Cause::SentByProcess,
            "an old, handled fault explains nothing"
        );
        let aborting = |stack: &[u64]| {
            Case::sent(SigNo::ABRT, SI_TKILL, PID)
                .precursor(first())
                .stack(stack)
                .cause()
        };
        assert_eq!(aborting(&[7, SP, PC, 9]), Cause::NullDereference);
        assert_eq!(
            aborting(&[7, PC, SP, 9]),
            Cause::Abort,
            "the handler of an old fault has returned"
        );
        let sent = Case::sent(SigNo::SEGV, 0, 812).precursor(first());
        assert_eq!(sent.cause(), Cause::SentByProcess);
        let fresh = segv(1, 0x5000_0000)
            .with("rdi", 0x5000_0000)
            .code(LOAD)
            .precursor(first());
        assert_eq!(fresh.cause(), Cause::UnmappedAccess);
    }

    #[test]
    fn little_is_enough() {
        assert_eq!(diagnose(&Capture::default(), &Maps::default(), &NoModules), None);
        let mut bare = Case::new(SigNo::SEGV, 1, 8);
        bare.fault().siginfo = None;
        bare.capture.facts.process.maps = None;
        assert_eq!(explained(&bare.capture).cause, Cause::Unknown);
    }

    proptest! {
        #[test]
        fn no_capture_is_too_strange(
            signal in 1..65_i32,
            code in prop_oneof![-8..12_i32, Just(0x80), any::<i32>()],
            address in prop_oneof![0..0x10000_u64, Just(SP - 8), any::<u64>()],
            values in proptest::collection::vec(prop_oneof![Just(SP), Just(0), any::<u64>()], 27),
            bytes in proptest::collection::vec(any::<u8>(), 0..24),
            message in proptest::collection::vec(any::<u8>(), 0..64),
            words in proptest::collection::vec(prop_oneof![Just(PC), any::<u64>()], 0..16),
        ) {
            let mut case = Case::new(SigNo(signal), code, address).code(&bytes).stack(&words);
            let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let raw = case.capture.keep(&raw);
            case.capture.facts.threads[0].general = Some(raw);
            case.memory(Purpose::Code, values[16], &bytes);
            let message = case.capture.keep(&message);
            case.fault().abort_message = Some(message);
            let found = explained(&case.capture);
            prop_assert!(!found.detail.is_empty() && found.detail.len() < 1024, "{}", found.detail);
        }
    }
}
