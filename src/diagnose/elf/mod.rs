//! What is read of a mapped ELF file: its build id, its symbols, its unwind tables, where its segments lie.
//!
//! The file is whatever the process mapped, so each read is bounded, and so is their sum: section tables that claim
//! terabytes of a sparse file cost an error and no memory.

mod exports;
mod reader;
mod section;
mod symbols;

use std::io;

use object::elf::{FileHeader64, NT_GNU_BUILD_ID, PT_GNU_EH_FRAME, PT_LOAD};
use object::read::elf::{FileHeader, NoteIterator, ProgramHeader, SectionHeader};
use object::read::{ReadCache, ReadRef};
use object::{Endianness, elf};
use reader::{Bounded, ModuleReader};

pub use section::Section;
pub use symbols::{Binding, Symbol};

use super::ModuleSource;

/// The longest build id, bytes; linkers write 8 to 32.
const MAX_BUILD_ID: usize = 64;
/// Notes of one segment or section that are looked at.
const MAX_NOTES: usize = 1_000;
/// Segments that are looked at; linkers write about a dozen.
const MAX_SEGMENTS: usize = 256;

/// Why an ELF file tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// It cannot be read.
    #[error("failed to read the file: {0}")]
    Io(#[from] io::Error),
    /// It is no 64-bit ELF file, is damaged, or claims more than is read.
    #[error("failed to parse the file: {0}")]
    Format(#[from] object::read::Error),
}

/// A 64-bit ELF file.
pub struct Image<'a> {
    cache: ReadCache<ModuleReader<'a>>,
    source: &'a dyn ModuleSource,
    module: usize,
}

/// A part of the file that is mapped as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Where it lies in the file, bytes.
    pub offset: u64,
    /// Its address in the file's own numbering (`p_vaddr`).
    pub address: u64,
    /// How much of it is in the file, bytes.
    pub size: u64,
}

impl<'a> Image<'a> {
    /// Opens the file of a module (it counts [`Facts::modules`](crate::capture::Facts::modules)).
    pub fn open(source: &'a dyn ModuleSource, module: usize) -> Result<Self, ElfError> {
        let image = Self {
            cache: ReadCache::new(ModuleReader::new(source, module)?),
            source,
            module,
        };
        image.header()?;
        Ok(image)
    }

    /// The build id (`NT_GNU_BUILD_ID`), from the segments, or else the sections.
    pub fn build_id(&self) -> Result<Option<Vec<u8>>, ElfError> {
        let (header, endian) = self.header()?;
        for segment in header.program_headers(endian, self.data())? {
            if let Ok(Some(notes)) = segment.notes(endian, self.data())
                && let Some(id) = build_id_among(endian, notes)
            {
                return Ok(Some(id));
            }
        }
        for section in header.section_headers(endian, self.data()).unwrap_or_default() {
            if let Ok(Some(notes)) = section.notes(endian, self.data())
                && let Some(id) = build_id_among(endian, notes)
            {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// The address in the file's own numbering (`p_vaddr`) of a byte at a file offset.
    pub fn address_of_offset(&self, offset: u64) -> Result<Option<u64>, ElfError> {
        let segments = self.segments()?;
        Ok(segments.iter().find_map(|segment| segment.address_of(offset)))
    }

    /// The loaded segments, in the file's order.
    pub fn segments(&self) -> Result<Vec<Segment>, ElfError> {
        self.segments_of(PT_LOAD)
    }

    /// The header of the unwind tables (`PT_GNU_EH_FRAME`).
    pub fn unwind_header(&self) -> Result<Option<Segment>, ElfError> {
        Ok(self.segments_of(PT_GNU_EH_FRAME)?.first().copied())
    }

    /// The bytes at a file offset.
    pub fn read(&self, offset: u64, size: u64) -> Result<&[u8], ElfError> {
        let bytes = self.data().read_bytes_at(offset, size);
        bytes.map_err(|()| ElfError::Io(io::ErrorKind::UnexpectedEof.into()))
    }

    fn segments_of(&self, kind: elf::ProgramType) -> Result<Vec<Segment>, ElfError> {
        let (header, endian) = self.header()?;
        let segments = header.program_headers(endian, self.data())?.iter();
        let segments = segments.filter(|segment| segment.p_type(endian) == kind);
        let place = |segment: &elf::ProgramHeader64<Endianness>| Segment {
            offset: segment.p_offset(endian),
            address: segment.p_vaddr(endian),
            size: segment.p_filesz(endian),
        };
        Ok(segments.take(MAX_SEGMENTS).map(place).collect())
    }

    fn header(&self) -> Result<(&FileHeader64<Endianness>, Endianness), ElfError> {
        let header = FileHeader64::<Endianness>::parse(self.data())?;
        Ok((header, header.endian()?))
    }

    fn data(&self) -> Bounded<'_, 'a> {
        Bounded(&self.cache)
    }
}

/// A [`ModuleSource`] of one module whose file is in memory.
#[derive(Clone, Copy, Debug)]
pub struct InMemory<'a>(pub &'a [u8]);

impl ModuleSource for InMemory<'_> {
    fn size(&self, _module: usize) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, _module: usize, offset: u64, mut buffer: &mut [u8]) -> io::Result<usize> {
        let there = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.0.get(offset..));
        io::Write::write(&mut buffer, there.unwrap_or_default())
    }
}

impl Segment {
    /// The address of a byte at a file offset, if it belongs to the segment.
    pub fn address_of(&self, offset: u64) -> Option<u64> {
        let within = offset.checked_sub(self.offset)?;
        (within < self.size).then(|| self.address.wrapping_add(within))
    }

    /// The file offset of a byte at an address, if it belongs to the segment.
    pub fn offset_of(&self, address: u64) -> Option<u64> {
        let within = address.checked_sub(self.address)?;
        (within < self.size).then(|| self.offset.wrapping_add(within))
    }
}

fn build_id_among(
    endian: Endianness,
    mut notes: NoteIterator<'_, FileHeader64<Endianness>>,
) -> Option<Vec<u8>> {
    for _ in 0..MAX_NOTES {
        let note = notes.next().ok()??;
        if note.n_type(endian) == NT_GNU_BUILD_ID && note.name() == elf::ELF_NOTE_GNU {
            let id = note.desc();
            return (!id.is_empty() && id.len() <= MAX_BUILD_ID).then(|| id.to_vec());
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::reader::MAX_PIECE;
    use super::*;

    /// Files in memory, one per module.
    pub(in crate::diagnose) struct Bytes(pub(in crate::diagnose) Vec<Vec<u8>>);

    impl ModuleSource for Bytes {
        fn size(&self, module: usize) -> io::Result<u64> {
            self.0
                .get(module)
                .map(|bytes| bytes.len() as u64)
                .ok_or(io::ErrorKind::NotFound.into())
        }

        fn read_at(&self, module: usize, offset: u64, mut buffer: &mut [u8]) -> io::Result<usize> {
            let bytes = self.0.get(module).ok_or(io::ErrorKind::NotFound)?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            io::Write::write(&mut buffer, &bytes[start..])
        }
    }

    /// A sparse file whose size is a claim; it counts what is read of it.
    struct Sparse {
        start: Vec<u8>,
        read: Cell<usize>,
    }

    impl ModuleSource for Sparse {
        fn size(&self, _: usize) -> io::Result<u64> {
            Ok(1 << 60)
        }

        fn read_at(&self, _: usize, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            self.read.set(self.read.get() + buffer.len());
            buffer.fill(0);
            let there = usize::try_from(offset)
                .ok()
                .and_then(|offset| self.start.get(offset..));
            for (to, from) in buffer.iter_mut().zip(there.unwrap_or_default()) {
                *to = *from;
            }
            Ok(buffer.len())
        }
    }

    fn own_program() -> Bytes {
        Bytes(vec![std::fs::read("/proc/self/exe").unwrap()])
    }

    #[test]
    fn our_own_program_is_read() {
        let program = own_program();
        let image = Image::open(&program, 0).unwrap();
        let mut found = false;
        image
            .for_each_function(|name, address, _| found |= name == b"main" && address != 0)
            .unwrap();
        assert!(found);
        assert!(image.address_of_offset(0).unwrap().is_some());
        assert!(Image::open(&program, 1).is_err());
    }

    #[test]
    fn the_build_id_of_the_c_library_is_found() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let path = maps.lines().find_map(|line| {
            line.find("/")
                .map(|at| &line[at..])
                .filter(|path| path.contains("libc"))
        });
        let files = Bytes(vec![std::fs::read(path.unwrap()).unwrap()]);
        let id = Image::open(&files, 0).unwrap().build_id().unwrap().unwrap();
        assert!((8..=32).contains(&id.len()), "{id:?}");
    }

    #[test]
    fn tables_that_claim_more_than_is_reasonable_are_not_read() {
        let mut start = own_program().0.remove(0);
        start.truncate(64);
        let mut put = |at: usize, bytes: &[u8]| {
            start.resize(start.len().max(at + bytes.len()), 0);
            start[at..at + bytes.len()].copy_from_slice(bytes);
        };
        // e_phnum = 0; e_shoff = 64, e_shnum = 2, e_shstrndx = 0
        put(0x38, &0_u16.to_le_bytes());
        put(0x28, &64_u64.to_le_bytes());
        put(0x3c, &2_u16.to_le_bytes());
        put(0x3e, &0_u16.to_le_bytes());
        // Section 1: sh_type, sh_offset, sh_size, sh_link, sh_entsize of a symbol table.
        let section = 64 + 64;
        put(section + 4, &elf::SHT_SYMTAB.0.to_le_bytes());
        put(section + 24, &4096_u64.to_le_bytes());
        put(section + 32, &(2 * MAX_PIECE / 24 * 24).to_le_bytes());
        put(section + 40, &1_u32.to_le_bytes());
        put(section + 56, &24_u64.to_le_bytes());
        let sparse = Sparse {
            start,
            read: Cell::new(0),
        };
        let image = Image::open(&sparse, 0).unwrap();
        assert!(image.build_id().unwrap().is_none());
        assert!(image.for_each_function(|_, _, _| ()).is_err());
        assert!(sparse.read.get() < 4096, "{}", sparse.read.get());
    }

    proptest! {
        #[test]
        fn damaged_files_are_errors(damage in proptest::collection::vec((0_usize..4096, any::<u8>()), 1..40), cut in 0_usize..20_000) {
            let mut bytes = std::fs::read("/bin/true").unwrap();
            for (at, byte) in damage {
                if let Some(there) = bytes.get_mut(at) {
                    *there = byte;
                }
            }
            bytes.truncate(bytes.len().saturating_sub(cut));
            let files = Bytes(vec![bytes]);
            if let Ok(image) = Image::open(&files, 0) {
                let _ = image.build_id();
                let _ = image.address_of_offset(0x1000);
                let _ = image.for_each_function(|_, _, _| ());
            }
        }
    }
}
