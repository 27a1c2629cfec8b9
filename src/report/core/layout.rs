//! Where everything lies in a core file, and writing it.

use std::io::{self, Write};

use object::LittleEndian as Le;
use object::elf::{self, FileHeader64, Ident, ProgramHeader64, ProgramType, SectionHeader64};
use object::endian::{U16, U32, U64};
use object::pod::bytes_of;

use super::notes;
use super::segments::{Segment, cut};
use super::{Contents, Core, WORD};
use crate::sys::regs::ELF_MACHINE;

/// How much memory is read at once, bytes.
const CHUNK: usize = 1 << 20;
const FILE_HEADER: u64 = size_of::<FileHeader64<Le>>() as u64;
const PROGRAM_HEADER: u64 = size_of::<ProgramHeader64<Le>>() as u64;
const SECTION_HEADER: u64 = size_of::<SectionHeader64<Le>>() as u64;

/// The places of everything in a core file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    notes: Vec<u8>,
    segments: Vec<Segment>,
    /// Where each segment begins; where it would, if it is not kept.
    offsets: Vec<u64>,
    end: u64,
}

impl Layout {
    /// Places the notes of a core, then the memory that is kept.
    pub fn of(core: &Core<'_>) -> Self {
        let notes = notes::encode(core);
        let segments = cut(&core.mappings, &core.kept);
        let headers = segments.len() as u64 + 1;
        let section = if is_too_many(headers) { SECTION_HEADER } else { 0 };
        let mut end = FILE_HEADER + headers * PROGRAM_HEADER + section + notes.len() as u64;
        let mut offsets = Vec::with_capacity(segments.len());
        for segment in &segments {
            offsets.push(end);
            end = end.saturating_add(segment.file_size());
        }
        Self {
            notes,
            segments,
            offsets,
            end,
        }
    }

    /// Where in the file the byte of an address lies, if it is kept. Kept memory that is contiguous within a mapping
    /// is so in the file.
    pub fn offset(&self, address: u64) -> Option<u64> {
        let place = self
            .segments
            .partition_point(|segment| segment.memory.start <= address)
            .checked_sub(1)?;
        let segment = self.segments.get(place)?;
        let holds = segment.kept && segment.memory.contains(&address);
        holds.then(|| self.offsets[place] + (address - segment.memory.start))
    }

    /// Writes the file from front to back; returns how many bytes of memory could not be read and are zero.
    pub fn write(&self, contents: &dyn Contents, mut out: impl Write) -> io::Result<u64> {
        let headers = self.segments.len() as u64 + 1;
        out.write_all(bytes_of(&file_header(headers)))?;
        let notes_at =
            FILE_HEADER + headers * PROGRAM_HEADER + if is_too_many(headers) { SECTION_HEADER } else { 0 };
        out.write_all(bytes_of(&self.note_header(notes_at)))?;
        for (segment, offset) in self.segments.iter().zip(&self.offsets) {
            out.write_all(bytes_of(&self.load_header(segment, *offset)))?;
        }
        if is_too_many(headers) {
            out.write_all(bytes_of(&real_count(headers)))?;
        }
        out.write_all(&self.notes)?;
        let mut unread = 0;
        let mut chunk = vec![0; CHUNK];
        for segment in self.segments.iter().filter(|segment| segment.kept) {
            unread += copy(segment, contents, &mut chunk, &mut out)?;
        }
        out.flush()?;
        Ok(unread)
    }

    fn note_header(&self, offset: u64) -> ProgramHeader64<Le> {
        ProgramHeader64 {
            p_offset: U64::new(Le, offset),
            p_filesz: U64::new(Le, self.notes.len() as u64),
            p_align: U64::new(Le, notes::ALIGN as u64),
            ..header(elf::PT_NOTE)
        }
    }

    fn load_header(&self, segment: &Segment, offset: u64) -> ProgramHeader64<Le> {
        // elfutils reads what lies behind a segment's part of the file too: where nothing does, it reports an error.
        let offset = if segment.kept { offset } else { self.end };
        ProgramHeader64 {
            p_flags: U32::new(Le, segment.flags),
            p_offset: U64::new(Le, offset),
            p_vaddr: U64::new(Le, segment.memory.start),
            p_filesz: U64::new(Le, segment.file_size()),
            p_memsz: U64::new(Le, segment.memory.end - segment.memory.start),
            p_align: U64::new(Le, WORD),
            ..header(elf::PT_LOAD)
        }
    }
}

impl Segment {
    fn file_size(&self) -> u64 {
        if self.kept {
            self.memory.end - self.memory.start
        } else {
            0
        }
    }
}

/// Writes the bytes of a segment; returns how many could not be read.
fn copy(
    segment: &Segment,
    contents: &dyn Contents,
    chunk: &mut [u8],
    out: &mut impl Write,
) -> io::Result<u64> {
    let mut unread = 0;
    let mut address = segment.memory.start;
    while address < segment.memory.end {
        let left = usize::try_from(segment.memory.end - address).unwrap_or(usize::MAX);
        let part = &mut chunk[..left.min(CHUNK)];
        let read = contents.read(address, part)?.min(part.len());
        part[read..].fill(0);
        unread += (part.len() - read) as u64;
        out.write_all(part)?;
        address += part.len() as u64;
    }
    Ok(unread)
}

/// Whether the number of program headers does not fit its field (elf(5), `e_phnum`).
fn is_too_many(headers: u64) -> bool {
    headers >= u64::from(elf::PN_XNUM)
}

fn file_header(headers: u64) -> FileHeader64<Le> {
    let extended = is_too_many(headers);
    let sections_at = FILE_HEADER + headers * PROGRAM_HEADER;
    FileHeader64 {
        e_ident: Ident {
            magic: elf::ELFMAG,
            class: elf::ELFCLASS64,
            data: elf::ELFDATA2LSB,
            version: elf::EV_CURRENT,
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            padding: [0; 7],
        },
        e_type: U16::new(Le, elf::ET_CORE),
        e_machine: U16::new(Le, elf::Machine(ELF_MACHINE)),
        e_version: U32::new(Le, u32::from(elf::EV_CURRENT.0)),
        e_entry: U64::new(Le, 0),
        e_phoff: U64::new(Le, FILE_HEADER),
        e_shoff: U64::new(Le, if extended { sections_at } else { 0 }),
        e_flags: U32::new(Le, elf::FileFlags::default()),
        e_ehsize: U16::new(Le, FILE_HEADER as u16),
        e_phentsize: U16::new(Le, PROGRAM_HEADER as u16),
        e_phnum: U16::new(Le, u16::try_from(headers).unwrap_or(elf::PN_XNUM)),
        e_shentsize: U16::new(Le, if extended { SECTION_HEADER as u16 } else { 0 }),
        e_shnum: U16::new(Le, u16::from(extended)),
        e_shstrndx: U16::new(Le, elf::SHN_UNDEF),
    }
}

/// The one section header of a file with more program headers than their field can count.
fn real_count(headers: u64) -> SectionHeader64<Le> {
    SectionHeader64 {
        sh_name: U32::new(Le, 0),
        sh_type: U32::new(Le, elf::SHT_NULL),
        sh_flags: U64::new(Le, elf::SectionFlags::default()),
        sh_addr: U64::new(Le, 0),
        sh_offset: U64::new(Le, 0),
        sh_size: U64::new(Le, 1),
        sh_link: U32::new(Le, 0),
        sh_info: U32::new(Le, u32::try_from(headers).unwrap_or(u32::MAX)),
        sh_addralign: U64::new(Le, 0),
        sh_entsize: U64::new(Le, 0),
    }
}

fn header(kind: ProgramType) -> ProgramHeader64<Le> {
    ProgramHeader64 {
        p_type: U32::new(Le, kind),
        p_flags: U32::new(Le, elf::ProgramFlags::default()),
        p_offset: U64::new(Le, 0),
        p_vaddr: U64::new(Le, 0),
        p_paddr: U64::new(Le, 0),
        p_filesz: U64::new(Le, 0),
        p_memsz: U64::new(Le, 0),
        p_align: U64::new(Le, 0),
    }
}

#[cfg(test)]
mod tests {
    use object::read::elf::{FileHeader, ProgramHeader};

    use super::*;
    use crate::report::core::{MappedFile, Mapping, Pieces, Process, Thread};
    use crate::sys::regs::GeneralRegisters;
    use crate::sys::signal::SigInfo;
    use crate::sys::{Pid, SigNo, Tid};

    fn mapping(low: u64, high: u64) -> Mapping {
        Mapping {
            low,
            high,
            readable: true,
            file: Some(MappedFile {
                path: "/usr/bin/prog".into(),
                offset: 0x2000,
            }),
            ..Mapping::default()
        }
    }

    fn written(core: &Core<'_>, pieces: &Pieces<'_>) -> Vec<u8> {
        let mut file = Vec::new();
        Layout::of(core).write(pieces, &mut file).unwrap();
        file
    }

    /// Kind, name and content of each note.
    fn notes(file: &[u8]) -> Vec<(u32, Vec<u8>, Vec<u8>)> {
        let header = FileHeader64::<Le>::parse(file).unwrap();
        let segments = header.program_headers(Le, file).unwrap();
        let mut notes = segments[0].notes(Le, file).unwrap().unwrap();
        let mut found = Vec::new();
        while let Some(note) = notes.next().unwrap() {
            found.push((note.n_type(Le).0, note.name().to_vec(), note.desc().to_vec()));
        }
        found
    }

    #[test]
    fn memory_is_found_where_the_layout_says() {
        let pieces = Pieces::new([(0x1800, b"stack of words..".as_slice()), (0x5003, b"elsewhere")]);
        let core = Core {
            mappings: vec![mapping(0x1000, 0x3000), mapping(0x5000, 0x6000)],
            kept: pieces.ranges(),
            ..Core::default()
        };
        let layout = Layout::of(&core);
        let file = written(&core, &pieces);
        let at = |address| layout.offset(address).unwrap() as usize;
        assert_eq!(&file[at(0x1806)..][..10], b"of words..");
        assert_eq!(&file[at(0x5000)..], b"\0\0\0elsewhere\0\0\0\0");
        assert_eq!((layout.offset(0x17ff), layout.offset(0x1810)), (None, None));

        let header = FileHeader64::<Le>::parse(file.as_slice()).unwrap();
        let loads = &header.program_headers(Le, file.as_slice()).unwrap()[1..];
        let sizes: Vec<_> = loads
            .iter()
            .map(|load| (load.p_vaddr(Le), load.p_filesz(Le), load.p_memsz(Le)))
            .collect();
        assert_eq!(
            sizes,
            [
                (0x1000, 0, 0x800),
                (0x1800, 16, 16),
                (0x1810, 0, 0x17f0),
                (0x5000, 16, 16),
                (0x5010, 0, 0xff0),
            ]
        );
        let end = file.len() as u64;
        assert!(
            loads
                .iter()
                .all(|load| load.p_filesz(Le) > 0 || load.p_offset(Le) == end)
        );
    }

    #[test]
    fn the_faulting_thread_alone_carries_the_signal() {
        let general = vec![0x11; GeneralRegisters::SIZE];
        let info = SigInfo::new(SigNo::SEGV, 1, 8);
        let thread = |tid| Thread {
            tid: Tid(tid),
            general: &general,
            fp: &[7; 512],
            ..Thread::default()
        };
        let core = Core {
            process: Process {
                pid: Pid(4711),
                name: "a name that is longer than it may be".into(),
                arguments: b"prog\0--flag\0",
                ..Process::default()
            },
            threads: vec![
                Thread {
                    signal: Some((SigNo::SEGV, info.as_bytes())),
                    ..thread(4712)
                },
                thread(4711),
            ],
            auxv: b"auxiliary vector",
            mappings: vec![mapping(0x1000, 0x3000)],
            ..Core::default()
        };
        let notes = notes(&written(&core, &Pieces::default()));
        let kinds: Vec<_> = notes.iter().map(|(kind, ..)| *kind).collect();
        let (status, process, info, auxv, files, fp) = (1, 3, 0x5349_4749, 6, 0x4649_4c45, 2);
        assert_eq!(kinds, [status, process, info, auxv, files, fp, status, info, fp]);
        let signals: Vec<_> = [0, 6].map(|place: usize| notes[place].2[12]).to_vec();
        assert_eq!(signals, [11, 0], "pr_cursig");
        assert_eq!(notes[0].2.len(), 120 + GeneralRegisters::SIZE);
        assert_eq!(notes[0].2[32..36], 4712_i32.to_le_bytes(), "pr_pid");
        assert_eq!(notes[1].2.len(), 136);
        assert_eq!(&notes[1].2[40..56], b"a name that is \0");
        assert_eq!(&notes[1].2[56..68], b"prog --flag\0");
        assert_eq!(
            &notes[4].2[..16],
            [1_u64.to_le_bytes(), 4096_u64.to_le_bytes()].concat()
        );
        assert_eq!(
            &notes[4].2[32..],
            [&2_u64.to_le_bytes(), b"/usr/bin/prog\0".as_slice()].concat()
        );
        assert!(notes[7].2.iter().all(|byte| *byte == 0), "it took no signal");
    }

    #[test]
    fn more_mappings_than_the_header_can_count() {
        for count in [65_533, 65_534, 70_000] {
            let mappings: Vec<_> = (1..=count)
                .map(|n| mapping(n << 13, (n << 13) + 0x1000))
                .collect();
            let pieces = Pieces::new([(count << 13, b"the last".as_slice())]);
            let core = Core {
                mappings,
                kept: pieces.ranges(),
                ..Core::default()
            };
            let file = written(&core, &pieces);
            let header = FileHeader64::<Le>::parse(file.as_slice()).unwrap();
            let segments = header.program_headers(Le, file.as_slice()).unwrap();
            assert_eq!(segments.len() as u64, count + 2);
            assert_eq!(
                segments[count as usize].data(Le, file.as_slice()),
                Ok(b"the last".as_slice())
            );
        }
    }

    #[test]
    fn unreadable_memory_is_zero_and_counted() {
        struct Half;
        impl Contents for Half {
            fn read(&self, _: u64, out: &mut [u8]) -> io::Result<usize> {
                let half = out.len() / 2;
                out.fill(9);
                Ok(half)
            }
        }
        let core = Core {
            mappings: vec![mapping(0x1000, 0x3000)],
            kept: std::iter::once(0x1000..0x3000).collect(),
            ..Core::default()
        };
        let mut file = Vec::new();
        assert_eq!(Layout::of(&core).write(&Half, &mut file).unwrap(), 0x1000);
        assert!(file.ends_with(&[0; 0x1000]) && !file.ends_with(&[0; 0x1001]));
    }
}
