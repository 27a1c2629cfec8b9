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
//! | `memory` | SIGSEGV and SIGBUS |
//! | `stack` | is it a stack overflow? |
//! | `trap` | SIGFPE, SIGILL, SIGTRAP, SIGSYS |
//! | `abort` | SIGABRT that the process raised: the message, or the functions on the stack |
//! | `sent` | signals that somebody sent |
//! | [`exit`] | ends that no stop announced |
//! | [`instruction`] | the instruction at the program counter, its operands and memory accesses |
//! | [`AddressSpace`] | `/proc/PID/maps` |
//! | `landmarks` | functions whose presence on a stack explains an abort |
//!
//! Everything that is read was under the control of the process that crashed. No input makes a diagnosis
//! fail: what cannot be read is left out.

mod cause;
pub mod instruction;

use std::io;

use serde::{Deserialize, Serialize};

use crate::capture::Capture;
use crate::sys::Tid;

pub use cause::Cause;

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

/// Explains the signal of a capture; none for a capture without one.
pub fn diagnose(capture: &Capture, modules: &dyn ModuleSource) -> Option<Diagnosis> {
    let _ = modules;
    let fault = capture.facts.fault.as_ref()?;
    Some(Diagnosis {
        cause: Cause::Unknown,
        detail: String::new(),
        access: None,
        pc: None,
        address: None,
        instruction: None,
        abort_message: None,
        subject_tid: Some(fault.tid),
    })
}
