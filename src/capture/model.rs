//! What a capture holds, and how it travels: an index (JSON) in front of the bytes it refers to.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::sys::regs::{ForeignRegisters, GeneralRegisters, SystemCall};
use crate::sys::signal::SigInfo;
use crate::sys::{Pid, SigNo, StartTime, Tid};

/// The largest index that is read back; one of 10,000 threads takes about 4 MiB.
const MAX_INDEX: u64 = 64 << 20;

/// A range of [`Capture::bytes`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Blob {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

impl Blob {
    /// Its first bytes, if it has as many.
    pub fn first(self, len: u64) -> Option<Self> {
        (len > 0 && len <= self.len).then_some(Self { len, ..self })
    }
}

/// A copy of what was stopped: an index and the bytes it refers to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Capture {
    /// The index.
    pub facts: Facts,
    /// Everything that [`Blob`]s refer to.
    pub bytes: Vec<u8>,
}

/// The index of a capture.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Why it was made.
    pub kind: Kind,
    /// When the stop was seen, microseconds since 1970 UTC.
    pub time_us: i64,
    /// The process.
    pub process: ProcessFacts,
    /// The signal and its thread; none for a capture on demand.
    pub fault: Option<FaultFacts>,
    /// The threads, the faulting one first.
    pub threads: Vec<ThreadFacts>,
    /// Memory beyond the stacks.
    pub memory: Vec<MemoryRange>,
    /// What was copied of an interpreter's own structures.
    pub python: Option<Python>,
    /// What of the copied memory must not be written anywhere.
    pub withheld: Vec<Withheld>,
    /// Mapped files. Where one could be opened, its descriptor travels beside the capture.
    pub modules: Vec<ModuleFile>,
    /// How long threads were kept from running.
    pub pause: Pause,
    /// What could not be copied, and why.
    pub missing: Vec<Missing>,
}

/// Why a capture was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A thread took a fatal signal.
    #[default]
    Fault,
    /// The process is gone already; nothing of it could be copied.
    Exit,
    /// Somebody asked.
    Capture,
}

/// The signal that was caught, as of the stop.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FaultFacts {
    /// The thread that took it.
    pub tid: Tid,
    /// The signal.
    pub signal: SigNo,
    /// `siginfo_t`, if it could be read.
    pub siginfo: Option<Blob>,
    /// The last hardware fault that the program's own handler had taken in this process before, if any:
    /// where a handler resets itself and raises the signal anew, this is the fault that started it.
    pub precursor: Option<Precursor>,
    /// The command name of the sender of a signal that another process sent, read at the stop.
    pub sender_comm: Option<String>,
    /// The text that `abort(3)`'s callers leave for debuggers (`__abort_msg` of the C library).
    pub abort_message: Option<Blob>,
    /// The C++ exception that was being handled at an `abort(3)`.
    pub exception: Option<ExceptionFacts>,
    /// The Rust panic whose hook had been told of it at an `abort(3)`.
    pub panic: Option<PanicFacts>,
}

/// A C++ exception.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ExceptionFacts {
    /// The name of its type, mangled.
    pub type_name: Blob,
    /// Its text, where it derives from a standard exception that has one.
    pub text: Option<Blob>,
}

/// A Rust panic.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PanicFacts {
    /// Address of its `core::panic::Location`, which is in the file that it was compiled into.
    pub location: u64,
    /// The name of the source file.
    pub file: Blob,
    /// Its line.
    pub line: u32,
    /// The column there.
    pub column: u32,
    /// Its text, where it has one.
    pub text: Option<Blob>,
}

/// A fault that was handed to the program's own handler.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Precursor {
    /// The thread that took it.
    pub tid: Tid,
    /// The signal.
    pub signal: SigNo,
    /// `siginfo_t`.
    pub siginfo: Blob,
    /// `NT_PRSTATUS` at that stop.
    pub general: Blob,
    /// How long before the fatal signal, microseconds.
    pub before_us: u64,
}

/// The process, mostly as the text of its /proc files.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ProcessFacts {
    /// Thread group id in the tracer's pid namespace.
    pub pid: i32,
    /// Start of the leader, clock ticks after boot.
    pub start_time: u64,
    /// User id that owns the files of `/proc/PID`: 0 where the process is not dumpable, else its effective user id.
    pub proc_owner: Option<u32>,
    /// `/proc/PID/exe`'s target.
    pub exe: Option<String>,
    /// `/proc/PID/status`.
    pub status: Option<Blob>,
    /// How many threads it has, where the status was read and not copied.
    pub thread_count: usize,
    /// `/proc/PID/stat`.
    pub stat: Option<Blob>,
    /// `/proc/PID/maps`.
    pub maps: Option<Blob>,
    /// `/proc/PID/limits`.
    pub limits: Option<Blob>,
    /// `/proc/PID/coredump_filter` (core(5)).
    pub coredump_filter: Option<u32>,
    /// `/proc/PID/auxv`.
    pub auxv: Option<Blob>,
    /// `/proc/PID/cmdline`, unless the configuration masks it.
    pub cmdline: Option<Blob>,
    /// `/proc/PID/cgroup`.
    pub cgroup: Option<Blob>,
    /// Environment variables that the configuration allows, `NAME=value` with a zero byte behind each.
    pub environment: Option<Blob>,
    /// Open descriptors.
    pub files: Vec<OpenFile>,
    /// Which of the descriptors beside the capture is its `/tmp`, if it generated code.
    pub tmp: Option<u32>,
    /// Which is its root, if it is in another mount namespace.
    pub root: Option<u32>,
}

/// One open descriptor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenFile {
    /// Its number.
    pub fd: i32,
    /// What `/proc/PID/fd/N` points to.
    pub target: String,
}

/// One thread.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ThreadFacts {
    /// Its id in the tracer's pid namespace.
    pub tid: Tid,
    /// Its name (`/proc/PID/task/TID/comm`), without the newline.
    pub name: Option<String>,
    /// `/proc/PID/task/TID/stat`: state and times.
    pub stat: Option<Blob>,
    /// `/proc/PID/task/TID/syscall` (proc(5)), of a thread that was not stopped.
    pub system_call: Option<Blob>,
    /// Its id in its own pid namespace, where that is another one.
    pub inner_tid: Option<Tid>,
    /// The number of the call that it was in before, where it is in restart_syscall(2) and the code tells.
    pub restarted: Option<u64>,
    /// `NT_PRSTATUS`.
    pub general: Option<Blob>,
    /// `NT_PRFPREG`.
    pub fp: Option<Blob>,
    /// The architecture's set beyond it ([`crate::sys::regs::EXTENDED_SET`]).
    pub extended: Option<Blob>,
    /// Its stack.
    pub stack: Option<StackRange>,
}

/// A copied part of a stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StackRange {
    /// The stack pointer.
    pub pointer: u64,
    /// Start of the mapping that holds the stack.
    pub low: u64,
    /// Its end.
    pub high: u64,
    /// Address of the first copied byte; below `pointer` by the red zone where that is mapped.
    pub start: u64,
    /// The copied bytes.
    pub data: Blob,
}

/// A copied piece of memory that is not a stack.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemoryRange {
    /// Why it was copied.
    pub purpose: Purpose,
    /// Address of the first byte.
    pub start: u64,
    /// The bytes.
    pub data: Blob,
}

/// What was copied of CPython's structures.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Python {
    /// Address of `_PyRuntime`.
    pub runtime: u64,
    /// `Py_Version`, for example 0x030b02f0 for 3.11.2.
    pub version: u32,
    /// What was read, from address and bytes.
    pub reads: Vec<(u64, Blob)>,
}

/// Memory that is not to leave the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Withheld {
    /// First address.
    pub low: u64,
    /// End, exclusive.
    pub high: u64,
}

/// Why a piece of memory was copied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// It lies around the address in a register of the faulting thread.
    Register(String),
    /// Code around the program counter of the faulting thread.
    Code,
    /// Code around the program counter of the precursor.
    PrecursorCode,
    /// The vdso: a module without a file.
    Vdso,
    /// The stack that a signal handler on an alternate stack interrupted.
    InterruptedStack,
    /// It leads debuggers to the libraries: program headers, dynamic section, the loader's list.
    Loader,
    /// A lock that is held, or a word that a thread waits on, is at this address in it.
    Lock(u64),
}

/// One mapped file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ModuleFile {
    /// Path as `/proc/PID/maps` shows it.
    pub path: String,
    /// Lowest mapped address.
    pub low: u64,
    /// End of its highest mapping.
    pub high: u64,
    /// File offset of the lowest mapping, bytes.
    pub offset: u64,
    /// Device, major and minor number.
    pub device: (u32, u32),
    /// Inode.
    pub inode: u64,
    /// Which of the descriptors beside the capture is this file, if it could be opened.
    pub descriptor: Option<u32>,
}

impl ModuleFile {
    /// The last part of its path.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// How long threads were kept from running.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Pause {
    /// From the stop of the faulting thread to its release, microseconds.
    pub faulting_us: u64,
    /// From the first stop of another thread to the release of the last, microseconds.
    pub others_us: u64,
    /// What the time went into, in order.
    pub phases: Vec<Phase>,
}

/// One timed part of a pause.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// How long it took, microseconds.
    pub us: u64,
}

/// Something that could not be had.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Missing {
    /// The step that failed.
    pub step: String,
    /// Why.
    pub reason: String,
}

/// A capture that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Reading or writing failed.
    #[error("failed to transfer a capture: {0}")]
    Io(#[from] io::Error),
    /// The index is no index.
    #[error("failed to read the index of a capture: {0}")]
    Index(#[from] serde_json::Error),
    /// The index claims to be larger than any index is.
    #[error("the index of a capture claims {0} bytes")]
    TooLarge(u64),
}

impl ThreadFacts {
    /// A thread of which nothing but its id is known.
    pub fn new(tid: Tid) -> Self {
        Self {
            tid,
            name: None,
            stat: None,
            system_call: None,
            inner_tid: None,
            restarted: None,
            general: None,
            fp: None,
            extended: None,
            stack: None,
        }
    }

    /// The system call that a thread slept in which was not stopped.
    pub fn call_of_running(&self, capture: &Capture) -> Option<SystemCall> {
        SystemCall::parse(capture.get(self.system_call?))
    }

    /// The id by which its own process knows it.
    pub fn own_tid(&self) -> Tid {
        self.inner_tid.unwrap_or(self.tid)
    }
}

impl Capture {
    /// Appends bytes and names where they are.
    pub fn keep(&mut self, bytes: &[u8]) -> Blob {
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        Blob {
            offset,
            len: bytes.len() as u64,
        }
    }

    /// The bytes of a range; empty where the range lies outside.
    pub fn get(&self, blob: Blob) -> &[u8] {
        let start = usize::try_from(blob.offset).unwrap_or(usize::MAX);
        let end = usize::try_from(blob.offset.saturating_add(blob.len)).unwrap_or(usize::MAX);
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// The parts of a piece of memory that may be written somewhere, with their addresses.
    pub fn shown(&self, start: u64, data: Blob) -> Vec<(u64, &[u8])> {
        let mut parts = vec![(start, self.get(data))];
        for hidden in &self.facts.withheld {
            parts = parts
                .into_iter()
                .flat_map(|(start, bytes)| {
                    let end = start.saturating_add(bytes.len() as u64);
                    let below = (hidden.low.clamp(start, end) - start) as usize;
                    let above = (hidden.high.clamp(start, end) - start) as usize;
                    [
                        (start, &bytes[..below]),
                        (start + above as u64, &bytes[above.max(below)..]),
                    ]
                })
                .filter(|(_, bytes)| !bytes.is_empty())
                .collect();
        }
        parts
    }

    /// Notes that a step failed.
    pub fn miss(&mut self, step: impl Into<String>, reason: impl ToString) {
        self.facts.missing.push(Missing {
            step: step.into(),
            reason: reason.to_string(),
        });
    }

    /// The thread that took the signal.
    pub fn faulting(&self) -> Option<&ThreadFacts> {
        let tid = self.facts.fault.as_ref()?.tid;
        self.facts.threads.iter().find(|thread| thread.tid == tid)
    }

    /// The general registers of a thread, where they were copied.
    pub fn registers(&self, thread: &ThreadFacts) -> Option<Result<GeneralRegisters, ForeignRegisters>> {
        thread
            .general
            .map(|blob| GeneralRegisters::from_bytes(self.get(blob)))
    }

    /// The `siginfo_t` of the fault.
    pub fn siginfo(&self) -> Option<SigInfo> {
        let fault = self.facts.fault.as_ref()?;
        SigInfo::from_bytes(self.get(fault.siginfo?))
    }

    /// The process that was captured.
    pub fn pid(&self) -> Pid {
        Pid(self.facts.process.pid)
    }

    /// When that process started.
    pub fn start_time(&self) -> StartTime {
        StartTime(self.facts.process.start_time)
    }

    /// Writes index and bytes.
    pub fn write_to(&self, mut out: impl Write) -> Result<(), CaptureError> {
        let index = serde_json::to_vec(&self.facts)?;
        out.write_all(&(index.len() as u64).to_le_bytes())?;
        out.write_all(&index)?;
        out.write_all(&self.bytes)?;
        out.flush()?;
        Ok(())
    }

    /// Reads what [`Capture::write_to`] wrote.
    pub fn read_from(mut input: impl Read) -> Result<Self, CaptureError> {
        let mut length = [0; 8];
        input.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_INDEX {
            return Err(CaptureError::TooLarge(length));
        }
        let mut index = Vec::new();
        input.by_ref().take(length).read_to_end(&mut index)?;
        let facts = serde_json::from_slice(&index)?;
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        Ok(Self { facts, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_survives_the_journey() {
        let mut capture = Capture::default();
        let blob = capture.keep(b"stack bytes");
        capture.facts.process.maps = Some(blob);
        capture.miss("environment", "permission denied");
        let mut wire = Vec::new();
        capture.write_to(&mut wire).unwrap();
        let back = Capture::read_from(wire.as_slice()).unwrap();
        assert_eq!(back, capture);
        assert_eq!(back.get(blob), b"stack bytes");
    }

    #[test]
    fn a_lying_index_is_refused_and_a_lying_range_is_empty() {
        let wire = u64::MAX.to_le_bytes();
        assert!(matches!(
            Capture::read_from(wire.as_slice()),
            Err(CaptureError::TooLarge(_))
        ));
        let capture = Capture {
            bytes: vec![1, 2, 3],
            ..Capture::default()
        };
        assert_eq!(capture.get(Blob { offset: 2, len: 9 }), b"");
        assert_eq!(
            capture.get(Blob {
                offset: u64::MAX,
                len: u64::MAX
            }),
            b""
        );
    }
}
