//! The unwind tables of one ELF file, found by address.
//!
//! `.eh_frame` is found by `PT_GNU_EH_FRAME`, so that a file without section headers (stripped of them, or read out
//! of a process's memory) will do. The header's own sorted index is used where it has the encoding that every
//! linker writes; else, and for `.debug_frame`, an index is made here.
//!
//! The tables are the process's: their sizes, counts and pointers are believed only as far as they fit bounds.

use std::cell::RefCell;
use std::collections::HashMap;

use gimli::{
    BaseAddresses, CieOrFde, DebugFrame, EhFrame, EndianSlice, FrameDescriptionEntry, LittleEndian,
    UnwindSection,
};

use crate::diagnose::{ElfError, Image, elf::Segment};

/// The most that is read of a file's tables, bytes; those of the largest browsers take 30 MiB.
const MAX_TABLES: u64 = 64 << 20;
/// Entries of an index that is made here.
const MAX_ENTRIES: usize = 2_000_000;
/// The longest entry that is interpreted, bytes; those of large generated functions take a few thousand.
pub(super) const MAX_ENTRY: usize = 256 << 10;
/// What the header says of its encodings, in every file that a linker wrote: version 1, `.eh_frame` relative to here,
/// a 32-bit count, a table of 32-bit distances from the header (LSB Core, "Exception Frame Header").
const USUAL_HEADER: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
/// Bytes of such a header in front of its table, and of an entry in that.
const HEADER: usize = 12;
const ENTRY: usize = 8;
/// Places of which it is remembered whether a signal trampoline is there.
const MAX_TRAMPOLINES: usize = 4096;

/// How entries are read: from a slice of a table.
pub(super) type Slice<'t> = EndianSlice<'t, LittleEndian>;

/// The unwind tables of one file.
#[derive(Debug)]
pub struct Tables {
    segments: Vec<Segment>,
    content: Vec<u8>,
    /// Address of `content` in the file's own numbering.
    address: u64,
    kind: Kind,
    index: Index,
    /// Whether a signal trampoline is at these file offsets.
    trampolines: RefCell<HashMap<u64, bool, fnv::FnvBuildHasher>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    EhFrame,
    DebugFrame,
}

/// From an address to the entry that may cover it.
#[derive(Debug)]
enum Index {
    /// The header's: pairs of distances from `address`, of a function and of its entry.
    Linker { address: u64, table: Vec<u8> },
    /// Made here: address of a function, offset of its entry.
    Own(Vec<(u64, usize)>),
}

/// Either section, as gimli wants them.
pub(super) enum UnwindData<'t> {
    EhFrame(EhFrame<Slice<'t>>),
    DebugFrame(DebugFrame<Slice<'t>>),
}

impl Tables {
    /// Reads the tables of a file. One without tables has an empty index.
    pub fn read(image: &Image<'_>) -> Result<Self, ElfError> {
        let segments = image.segments()?;
        let mut tables = Self {
            segments,
            content: Vec::new(),
            address: 0,
            kind: Kind::EhFrame,
            index: Index::Own(Vec::new()),
            trampolines: RefCell::default(),
        };
        if tables.read_by_header(image).unwrap_or(false) {
            return Ok(tables);
        }
        if let Ok(Some(section)) = image.section(".eh_frame", MAX_TABLES) {
            (tables.address, tables.content) = (section.address, section.bytes);
        } else if let Ok(Some(section)) = image.section(".debug_frame", MAX_TABLES) {
            (tables.address, tables.content) = (section.address, section.bytes);
            tables.kind = Kind::DebugFrame;
        }
        tables.index = Index::Own(match tables.kind {
            Kind::EhFrame => entries(&tables.eh_frame(), &tables.bases()),
            Kind::DebugFrame => entries(&tables.debug_frame(), &tables.bases()),
        });
        Ok(tables)
    }

    /// Tables of nothing.
    pub(super) fn none() -> Self {
        Self {
            segments: Vec::new(),
            content: Vec::new(),
            address: 0,
            kind: Kind::EhFrame,
            index: Index::Own(Vec::new()),
            trampolines: RefCell::default(),
        }
    }

    /// The address in the file's own numbering of a byte at a file offset.
    pub fn address_of(&self, offset: u64) -> Option<u64> {
        self.segments
            .iter()
            .find_map(|segment| segment.address_of(offset))
    }

    /// The file offset of an address in the file's own numbering.
    pub fn offset_of(&self, address: u64) -> Option<u64> {
        self.segments
            .iter()
            .find_map(|segment| segment.offset_of(address))
    }

    /// Whether a signal trampoline is at a file offset; `look` finds out where that was not asked before, if it can.
    pub(super) fn is_trampoline(&self, offset: u64, look: impl FnOnce() -> Option<bool>) -> bool {
        let known = self.trampolines.borrow().get(&offset).copied();
        known.unwrap_or_else(|| {
            let Some(is) = look() else { return false };
            let mut trampolines = self.trampolines.borrow_mut();
            if trampolines.len() >= MAX_TRAMPOLINES {
                trampolines.clear();
            }
            trampolines.insert(offset, is);
            is
        })
    }

    /// Whether an address in the file's own numbering is one of the tables themselves.
    pub(super) fn contains(&self, address: u64) -> bool {
        let within = address.checked_sub(self.address);
        within.is_some_and(|within| within < self.content.len() as u64)
    }

    /// Memory that the tables take, bytes.
    pub fn size(&self) -> usize {
        let index = match &self.index {
            Index::Linker { table, .. } => table.len(),
            Index::Own(entries) => size_of_val(entries.as_slice()),
        };
        self.content.len() + index
    }

    /// The entry that covers an address.
    pub(super) fn find(&self, address: u64) -> Option<FrameDescriptionEntry<Slice<'_>>> {
        let offset = self.offset_of_entry(address)?;
        let bases = self.bases();
        let entry = match self.kind {
            Kind::EhFrame => self
                .eh_frame()
                .fde_from_offset(&bases, offset.into(), EhFrame::cie_from_offset),
            Kind::DebugFrame => {
                self.debug_frame()
                    .fde_from_offset(&bases, offset.into(), DebugFrame::cie_from_offset)
            }
        };
        let entry = entry.ok()?;
        let length = entry.entry_len().max(entry.cie().entry_len());
        (entry.contains(address) && length <= MAX_ENTRY).then_some(entry)
    }

    /// The section that the entries are in.
    pub(super) fn data(&self) -> UnwindData<'_> {
        match self.kind {
            Kind::EhFrame => UnwindData::EhFrame(self.eh_frame()),
            Kind::DebugFrame => UnwindData::DebugFrame(self.debug_frame()),
        }
    }

    /// What pointers in the entries are relative to.
    pub(super) fn bases(&self) -> BaseAddresses {
        BaseAddresses::default().set_eh_frame(self.address)
    }

    fn read_by_header(&mut self, image: &Image<'_>) -> Result<bool, ElfError> {
        let Some(header) = image.unwind_header()? else {
            return Ok(false);
        };
        let bytes = image.read(header.offset, header.size.min(MAX_TABLES))?;
        let Some((address, table)) = parse_header(bytes, header.address) else {
            return Ok(false);
        };
        let table = table.to_vec();
        let Some((offset, size)) = self.segments.iter().find_map(|segment| {
            let offset = segment.offset_of(address)?;
            Some((offset, segment.size - (address - segment.address)))
        }) else {
            return Ok(false);
        };
        // The section's own size spares what else the segment holds; without it the tables end at the segment's end.
        let section = image.section(".eh_frame", MAX_TABLES).ok().flatten();
        self.content = match section.filter(|section| section.address == address) {
            Some(section) => section.bytes,
            None => image.read(offset, size.min(MAX_TABLES))?.to_vec(),
        };
        self.address = address;
        self.index = Index::Linker {
            address: header.address,
            table,
        };
        Ok(true)
    }

    fn offset_of_entry(&self, address: u64) -> Option<usize> {
        match &self.index {
            Index::Own(entries) => {
                let next = entries.partition_point(|(start, _)| *start <= address);
                Some(entries.get(next.checked_sub(1)?)?.1)
            }
            Index::Linker { address: base, table } => {
                let (entries, _) = table.as_chunks::<ENTRY>();
                let start = |entry: &[u8; ENTRY]| distant(*base, entry, 0);
                let next = entries.partition_point(|entry| start(entry) <= address);
                let entry = entries.get(next.checked_sub(1)?)?;
                usize::try_from(distant(*base, entry, 4).checked_sub(self.address)?).ok()
            }
        }
    }

    fn eh_frame(&self) -> EhFrame<Slice<'_>> {
        let mut section = EhFrame::new(&self.content, LittleEndian);
        section.set_address_size(8);
        section
    }

    fn debug_frame(&self) -> DebugFrame<Slice<'_>> {
        let mut section = DebugFrame::new(&self.content, LittleEndian);
        section.set_address_size(8);
        section
    }
}

/// Address of `.eh_frame` and the index of a header; none where it is not of the usual form.
fn parse_header(bytes: &[u8], address: u64) -> Option<(u64, &[u8])> {
    if !bytes.starts_with(&USUAL_HEADER) {
        return None;
    }
    let tables = distant(address.wrapping_add(4), bytes.first_chunk::<ENTRY>()?, 4);
    let count = u32::from_le_bytes(*bytes.get(8..HEADER)?.first_chunk()?) as usize;
    let table = bytes.get(HEADER..HEADER + count.checked_mul(ENTRY)?)?;
    (!table.is_empty()).then_some((tables, table))
}

/// The address that lies a signed 32-bit distance, found at `at` in `entry`, from `base`.
fn distant(base: u64, entry: &[u8; ENTRY], at: usize) -> u64 {
    let distance = entry.get(at..).and_then(<[u8]>::first_chunk);
    base.wrapping_add_signed(i64::from(i32::from_le_bytes(
        distance.copied().unwrap_or_default(),
    )))
}

/// Addresses and offsets of all entries, by address, as far as they can be read.
fn entries<'t, S: UnwindSection<Slice<'t>>>(section: &S, bases: &BaseAddresses) -> Vec<(u64, usize)> {
    let mut found = Vec::new();
    let mut all = section.entries(bases);
    while let (Ok(Some(entry)), true) = (all.next(), found.len() < MAX_ENTRIES) {
        if let CieOrFde::Fde(partial) = entry
            && let Ok(entry) = partial.parse(S::cie_from_offset)
        {
            found.push((entry.initial_address(), entry.offset()));
        }
    }
    found.sort_unstable();
    found
}
