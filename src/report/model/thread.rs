//! One thread: registers, frames, what it waits for; and what the faulting one points to.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::value::{Address, HexBytes, is_default};
use crate::sys::Tid;

/// One thread.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thread {
    /// Its id.
    pub tid: Tid,
    /// Its name (`/proc/PID/task/TID/comm`).
    pub name: Option<String>,
    /// Its state before it was stopped, as the letter of proc(5): `R`, `S`, `D`, ...
    pub state: Option<String>,
    /// Whether it took the signal.
    #[serde(default, skip_serializing_if = "is_default")]
    pub faulting: bool,
    /// General registers by name, in the architecture's usual order.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub registers: IndexMap<String, Address>,
    /// Floating point and vector registers by name, as bytes in memory order.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub vector: IndexMap<String, HexBytes>,
    /// Its call stack, innermost frame first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<Frame>,
    /// Why `frames` do not reach the thread's start.
    pub truncated: Option<String>,
    /// The system call that it is in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub syscall: Syscall,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub waiting: Waiting,
    /// Its stack.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stack: Stack,
    /// CPU time that it has used, in microseconds.
    pub cpu_us: Option<u64>,
}

/// One frame of a call stack.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Frame {
    /// The address of the instruction: for all but the innermost frame, the return address.
    pub pc: Address,
    /// The stack pointer.
    pub sp: Option<Address>,
    /// The path of the module.
    pub module: Option<String>,
    /// The module's build id, in hexadecimal.
    pub build_id: Option<String>,
    /// `pc` as an address in the module's file.
    pub offset: Option<Address>,
    /// The function, demangled.
    pub symbol: Option<String>,
    /// How far `pc` lies behind the function's start.
    pub symbol_offset: Option<Address>,
    /// The source file.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
    /// Whether the function was inlined into the next frame's.
    #[serde(skip_serializing_if = "is_default")]
    pub inlined: bool,
    /// What kind of code it is.
    pub kind: FrameKind,
    /// How the frame was found, for example `context`, `cfi`, `frame pointer`.
    pub found_by: Option<String>,
}

/// What kind of code a frame is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameKind {
    /// A module's code.
    #[default]
    Code,
    /// The trampoline between a signal's handler and what it interrupted.
    Signal,
    /// Code that the process generated.
    Jit,
    /// A function in Python, which the next frame of the interpreter runs.
    Python,
    /// None of these, or a kind that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A system call in progress.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Syscall {
    /// The number on the report's architecture.
    pub number: Option<i64>,
    /// The name.
    pub name: Option<String>,
    /// Up to six arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Address>,
}

/// What a thread waits for.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// For example `mutex`, `futex`, `poll`, `read`.
    pub kind: Option<String>,
    /// The address of the lock.
    pub address: Option<Address>,
    /// The thread that holds it.
    pub owner_tid: Option<Tid>,
}

/// A thread's stack, and where its captured bytes are.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stack {
    /// The stack pointer.
    pub pointer: Option<Address>,
    /// The first address of the mapping that it points into.
    pub low: Option<Address>,
    /// The first address after that mapping.
    pub high: Option<Address>,
    /// How many bytes were captured, from `pointer` less the red zone (128 bytes on x86-64) upwards.
    pub captured: Option<u64>,
    /// The file of the report that holds them.
    pub file: Option<String>,
    /// Where they begin in that file once it is decompressed, in bytes.
    pub offset: Option<u64>,
}

/// A lock, who holds it and who waits for it.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lock {
    /// Where it is.
    pub address: Address,
    /// For example `pthread_mutex`, `futex`.
    pub kind: Option<String>,
    /// The thread that holds it.
    pub owner_tid: Option<Tid>,
    /// Whether that thread has ended, so that nobody will release it.
    #[serde(skip_serializing_if = "is_default")]
    pub owner_ended: bool,
    /// How many hold it for reading.
    pub readers: Option<u32>,
    /// The threads that wait for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiters: Vec<Tid>,
}

/// Threads that wait for each other in a circle.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deadlock {
    /// The threads: each waits for the next, the last for the first.
    pub threads: Vec<Tid>,
    /// The circle in words.
    pub detail: Option<String>,
}

/// Memory that a register of the faulting thread points into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The register; the program counter's holds the code around the fault.
    pub register: String,
    /// Where `bytes` begin: usually before the register's value.
    pub address: Address,
    /// The content.
    pub bytes: HexBytes,
}

impl Thread {
    /// A thread of which nothing but its id is known.
    pub fn new(tid: Tid) -> Self {
        Self {
            tid,
            name: None,
            state: None,
            faulting: false,
            registers: IndexMap::new(),
            vector: IndexMap::new(),
            frames: Vec::new(),
            truncated: None,
            syscall: Syscall::default(),
            waiting: Waiting::default(),
            stack: Stack::default(),
            cpu_us: None,
        }
    }
}
