//! Code of the process itself through which its threads are sent.
//!
//! Nothing is written into a process's code. A system call needs the instruction that enters the kernel, and the vdso
//! has one in every process; a call that is to come back by itself needs a return behind that instruction, and the
//! code by which signal handlers return, both of which a C library has. Where they are in a file does not change, so a
//! file is searched once; where the file is mapped, and that the code is still there, is looked up each time.

use memchr::memmem;

use crate::capture::maps::{Mapping, Maps, is_c_library};
use crate::sys::memory::{Memory, Span};
use crate::sys::regs::entry::{SIGNAL_RETURN, SYSTEM_CALL, SYSTEM_CALL_AND_RETURN};

/// The most that is searched of one mapping, bytes. The code of glibc has 1.5 MiB, of musl 0.4 MiB.
const MAX_SEARCHED: u64 = 16 << 20;
/// How much is read at a time.
const CHUNK: u64 = 64 << 10;
/// How many files are remembered. A service has one C library, seldom two.
const MAX_FILES: usize = 64;
/// How many mappings besides the C library's are searched for what it lacks.
const MAX_OTHERS: usize = 2;

/// Code in one process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sites {
    /// A system call instruction.
    pub system_call: u64,
    /// Code for a call that comes back.
    pub way_back: Option<WayBack>,
}

/// What a thread goes through when it comes back from a call by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WayBack {
    /// A system call instruction with a return behind it.
    pub call: u64,
    /// The return from a signal handler.
    pub restorer: u64,
}

/// Finds sites, and remembers them by file.
#[derive(Debug, Default)]
pub struct Finder {
    files: Vec<(FileId, Offsets)>,
}

/// A mapped file, and which part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FileId {
    device: (u32, u32),
    inode: u64,
    offset: u64,
}

/// Where in a mapping code begins, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Offsets {
    system_call: Option<u64>,
    call: Option<u64>,
    restorer: Option<u64>,
}

impl Finder {
    /// The sites of a process, given its memory map. None where it has no code that enters the kernel, or the
    /// architecture is one without isolation.
    pub fn find(&mut self, memory: &Memory, maps: &Maps) -> Option<Sites> {
        let mut system_call = None;
        for mapping in candidates(maps) {
            let offsets = self.offsets(memory, mapping);
            let at = |offset: Option<u64>| offset.map(|offset| mapping.low + offset);
            system_call = system_call.or(at(offsets.system_call));
            if let (Some(call), Some(restorer)) = (at(offsets.call), at(offsets.restorer)) {
                return Some(Sites {
                    system_call: system_call?,
                    way_back: Some(WayBack { call, restorer }),
                });
            }
        }
        Some(Sites {
            system_call: system_call?,
            way_back: None,
        })
    }

    /// Takes up what another one has found.
    pub fn take_up(&mut self, other: Self) {
        let known = |id: &FileId| self.files.iter().any(|(file, _)| file == id);
        let new: Vec<_> = other.files.into_iter().filter(|(file, _)| !known(file)).collect();
        self.files.extend(new);
        self.files.truncate(MAX_FILES);
    }

    fn offsets(&mut self, memory: &Memory, mapping: &Mapping) -> Offsets {
        let id = FileId {
            device: mapping.device,
            inode: mapping.inode,
            offset: mapping.offset,
        };
        let known = self.files.iter().find(|(file, _)| *file == id);
        if let Some((_, offsets)) = known
            && offsets.hold(memory, mapping)
        {
            return *offsets;
        }
        // Of a process that has ended meanwhile nothing is known, and nothing of its files.
        let Some(offsets) = search(memory, mapping) else {
            return Offsets::default();
        };
        if id.inode != 0 {
            self.files.retain(|(file, _)| *file != id);
            self.files.truncate(MAX_FILES - 1);
            self.files.insert(0, (id, offsets));
        }
        offsets
    }
}

impl Offsets {
    /// Whether the code is there.
    fn hold(&self, memory: &Memory, mapping: &Mapping) -> bool {
        let code = [
            (self.system_call, SYSTEM_CALL),
            (self.call, SYSTEM_CALL_AND_RETURN),
            (self.restorer, SIGNAL_RETURN),
        ];
        let (spans, bytes): (Vec<Span>, Vec<&[u8]>) = code
            .iter()
            .filter_map(|(offset, bytes)| Some((span(mapping, (*offset)?, bytes.len()), *bytes)))
            .unzip();
        let mut read = Vec::new();
        memory.read(&spans, &mut read);
        read == bytes.concat()
    }

    fn complete(&self) -> bool {
        self.system_call.is_some() && self.call.is_some() && self.restorer.is_some()
    }
}

/// Where to look, in this order: the C library, the vdso, and for a static program its own code.
fn candidates(maps: &Maps) -> impl Iterator<Item = &Mapping> {
    let code = || {
        maps.iter()
            .filter(|mapping| mapping.executable && mapping.readable)
    };
    let library = code().filter(|mapping| is_c_library(&mapping.name)).take(1);
    let vdso = code().filter(|mapping| mapping.name == "[vdso]");
    let others = code().filter(|mapping| mapping.inode != 0 && !is_c_library(&mapping.name));
    library.chain(vdso).chain(others.take(MAX_OTHERS))
}

/// What is in a mapping; none where it cannot be read.
fn search(memory: &Memory, mapping: &Mapping) -> Option<Offsets> {
    let mut found = Offsets::default();
    if SYSTEM_CALL.is_empty() {
        return Some(found);
    }
    let size = (mapping.high - mapping.low).min(MAX_SEARCHED);
    // Chunks overlap, so that no code is missed across their edge.
    let overlap = SIGNAL_RETURN.len() as u64 - 1;
    let mut offset = 0;
    while offset < size && !found.complete() {
        let len = (size - offset).min(CHUNK + overlap);
        let chunk = memory.read_span(mapping.low + offset, len as usize);
        if chunk.is_empty() && offset == 0 {
            return None;
        }
        let first = |code: &[u8]| memmem::find(&chunk, code).map(|at| offset + at as u64);
        found.system_call = found.system_call.or_else(|| first(SYSTEM_CALL));
        found.call = found.call.or_else(|| first(SYSTEM_CALL_AND_RETURN));
        found.restorer = found.restorer.or_else(|| first(SIGNAL_RETURN));
        offset += CHUNK;
    }
    Some(found)
}

fn span(mapping: &Mapping, offset: u64, len: usize) -> Span {
    Span {
        start: mapping.low + offset,
        len,
    }
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;
    use crate::sys::Tid;

    fn own() -> (Memory, Maps) {
        let memory = Memory::of(Tid(std::process::id() as i32));
        (memory, Maps::parse(&std::fs::read("/proc/self/maps").unwrap()))
    }

    #[test]
    fn our_own_c_library_has_all_of_it() {
        let (memory, maps) = own();
        let mut finder = Finder::default();
        let sites = finder.find(&memory, &maps).unwrap();
        let way_back = sites.way_back.unwrap();
        for (address, code) in [
            (sites.system_call, SYSTEM_CALL),
            (way_back.call, SYSTEM_CALL_AND_RETURN),
            (way_back.restorer, SIGNAL_RETURN),
        ] {
            assert_eq!(memory.read_span(address, code.len()), code);
            assert!(maps.find(address).unwrap().executable);
        }
        assert_eq!(finder.find(&memory, &maps), Some(sites));
        assert_eq!(finder.files.len(), 1);
    }

    #[test]
    fn what_was_remembered_of_a_file_that_changed_is_searched_anew() {
        let (memory, maps) = own();
        let mut finder = Finder::default();
        let sites = finder.find(&memory, &maps);
        let remembered = &mut finder.files[0].1;
        for offset in [&mut remembered.system_call, &mut remembered.restorer] {
            *offset = offset.map(|offset| offset + 1);
        }
        assert_eq!(finder.find(&memory, &maps), sites);
    }

    #[test]
    fn of_a_process_that_is_gone_nothing_is_remembered() {
        let (memory, maps) = own();
        let mut finder = Finder::default();
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        let tid = Tid(gone.id() as i32);
        gone.wait().unwrap();
        assert_eq!(finder.find(&Memory::of(tid), &maps), None);
        assert!(finder.find(&memory, &maps).unwrap().way_back.is_some());
    }

    #[test]
    fn without_a_c_library_the_vdso_is_enough_for_a_call_without_return() {
        let (memory, maps) = own();
        let text = std::fs::read_to_string("/proc/self/maps").unwrap();
        let vdso = text.lines().find(|line| line.ends_with("[vdso]")).unwrap();
        let sites = Finder::default()
            .find(&memory, &Maps::parse(vdso.as_bytes()))
            .unwrap();
        assert_eq!(sites.way_back, None);
        assert_eq!(maps.find(sites.system_call).unwrap().name, "[vdso]");
        assert_eq!(Finder::default().find(&memory, &Maps::default()), None);
    }
}
