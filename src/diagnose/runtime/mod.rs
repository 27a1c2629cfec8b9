//! The language runtime that a thread belongs to, and how it is tied to the others by it.
//!
//! A runtime needs its threads to take part: a collector waits until all of them have reached a safe point, a scheduler
//! keeps work with a thread, an interpreter lock is handed on by its holder. What a process has is told by what its files
//! offer to others or bear as a mark, not by their names; only of a file that cannot be read the name must do.
//!
//! | runtime | told by |
//! |---|---|
//! | JVM | `JNI_CreateJavaVM`, of HotSpot, OpenJ9 and ART alike |
//! | Go | the note that Go's linker writes |
//! | BEAM | `enif_make_atom`, for native functions of Erlang |
//! | CLR | `coreclr_initialize`; `DotNetRuntimeInfo` and `DotNetRuntimeDebugHeader` where it is linked in; `mono_jit_init` |
//! | V8 | `v8::Isolate::GetCurrent()` |
//! | CPython | the function that tells the thread state; `python` evaluates it to tell who holds the interpreter lock |
//!
//! Programs that hide all of this (V8 in Chromium, GraalVM's native images) are not recognised.

mod getter;
mod python;

pub use python::holds_lock as holds_interpreter_lock;

use std::collections::HashMap;

use super::ModuleSource;
use super::elf::{ElfError, Image};
use super::unwind::MemorySource;
use crate::capture::ModuleFile;
use crate::sys::regs::GeneralRegisters;

/// Files that are remembered.
const MAX_REMEMBERED: usize = 4096;
/// The owner and type of Go's note (`.note.go.buildid`).
const GO_NOTE: (&[u8], u32) = (b"Go", 4);

/// A language runtime that needs its threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Jvm,
    Go,
    Beam,
    Clr,
    V8,
    Python,
}

/// What a file is told by: one of the names that it offers, and how it is called where it cannot be read.
const SIGNS: [(Kind, &[&str], &[&str]); 5] = [
    (Kind::Jvm, &["JNI_CreateJavaVM"], &["libjvm.so", "libart.so"]),
    (Kind::Beam, &["enif_make_atom"], &["beam.smp", "beam"]),
    (
        Kind::Clr,
        &[
            "coreclr_initialize",
            "DotNetRuntimeInfo",
            "DotNetRuntimeDebugHeader",
            "mono_jit_init",
        ],
        &["libcoreclr.so", "libmonosgen-2.0.so", "mono"],
    ),
    (
        Kind::V8,
        &["_ZN2v87Isolate10GetCurrentEv"],
        &["node", "libnode.so"],
    ),
    (
        Kind::Python,
        &python::GETTERS,
        &["libpython", "python2", "python3"],
    ),
];

/// A runtime of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Runtime {
    kind: Kind,
    /// What it is told by, in words.
    sign: String,
    /// Where in the process that is; none where only a name tells.
    at: Option<u64>,
}

/// How a thread is tied to a runtime.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tie {
    /// The runtime waits for any of its threads, sooner or later.
    Managed,
    /// Other threads may go on without it once it has ended, and wait for ever where it only sleeps.
    Joined,
    /// It holds the lock without which no other thread of the runtime does anything, or may hold it.
    HoldsLock,
    /// It does not hold that lock.
    Free,
}

/// Finds runtimes, and remembers what files are: by device and inode, which the memory map says without a look at each. A
/// program that writes a library of its own anew deceives itself alone.
#[derive(Debug, Default)]
pub struct Runtimes {
    remembered: HashMap<((u32, u32), u64), Option<Sign>>,
}

/// What a file is told by.
#[derive(Clone, Copy, Debug)]
struct Sign {
    kind: Kind,
    /// The name that it offers, with the distance of its address from the first mapped byte of the file.
    export: Option<(&'static str, u64)>,
}

impl Runtimes {
    /// The runtimes of a process with these modules.
    pub fn find(&mut self, modules: &[ModuleFile], source: &dyn ModuleSource) -> Vec<Runtime> {
        let found = modules.iter().enumerate().filter_map(|(index, module)| {
            let key = (module.device, module.inode);
            let sign = match self.remembered.get(&key) {
                Some(known) => *known,
                None => match sign(source, index, module) {
                    Ok(sign) => {
                        if self.remembered.len() >= MAX_REMEMBERED {
                            self.remembered.clear();
                        }
                        self.remembered.insert(key, sign);
                        sign
                    }
                    Err(_) => return by_file_name(module),
                },
            };
            sign.map(|sign| Runtime::told_by(sign, module))
        });
        found.collect()
    }

    /// Takes up what another one has found out about files.
    pub fn take_up(&mut self, other: Self) {
        if self.remembered.len() + other.remembered.len() > MAX_REMEMBERED {
            self.remembered.clear();
        }
        self.remembered.extend(other.remembered);
    }
}

fn sign(source: &dyn ModuleSource, index: usize, module: &ModuleFile) -> Result<Option<Sign>, ElfError> {
    let image = Image::open(source, index)?;
    let (owner, kind) = GO_NOTE;
    if image.has_note(owner, kind)? {
        return Ok(Some(Sign {
            kind: Kind::Go,
            export: None,
        }));
    }
    let names: Vec<&'static str> = SIGNS
        .iter()
        .flat_map(|(_, names, _)| names.iter().copied())
        .collect();
    let Some(&(name, address)) = image.exports(&names)?.first() else {
        return Ok(None);
    };
    let first = image.address_of_offset(module.offset)?.unwrap_or_default();
    let found = SIGNS.iter().find(|(_, names, _)| names.contains(&name));
    Ok(found.map(|(kind, ..)| Sign {
        kind: *kind,
        export: Some((name, address.wrapping_sub(first))),
    }))
}

fn by_file_name(module: &ModuleFile) -> Option<Runtime> {
    let name = file_name(&module.path);
    let is_called = |called: &&str| {
        name.strip_prefix(*called)
            .is_some_and(|rest| !rest.starts_with(char::is_alphabetic))
    };
    let (kind, ..) = SIGNS.iter().find(|(_, _, names)| names.iter().any(is_called))?;
    Some(Runtime {
        kind: *kind,
        sign: format!("a file called {name}, which cannot be read"),
        at: None,
    })
}

impl Runtime {
    fn told_by(sign: Sign, module: &ModuleFile) -> Self {
        let name = file_name(&module.path);
        Self {
            kind: sign.kind,
            sign: match sign.export {
                Some((export, _)) => format!("{name} has {export}"),
                None => format!("{name} bears the note of Go's linker"),
            },
            at: sign.export.map(|(_, distance)| module.low.wrapping_add(distance)),
        }
    }

    /// How the thread with these registers is tied to it.
    pub fn tie(&self, registers: &GeneralRegisters, memory: &dyn MemorySource) -> Tie {
        match self.kind {
            Kind::Jvm | Kind::Go | Kind::Beam | Kind::Clr => Tie::Managed,
            Kind::V8 => Tie::Joined,
            Kind::Python => {
                let holds = self.at.and_then(|at| python::holds_lock(at, registers, memory));
                if holds == Some(false) {
                    Tie::Free
                } else {
                    Tie::HoldsLock
                }
            }
        }
    }

    /// A sentence about a thread that is tied to it so.
    pub fn sentence(&self, tie: Tie) -> String {
        let Self { kind, sign, .. } = self;
        match (kind, tie) {
            (Kind::Jvm, _) => {
                format!("the process runs a JVM ({sign}), which waits for its threads at every safepoint")
            }
            (Kind::Go, _) => format!(
                "the process runs Go code ({sign}), whose scheduler and collector wait for its threads"
            ),
            (Kind::Beam, _) => {
                format!("the process runs Erlang's BEAM ({sign}), whose schedulers are its threads")
            }
            (Kind::Clr, _) => {
                format!("the process runs a CLR ({sign}), whose collector waits for its threads")
            }
            (Kind::V8, _) => format!("the process runs V8 ({sign}), which joins its threads when it ends"),
            (Kind::Python, Tie::Free) => {
                format!(
                    "the process runs Python ({sign}), and the thread does not hold its interpreter lock (GIL)"
                )
            }
            (Kind::Python, _) => {
                format!(
                    "the process runs Python ({sign}), and the thread may hold its interpreter lock (GIL)"
                )
            }
        }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}
