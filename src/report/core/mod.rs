//! ELF core files: written whole or as far as memory was kept, and read back.
//!
//! A core file says of every mapping how large it was, and holds as many of its bytes as were kept. Debuggers take
//! what is missing from the program's and the libraries' own files; so the stacks, the loader's list of libraries
//! and the first page of each library are enough for the calls of every thread.
//!
//! | file | subject |
//! |---|---|
//! | `notes` | threads, process, signal, auxiliary vector and mapped files, as `PT_NOTE` holds them |
//! | `extended` | the registers beyond the general ones, as debuggers expect them |
//! | `segments` | mappings cut into what is kept and what is not |
//! | `layout` | where everything lies, and writing it from front to back |
//! | `read` | a core file of ours back into its parts |
//!
//! Every size is known before the first byte is written, so a core goes through a compressor or a pipe. The order of the
//! notes, and the faulting thread in front, are the kernel's (fs/binfmt_elf.c, `fill_note_info`), on which debuggers
//! rely. Segments are bounded by words, not by pages: eu-stack 0.188 wants some alignment, and pages would multiply a core
//! of many small pieces.

mod extended;
mod layout;
mod notes;
mod read;
mod segments;

use std::io;
use std::ops::Range;

use crate::sys::{Pid, SigNo, Tid};

pub use layout::Layout;
pub use read::{ReadError, read};

/// What bounds the segments of a core, bytes.
const WORD: u64 = 8;

/// What a core file is about, and which memory it holds.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Core<'a> {
    /// The process.
    pub process: Process<'a>,
    /// Its threads, the one that took the signal first.
    pub threads: Vec<Thread<'a>>,
    /// The auxiliary vector, as `/proc/PID/auxv` has it.
    pub auxv: &'a [u8],
    /// The text of `/proc/PID/status`.
    pub status: &'a [u8],
    /// The whole address space, by address.
    pub mappings: Vec<Mapping>,
    /// The memory that is kept: whole words, ranges by address that do not overlap.
    pub kept: Vec<Range<u64>>,
}

/// A process as `struct elf_prpsinfo` describes it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Process<'a> {
    /// Its id.
    pub pid: Pid,
    /// Its parent.
    pub parent: Pid,
    /// Its process group.
    pub group: Pid,
    /// Its session.
    pub session: Pid,
    /// Its real user.
    pub uid: u32,
    /// Its real group.
    pub gid: u32,
    /// Its nice value.
    pub nice: i8,
    /// The kernel's flags of the task (`PF_*`).
    pub flags: u64,
    /// Its name.
    pub name: String,
    /// Its arguments, with a zero byte behind each.
    pub arguments: &'a [u8],
}

/// A thread.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Thread<'a> {
    /// Its id.
    pub tid: Tid,
    /// The signal that it took, and its `siginfo_t`.
    pub signal: Option<(SigNo, &'a [u8])>,
    /// CPU time in user mode, microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, microseconds.
    pub system_us: u64,
    /// The general registers, as ptrace gives them.
    pub general: &'a [u8],
    /// The floating point registers; empty if they are not known.
    pub fp: &'a [u8],
    /// The architecture's set beyond these; empty if there is none.
    pub extended: &'a [u8],
}

/// A mapping.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mapping {
    /// First address.
    pub low: u64,
    /// End, exclusive.
    pub high: u64,
    /// Whether it may be read.
    pub readable: bool,
    /// Whether it may be written.
    pub writable: bool,
    /// Whether it may be executed.
    pub executable: bool,
    /// The mapped file.
    pub file: Option<MappedFile>,
}

/// The file behind a mapping.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MappedFile {
    /// Its path.
    pub path: String,
    /// Where in it the mapping begins, bytes.
    pub offset: u64,
}

/// Where the bytes of kept memory come from.
pub trait Contents {
    /// Reads memory that is kept; fewer bytes than asked where the rest cannot be read. An error is the end of it all.
    fn read(&self, address: u64, out: &mut [u8]) -> io::Result<usize>;
}

/// Pieces of memory that were copied before.
#[derive(Clone, Debug, Default)]
pub struct Pieces<'a>(Vec<(u64, &'a [u8])>);

impl<'a> Pieces<'a> {
    /// Takes pieces in any order. Where two overlap, the longer of those that begin first counts.
    pub fn new(pieces: impl IntoIterator<Item = (u64, &'a [u8])>) -> Self {
        let mut pieces: Vec<_> = pieces
            .into_iter()
            .filter(|(_, bytes)| !bytes.is_empty())
            .collect();
        pieces.sort_by_key(|(start, bytes)| (*start, std::cmp::Reverse(bytes.len())));
        let mut end = 0;
        let pieces = pieces.into_iter().filter_map(|(start, bytes)| {
            let known = usize::try_from(end.max(start) - start).unwrap_or(usize::MAX);
            let fresh = bytes.get(known..).filter(|fresh| !fresh.is_empty())?;
            let start = start + known as u64;
            end = start.saturating_add(fresh.len() as u64);
            Some((start, fresh))
        });
        Self(pieces.collect())
    }

    /// The memory that they cover, widened to whole words.
    pub fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (start, bytes) in &self.0 {
            let end = start.saturating_add(bytes.len() as u64);
            let end = end.checked_next_multiple_of(WORD).unwrap_or(u64::MAX);
            let start = start & !(WORD - 1);
            match ranges.last_mut().filter(|last| last.end >= start) {
                Some(last) => last.end = end,
                None => ranges.push(start..end),
            }
        }
        ranges
    }
}

impl Contents for Pieces<'_> {
    /// The few bytes by which pieces fall short of whole words are zero.
    fn read(&self, address: u64, out: &mut [u8]) -> io::Result<usize> {
        out.fill(0);
        let end = address.saturating_add(out.len() as u64);
        let first = self
            .0
            .partition_point(|(start, bytes)| start.saturating_add(bytes.len() as u64) <= address);
        let mut read = 0;
        for (start, bytes) in self.0[first..].iter().take_while(|(start, _)| *start < end) {
            let skipped = usize::try_from(address.saturating_sub(*start)).unwrap_or(usize::MAX);
            let at = usize::try_from(start.saturating_sub(address)).unwrap_or(usize::MAX);
            let bytes = bytes.get(skipped..).unwrap_or_default();
            let size = bytes.len().min(out.len() - at);
            out[at..at + size].copy_from_slice(&bytes[..size]);
            read = (at + size).next_multiple_of(WORD as usize).min(out.len());
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_pieces_are_one_memory() {
        let memory: Vec<u8> = (0..=255).collect();
        let piece = |start: usize, end: usize| (0x1000 + start as u64, &memory[start..end]);
        let pieces = Pieces::new([
            piece(8, 40),
            piece(0, 16),
            piece(10, 12),
            piece(40, 48),
            piece(64, 64),
            piece(100, 110),
        ]);
        assert_eq!(pieces.ranges(), [0x1000..0x1030, 0x1060..0x1070]);
        let read = |address, size| {
            let mut out = vec![0; size];
            let read = pieces.read(address, &mut out).unwrap();
            out.truncate(read);
            out
        };
        assert_eq!(read(0x1000, 48), memory[..48]);
        assert_eq!(read(0x1005, 20), memory[5..25]);
        assert_eq!(read(0x1020, 64), memory[0x20..0x30]);
        let widened = [&[0; 4], &memory[100..110], &[0; 2]].concat();
        assert_eq!(read(0x1060, 64), widened);
        assert!(read(0xff0, 4).is_empty() && read(0x1030, 4).is_empty() && read(0x2000, 4).is_empty());
        let top = Pieces::new([(u64::MAX - 3, memory.as_slice())]);
        assert_eq!(top.ranges().first(), Some(&(u64::MAX - 7..u64::MAX)));
    }
}
