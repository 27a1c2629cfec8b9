//! What a debugger needs to find the libraries: the program's headers, its dynamic section, and the list that the
//! dynamic loader keeps (`struct r_debug` and the chain of `struct link_map`, link.h).
//!
//! The list lies in memory that the process may have damaged: what is followed is bounded in number and length, and
//! an entry that was seen before ends it. A program without a dynamic section has no list.

use std::collections::HashSet;

use crate::sys::memory::{Memory, PAGE, Span};

use super::{Blob, Capture, MemoryRange, Purpose};

/// Entries of the auxiliary vector (getauxval(3)).
const AT_PHDR: u64 = 3;
const AT_PHNUM: u64 = 5;
/// Program headers that are looked at; the kernel loads no program with more than 64 KiB of them.
const MAX_HEADERS: u64 = 1170;
/// Bytes of a dynamic section that are read.
const MAX_DYNAMIC: u64 = 16 << 10;
/// Lists of libraries that are followed: one for each namespace of dlmopen(3), of which glibc has 16.
const MAX_LISTS: usize = 16;
/// Libraries that are followed, in all lists together.
const MAX_LIBRARIES: usize = 2048;
/// How much is read of a library's name at first: nearly all end within it.
const NAME: u64 = 128;
/// The longest name, `PATH_MAX`.
const MAX_NAME: usize = 4096;

const WORD: usize = 8;
/// `struct elf64_phdr`: its size, and the places of fields.
const HEADER: usize = 56;
const P_VADDR: usize = 16;
const P_MEMSZ: usize = 40;
const PT_DYNAMIC: u32 = 2;
const PT_PHDR: u32 = 6;
/// `struct elf64_dyn`: a tag and a value.
const DYNAMIC: usize = 16;
const DT_DEBUG: u64 = 21;
/// `struct r_debug_extended`: version, first library, break address, state, base of the loader, next list.
const DEBUG: usize = 48;
const R_MAP: usize = 8;
const R_NEXT: usize = 40;
/// The public part of `struct link_map`: address, name, dynamic section, next, previous.
const LINK: usize = 40;
const L_NAME: usize = 8;
const L_NEXT: usize = 24;

impl Capture {
    /// Copies the program's headers and the loader's lists, as far as they can be followed.
    pub(super) fn copy_loader(&mut self, memory: &Memory) {
        // The files of all others are at hand, where nobody waits for them.
        let closed = self
            .facts
            .modules
            .iter()
            .filter(|module| module.descriptor.is_none());
        let firsts: Vec<u64> = closed
            .filter(|module| module.offset == 0)
            .map(|module| module.low)
            .collect();
        for first in firsts {
            self.keep_loader(memory, first, PAGE as usize);
        }
        let Some((headers, size)) = self.program_headers() else {
            return;
        };
        // The page that holds them holds the ELF header too, and mostly the build id.
        let page = headers & !(PAGE - 1);
        let size = (headers - page + size).max(PAGE);
        let page = self.keep_loader(memory, page, size as usize);
        let read = self
            .get(page)
            .get((headers % PAGE) as usize..)
            .unwrap_or_default();
        let Some((dynamic, size)) = dynamic_section(headers, read) else {
            return;
        };
        let dynamic = self.keep_loader(memory, dynamic, size.min(MAX_DYNAMIC) as usize);
        let mut entries = self.get(dynamic).chunks_exact(DYNAMIC);
        let debug = entries.find(|entry| word(entry, 0) == Some(DT_DEBUG));
        if let Some(debug) = debug.and_then(|entry| word(entry, WORD)) {
            let names = self.copy_lists(memory, debug);
            self.copy_texts(memory, &names);
        }
    }

    /// Address and size of the program's headers, as the kernel told the process.
    fn program_headers(&self) -> Option<(u64, u64)> {
        let count = self.auxiliary(AT_PHNUM)?.min(MAX_HEADERS);
        Some((self.auxiliary(AT_PHDR)?, count * HEADER as u64))
    }

    /// An entry of the auxiliary vector.
    pub(super) fn auxiliary(&self, key: u64) -> Option<u64> {
        let mut entries = self.get(self.facts.process.auxv?).chunks_exact(2 * WORD);
        word(entries.find(|entry| word(entry, 0) == Some(key))?, WORD)
    }

    /// Copies every entry of the lists; returns where the names of the libraries are.
    fn copy_lists(&mut self, memory: &Memory, first: u64) -> Vec<u64> {
        let mut names = Vec::new();
        let mut seen = HashSet::new();
        let mut list = first;
        for _ in 0..MAX_LISTS {
            if list == 0 || !seen.insert(list) {
                break;
            }
            let debug = self.keep_loader(memory, list, DEBUG);
            let debug = self.get(debug);
            let is_extended = debug.first().is_some_and(|version| *version > 1);
            list = word(debug, R_NEXT).filter(|_| is_extended).unwrap_or(0);
            let mut library = word(debug, R_MAP).unwrap_or(0);
            while library != 0 && seen.insert(library) {
                if names.len() == MAX_LIBRARIES {
                    let told = format!("only the first {MAX_LIBRARIES} in the loader's list were followed");
                    self.miss("libraries", told);
                    return names;
                }
                let link = self.keep_loader(memory, library, LINK);
                let link = self.get(link);
                names.extend(word(link, L_NAME));
                library = word(link, L_NEXT).unwrap_or(0);
            }
        }
        names
    }

    /// Copies the texts at those addresses, each with its zero byte.
    fn copy_texts(&mut self, memory: &Memory, addresses: &[u64]) {
        let span = |start: &u64| Span {
            start: *start,
            len: NAME.min(PAGE - start % PAGE) as usize,
        };
        let spans: Vec<Span> = addresses.iter().map(span).collect();
        let mut beginnings = Vec::new();
        let sizes = memory.read(&spans, &mut beginnings);
        let mut rest = beginnings.as_slice();
        for (address, size) in addresses.iter().zip(sizes) {
            let (beginning, behind) = rest.split_at(size);
            rest = behind;
            let end = |text: &[u8]| text.iter().position(|byte| *byte == 0).map(|end| end + 1);
            if let Some(end) = end(beginning) {
                self.keep_memory(*address, &beginning[..end]);
            } else {
                let text = memory.read_span(*address, MAX_NAME);
                self.keep_memory(*address, &text[..end(&text).unwrap_or(text.len())]);
            }
        }
    }

    pub(super) fn keep_loader(&mut self, memory: &Memory, start: u64, len: usize) -> Blob {
        let bytes = memory.read_span(start, len);
        self.keep_memory(start, &bytes)
    }

    pub(super) fn keep_memory(&mut self, start: u64, bytes: &[u8]) -> Blob {
        let data = self.keep(bytes);
        if !bytes.is_empty() {
            self.facts.memory.push(MemoryRange {
                purpose: Purpose::Loader,
                start,
                data,
            });
        }
        data
    }
}

/// Address and size of the dynamic section of a program whose headers lie at `at`.
fn dynamic_section(at: u64, headers: &[u8]) -> Option<(u64, u64)> {
    let headers = || headers.chunks_exact(HEADER);
    let find = |kind: u32| headers().find(|header| header.starts_with(&kind.to_le_bytes()));
    // A program that is linked to fixed addresses need not say where its headers are.
    let linked_at = find(PT_PHDR)
        .and_then(|header| word(header, P_VADDR))
        .unwrap_or(at);
    let dynamic = find(PT_DYNAMIC)?;
    let address = word(dynamic, P_VADDR)?.wrapping_add(at.wrapping_sub(linked_at));
    Some((address, word(dynamic, P_MEMSZ)?))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + WORD)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Tid;

    fn own() -> (Capture, Memory) {
        let mut capture = Capture::default();
        let auxv = std::fs::read("/proc/self/auxv").unwrap();
        capture.facts.process.auxv = Some(capture.keep(&auxv));
        (capture, Memory::of(Tid(std::process::id() as i32)))
    }

    fn texts(capture: &Capture) -> Vec<String> {
        let ranges = capture.facts.memory.iter();
        let texts = ranges.map(|range| String::from_utf8_lossy(capture.get(range.data)).into_owned());
        texts.filter(|text| text.starts_with('/')).collect()
    }

    #[test]
    fn our_own_libraries_are_found_with_their_names() {
        let (mut capture, memory) = own();
        capture.copy_loader(&memory);
        let first = capture.get(capture.facts.memory[0].data);
        assert!(first.starts_with(b"\x7fELF") && first.len() as u64 >= PAGE);
        let found = texts(&capture);
        assert!(found.iter().any(|name| name.contains("/libc.so")), "{found:?}");
        assert!(found.iter().all(|name| name.ends_with('\0')), "{found:?}");
    }

    /// A list in our own memory whose entries are `next` of one another.
    fn list_of(links: &[[u64; 5]]) -> Box<[u64; 6]> {
        Box::new([1, links.as_ptr() as u64, 0, 0, 0, 0])
    }

    #[test]
    fn a_list_that_loops_or_does_not_end_is_left() {
        let (mut capture, memory) = own();
        let name = c"/a/library";
        let mut links = vec![[0, name.as_ptr() as u64, 0, 0, 0]; 3];
        let address = |links: &[[u64; 5]], place: usize| links.as_ptr() as u64 + 40 * place as u64;
        links[0][3] = address(&links, 1);
        links[1][3] = address(&links, 2);
        links[2][3] = address(&links, 0);
        let debug = list_of(&links);
        let names = capture.copy_lists(&memory, debug.as_ptr() as u64);
        assert_eq!(names, [name.as_ptr() as u64; 3]);
        assert_eq!(capture.facts.missing, []);

        let mut links = vec![[0, name.as_ptr() as u64, 0, 0, 0]; 1_000_000];
        for place in 0..links.len() - 1 {
            links[place][3] = address(&links, place + 1);
        }
        let debug = list_of(&links);
        let names = capture.copy_lists(&memory, debug.as_ptr() as u64);
        assert_eq!(names.len(), MAX_LIBRARIES);
        assert_eq!(capture.facts.missing[0].step, "libraries");
    }

    #[test]
    fn addresses_that_lead_nowhere_are_passed_over() {
        let (mut capture, memory) = own();
        capture.facts.process.auxv = Some(capture.keep(&[0xff; 40]));
        capture.copy_loader(&memory);
        for word in [0, 1, 0x10, u64::MAX, u64::MAX - 7] {
            let mut auxv = Vec::new();
            for (key, value) in [(AT_PHDR, word), (AT_PHNUM, u64::MAX)] {
                auxv.extend_from_slice(&[key.to_le_bytes(), value.to_le_bytes()].concat());
            }
            capture.facts.process.auxv = Some(capture.keep(&auxv));
            capture.copy_loader(&memory);
            assert!(capture.copy_lists(&memory, word).is_empty());
            capture.copy_texts(&memory, &[word]);
        }
        assert_eq!(capture.facts.memory, []);
    }

    #[test]
    fn names_are_read_to_their_end_and_no_further() {
        let (mut capture, memory) = own();
        let long = format!("/{}\0behind", "x".repeat(1000));
        let endless = format!("/{}", "y".repeat(2 * MAX_NAME));
        capture.copy_texts(&memory, &[long.as_ptr() as u64, endless.as_ptr() as u64]);
        let found = texts(&capture);
        assert_eq!(found[0], long[..1002]);
        assert_eq!(found[1].len(), MAX_NAME);
    }
}
