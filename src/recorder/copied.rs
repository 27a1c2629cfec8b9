//! A copied process that waits to be written: its memory, and which pages of it exist.
//!
//! Both come as descriptors of its /proc files that the tracer opened; this process could not. What was mapped and never
//! touched is zero: large holes are left out of a core, since writing their zeros can take longer than all else
//! (programs reserve terabytes). Small ones are written, because a debugger shows memory that is left out as an error.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::extent::Wanted;
use crate::report::core::{Contents, Pieces};
use crate::sys::memory::PAGE;

/// The size of an entry of `/proc/PID/pagemap` (proc(5)), bytes.
const ENTRY: u64 = 8;
/// Bits of an entry: the page is in memory; it is in swap.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
/// Entries that are read at once.
const ENTRIES: usize = 1 << 16;
/// The most memory whose pages are looked up, bytes: takes some two seconds.
const MAX_LOOKED_UP: u64 = 1 << 40;
/// A hole of that size is left out, bytes.
const HOLE: u64 = 1 << 20;
/// The most ranges of one core: each costs a header, and readers go through all of them.
const MAX_RANGES: usize = 65_536;

/// The memory of a copied process.
#[derive(Debug)]
pub(super) struct CopiedProcess<'a> {
    /// `/proc/PID/mem`.
    memory: &'a File,
    /// What was captured of the original, for pages that the copy lacks.
    captured: &'a Pieces<'a>,
    /// An address that can be read for as long as the copy exists.
    landmark: u64,
    unread: Cell<u64>,
}

/// The part of wanted memory that exists.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Existing {
    /// By address.
    pub(super) ranges: Vec<Range<u64>>,
    /// Bytes that were not looked up, since there are too many.
    pub(super) left_out: u64,
}

impl<'a> CopiedProcess<'a> {
    /// Joins a copy's memory with what was captured. None: the copy is gone.
    pub(super) fn new(memory: &'a File, captured: &'a Pieces<'a>, wanted: &[Wanted]) -> Option<Self> {
        let readable = |address: &u64| memory.read_at(&mut [0], *address).is_ok_and(|read| read == 1);
        let landmark = wanted.iter().map(|wanted| wanted.range.start).find(readable)?;
        Some(Self {
            memory,
            captured,
            landmark,
            unread: Cell::new(0),
        })
    }

    /// How many bytes could not be read so far.
    pub(super) fn unread(&self) -> u64 {
        self.unread.get()
    }

    /// Reads the rest of a page that the copy lacks.
    fn read_captured(&self, address: u64, page: &mut [u8]) -> io::Result<()> {
        if !matches!(self.memory.read_at(&mut [0], self.landmark), Ok(1)) {
            return Err(io::Error::other(
                "the copy of the process was ended before it was written",
            ));
        }
        let read = self.captured.read(address, page)?;
        page[read..].fill(0);
        self.unread.set(self.unread.get() + (page.len() - read) as u64);
        Ok(())
    }
}

impl Contents for CopiedProcess<'_> {
    fn read(&self, address: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            let at = address + done as u64;
            match self.memory.read_at(&mut out[done..], at) {
                Ok(read) if read > 0 => done += read,
                _ => {
                    let to_next_page = (PAGE - at % PAGE) as usize;
                    let end = out.len().min(done + to_next_page);
                    self.read_captured(at, &mut out[done..end])?;
                    done = end;
                }
            }
        }
        Ok(done)
    }
}

/// Looks up which wanted memory exists. `pagemap` is `/proc/PID/pagemap`.
pub(super) fn existing(wanted: &[Wanted], pagemap: &File) -> io::Result<Existing> {
    let mut existing = Existing::default();
    let mut budget = MAX_LOOKED_UP;
    for Wanted { range, sparse } in wanted {
        let size = range.end - range.start;
        if !sparse {
            existing.ranges.push(range.clone());
        } else if let Some(left) = budget.checked_sub(size) {
            budget = left;
            existing.ranges.append(&mut touched(range, pagemap)?);
        } else {
            existing.left_out += size;
        }
    }
    join(&mut existing.ranges, 0);
    Ok(existing)
}

/// The pages of a mapping that were touched, and the small holes between them.
fn touched(range: &Range<u64>, pagemap: &File) -> io::Result<Vec<Range<u64>>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut hole = HOLE;
    let mut buffer = vec![0; ENTRIES * ENTRY as usize];
    let mut page = range.start / PAGE;
    let end = range.end / PAGE;
    while page < end {
        let count = usize::try_from(end - page).unwrap_or(usize::MAX).min(ENTRIES);
        let part = &mut buffer[..count * ENTRY as usize];
        let read = pagemap.read_at(part, page * ENTRY)? / ENTRY as usize;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (place, entry) in part.chunks_exact(ENTRY as usize).take(read).enumerate() {
            let entry = entry
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte));
            if entry & (PRESENT | SWAPPED) == 0 {
                continue;
            }
            let start = (page + place as u64) * PAGE;
            match ranges.last_mut().filter(|last| start < last.end + hole) {
                Some(last) => last.end = start + PAGE,
                None => ranges.push(start..start + PAGE),
            }
        }
        while ranges.len() > MAX_RANGES {
            hole = hole.saturating_mul(4);
            join(&mut ranges, hole);
        }
        page += read as u64;
    }
    Ok(ranges)
}

/// Joins ranges with less than that between them.
pub(super) fn join(ranges: &mut Vec<Range<u64>>, hole: u64) {
    ranges.dedup_by(|next, last| {
        let near = next.start <= last.end.saturating_add(hole);
        if near {
            last.end = last.end.max(next.end);
        }
        near
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first page that lies wholly within fresh memory.
    fn first_page(memory: &[u8]) -> u64 {
        (memory.as_ptr() as u64).next_multiple_of(PAGE)
    }

    fn touch(memory: &mut [u8], address: u64) {
        let offset = address - memory.as_ptr() as u64;
        memory[offset as usize] = 7;
    }

    fn wanted(start: u64, size: usize, sparse: bool) -> Wanted {
        Wanted {
            range: start..start + size as u64,
            sparse,
        }
    }

    fn own(name: &str) -> File {
        File::open(format!("/proc/self/{name}")).unwrap()
    }

    #[test]
    fn large_holes_are_left_out_and_small_ones_are_not() {
        let size = 4 << 30;
        // Zeros that nobody has touched.
        let mut memory = vec![0; size + PAGE as usize];
        let start = first_page(&memory);
        for offset in [0, 8 * PAGE, 64 << 20, (size as u64) - PAGE] {
            touch(&mut memory, start + offset);
        }
        let area = [wanted(start, size, true)];
        let existing = existing(&area, &own("pagemap")).unwrap();
        // Each may be part of a huge page.
        let huge = 2 << 20;
        let offsets: Vec<_> = existing.ranges.iter().map(|range| range.start - start).collect();
        assert!(offsets.len() <= 3 && offsets[0] == 0, "{offsets:x?}");
        assert!(existing.ranges[0].end >= start + 9 * PAGE);
        let kept: u64 = existing.ranges.iter().map(|range| range.end - range.start).sum();
        assert!(kept <= 3 * huge, "{kept}");
        assert_eq!(existing.left_out, 0);
    }

    #[test]
    fn what_is_too_large_to_look_up_is_left_out_and_told() {
        let area = [wanted(0x1000, 1 << 41, true), wanted(1 << 42, 0x1000, false)];
        let existing = existing(&area, &own("pagemap")).unwrap();
        assert_eq!(existing.left_out, 1 << 41);
        assert_eq!(existing.ranges.len(), 1);
    }

    #[test]
    fn pages_that_cannot_be_read_are_taken_from_the_capture_or_zero() {
        let memory = own("mem");
        let mut touched = vec![0; 3 * PAGE as usize];
        let start = first_page(&touched);
        touch(&mut touched, start);
        // Behind the end of the address space of programs.
        let beyond = 0x8000_0000_0000_u64;
        let captured = Pieces::new([(beyond + 8, b"captured".as_slice())]);
        let copy = CopiedProcess::new(&memory, &captured, &[wanted(start, 2 * PAGE as usize, true)]).unwrap();
        let mut page = vec![0xff; PAGE as usize];
        assert_eq!(copy.read(start, &mut page).unwrap(), PAGE as usize);
        assert_eq!((page[0], page[1], copy.unread()), (7, 0, 0));
        assert_eq!(copy.read(beyond, &mut page).unwrap(), PAGE as usize);
        assert_eq!(&page[8..16], b"captured");
        assert!(page[16..].iter().all(|byte| *byte == 0));
        assert_eq!(copy.unread(), PAGE - 16);
    }

    #[test]
    fn a_copy_that_was_ended_is_an_error() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let memory = File::open(format!("/proc/{}/mem", child.id())).unwrap();
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap();
        let start = u64::from_str_radix(maps.split('-').next().unwrap(), 16).unwrap();
        let area = [wanted(start, PAGE as usize, false)];
        let captured = Pieces::default();
        let copy = CopiedProcess::new(&memory, &captured, &area).unwrap();
        let mut page = vec![0; PAGE as usize];
        assert_eq!(copy.read(start, &mut page).unwrap(), PAGE as usize);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            copy.read(start, &mut page)
                .unwrap_err()
                .to_string()
                .contains("was ended")
        );
        assert!(CopiedProcess::new(&memory, &captured, &area).is_none());
    }
}
