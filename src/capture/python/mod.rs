//! The Python frames of threads that run in CPython, 3.11 and later: functions, files and lines.
//!
//! The interpreter's structures are followed twice by the same code ([`walk`]): in the live process, where whatever is
//! read is kept, and in what was kept, where nobody waits. They lie in memory that the process may have damaged: what is
//! followed is bounded in number and length.
//!
//! | module | holds |
//! |---|---|
//! | `layout` | where the fields are, in each version |
//! | `walk` | from the runtime to the frames of each thread |
//! | `line` | the line of an instruction |

mod layout;
mod line;
mod walk;

use std::collections::HashMap;

use crate::sys::Tid;
use crate::sys::memory::Memory;

use super::{Blob, Capture, ModuleFile, ModuleFiles, Python, symbol};

pub use walk::{PythonFrame, PythonStack};

/// Reads of one capture: about 1 us each.
const MAX_READS: usize = 8192;

/// The memory of a process, or what was kept of it.
trait Source {
    /// Bytes at an address; None unless all could be read.
    fn read(&mut self, address: u64, len: usize) -> Option<Vec<u8>>;
}

/// A process's memory, of which is kept what is read.
struct Live<'a> {
    memory: &'a Memory,
    capture: &'a mut Capture,
    reads: Vec<(u64, Blob)>,
}

/// A process's memory, of which nothing is kept.
struct Read<'a>(&'a Memory);

/// What was kept.
struct Kept<'a> {
    capture: &'a Capture,
    reads: HashMap<(u64, u64), Blob>,
}

impl Source for Live<'_> {
    fn read(&mut self, address: u64, len: usize) -> Option<Vec<u8>> {
        if self.reads.len() >= MAX_READS {
            return None;
        }
        let bytes = Some(self.memory.read_span(address, len)).filter(|bytes| bytes.len() == len)?;
        self.reads.push((address, self.capture.keep(&bytes)));
        Some(bytes)
    }
}

impl Source for Read<'_> {
    fn read(&mut self, address: u64, len: usize) -> Option<Vec<u8>> {
        Some(self.0.read_span(address, len)).filter(|bytes| bytes.len() == len)
    }
}

impl Source for Kept<'_> {
    fn read(&mut self, address: u64, len: usize) -> Option<Vec<u8>> {
        let blob = self.reads.get(&(address, len as u64))?;
        Some(self.capture.get(*blob).to_vec())
    }
}

/// Where CPython keeps the states (`PyThreadState`) of a thread, one for each interpreter that it has run in; `own` is the
/// thread's id for itself.
///
/// # Errors
///
/// Why the structures cannot be followed.
pub fn thread_states(memory: &Memory, python: &Python, own: Tid) -> Result<Vec<u64>, String> {
    walk::states_of(&mut Read(memory), python.runtime, python.version, own)
}

impl Capture {
    /// Copies what leads to the Python frames of the stopped threads, if the process has an interpreter.
    pub(super) fn copy_python(&mut self, memory: &Memory, files: &ModuleFiles) {
        let (runtime, version) = match self.interpreter(memory, files) {
            Some(Ok(found)) => found,
            Some(Err(reason)) => return self.miss("Python frames", reason),
            None => return,
        };
        let threads = self.stopped_threads();
        let mut live = Live {
            memory,
            capture: self,
            reads: Vec::new(),
        };
        let followed = walk::stacks(&mut live, runtime, version, &threads);
        let reads = live.reads;
        if let Err(reason) = followed {
            self.miss("Python frames", reason);
        }
        self.facts.python = Some(Python {
            runtime,
            version,
            reads,
        });
    }

    /// The Python frames of its threads, innermost first.
    pub fn python_stacks(&self) -> HashMap<Tid, PythonStack> {
        let Some(python) = &self.facts.python else {
            return HashMap::new();
        };
        let reads = python
            .reads
            .iter()
            .map(|(start, blob)| ((*start, blob.len), *blob));
        let mut kept = Kept {
            capture: self,
            reads: reads.collect(),
        };
        let own = self.stopped_threads();
        let mut stacks = walk::stacks(&mut kept, python.runtime, python.version, &own).unwrap_or_default();
        let threads = self.facts.threads.iter();
        threads
            .filter_map(|thread| Some((thread.tid, stacks.remove(&thread.own_tid())?)))
            .collect()
    }

    /// Those that do not run on meanwhile, the faulting one first.
    fn stopped_threads(&self) -> Vec<Tid> {
        let threads = self.facts.threads.iter();
        let stopped = threads.filter(|thread| thread.general.is_some());
        stopped.map(|thread| thread.own_tid()).collect()
    }

    /// The address of the runtime, and its version; of one whose structures are not known, why that is so.
    fn interpreter(&self, memory: &Memory, files: &ModuleFiles) -> Option<Result<(u64, u32), String>> {
        let (module, file) = self
            .opened(files, |module| is_interpreter(module, "libpython3"))
            .or_else(|| self.opened(files, |module| is_interpreter(module, "python3")))?;
        let names = ["_PyRuntime", "Py_Version", layout::OF_DEBUG_BUILDS];
        let [runtime, version, counter] = symbol::addresses(module, file, names);
        let (runtime, version) = (runtime?, memory.read_span(version?, 4));
        let version = u32::from_le_bytes(version.try_into().ok()?);
        Some(layout::check(version, counter.is_some()).map(|()| (runtime, version)))
    }
}

fn is_interpreter(module: &ModuleFile, name: &str) -> bool {
    module.file_name().starts_with(name)
}
