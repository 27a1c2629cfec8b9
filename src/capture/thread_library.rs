//! What libthread_db reads, the library by which gdb knows a process's threads: the data of loader and C library, and
//! the descriptor of each thread.

use crate::sys::memory::{Memory, Span};

use super::Capture;
use super::maps::{Mapping, Maps};

/// The entry of the auxiliary vector with the address of the loader (getauxval(3)).
const AT_BASE: u64 = 7;
/// How the files of C libraries begin that have data for libthread_db.
const C_LIBRARY: [&str; 3] = ["libc.so", "libc-2.", "libpthread"];
/// Bytes of one mapping of their data, or the loader's, that are kept; glibc 2.36 has 16 KiB.
const MAX_DATA: u64 = 64 << 10;
/// How much is kept of a thread's descriptor (`struct pthread`, 2,304 bytes in glibc 2.36).
const DESCRIPTOR: u64 = 2560;
/// Descriptors that are kept beyond those that lie on captured stacks.
const MAX_DESCRIPTORS: usize = 1024;

impl Capture {
    /// Copies all of it.
    pub(super) fn copy_thread_library(&mut self, memory: &Memory, maps: &Maps) {
        self.copy_data(memory, maps);
        self.copy_descriptors(memory, maps);
    }

    /// Copies the descriptors of threads, where their stacks do not hold them already.
    fn copy_descriptors(&mut self, memory: &Memory, maps: &Maps) {
        let mut spans = Vec::new();
        for thread in &self.facts.threads {
            let registers = self.registers(thread).and_then(Result::ok);
            let Some(pointer) = registers.and_then(|registers| registers.thread_pointer()) else {
                continue;
            };
            let Some(mapping) = maps.find(pointer).filter(|mapping| mapping.readable) else {
                continue;
            };
            // It ends with the stack, where the C library has allocated that.
            let len = DESCRIPTOR.min(mapping.high - pointer);
            let held = thread
                .stack
                .is_some_and(|stack| pointer.wrapping_sub(stack.start).saturating_add(len) <= stack.data.len);
            if !held && spans.len() < MAX_DESCRIPTORS {
                spans.push(Span {
                    start: pointer,
                    len: len as usize,
                });
            }
        }
        let mut bytes = Vec::new();
        let sizes = memory.read(&spans, &mut bytes);
        let mut rest = bytes.as_slice();
        for (span, size) in spans.iter().zip(sizes) {
            let (descriptor, behind) = rest.split_at(size);
            rest = behind;
            self.keep_memory(span.start, descriptor);
        }
    }

    /// Copies the data of loader and C library: what they may write, and in front of it what the loader made read-only
    /// after it had relocated it.
    fn copy_data(&mut self, memory: &Memory, maps: &Maps) {
        let loader = self.auxiliary(AT_BASE).and_then(|base| maps.find(base));
        let file = |mapping: &Mapping| (mapping.device, mapping.inode);
        let is_wanted = |mapping: &Mapping| {
            let name = mapping.name.rsplit('/').next().unwrap_or_default();
            let is_library = C_LIBRARY.iter().any(|library| name.starts_with(library));
            mapping.inode != 0 && (is_library || loader.is_some_and(|loader| file(loader) == file(mapping)))
        };
        let mut before: Option<&Mapping> = None;
        for mapping in maps.iter() {
            if mapping.writable && is_wanted(mapping) {
                let relocated = before
                    .filter(|before| file(before) == file(mapping) && before.high == mapping.low)
                    .filter(|before| !before.executable);
                for data in relocated.into_iter().chain([mapping]) {
                    self.keep_loader(memory, data.low, (data.high - data.low).min(MAX_DATA) as usize);
                }
            }
            before = Some(mapping);
        }
    }
}
