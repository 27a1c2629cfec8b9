//! A core file of ours back into its parts, for the formats that are made from it later.

use std::ops::Range;

use object::LittleEndian as Le;
use object::elf::{self, FileHeader64, ProgramHeader64};
use object::read::elf::{FileHeader, Note, ProgramHeader};

use super::notes::{FILE_UNIT, NAME, STATUS, STATUS_OWNER};
use super::{Core, MappedFile, Mapping, Pieces, Process, Thread};
use crate::sys::regs::{EXTENDED_SET, GeneralRegisters};
use crate::sys::{Pid, SigNo, Tid};

/// Why a file is no core file of ours.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no ELF file, or a damaged one.
    #[error("failed to parse a core file: {0}")]
    Format(#[from] object::read::Error),
    /// It holds another sort of file, or the core of another architecture.
    #[error("it is no core file of this architecture")]
    Foreign,
}

/// Takes a core file apart: what it is about, and the memory that it holds.
///
/// Of mappings without a file that lie side by side with the same permissions, one comes back.
pub fn read(file: &[u8]) -> Result<(Core<'_>, Pieces<'_>), ReadError> {
    let header = FileHeader64::<Le>::parse(file)?;
    let is_ours =
        header.e_type(Le) == elf::ET_CORE && header.e_machine(Le).0 == crate::sys::regs::ELF_MACHINE;
    if !is_ours {
        return Err(ReadError::Foreign);
    }
    let segments = header.program_headers(Le, file)?;
    let mut core = Core::default();
    let mut files = Vec::new();
    for segment in segments {
        if let Some(mut notes) = segment.notes(Le, file)? {
            while let Some(note) = notes.next()? {
                take_note(&mut core, &mut files, &note);
            }
        }
    }
    let loads = || {
        segments
            .iter()
            .filter(|segment| segment.p_type(Le) == elf::PT_LOAD)
    };
    core.mappings = mappings(loads(), &files);
    let pieces = Pieces::new(loads().filter_map(|load| {
        let bytes = load.data(Le, file).ok()?;
        Some((load.p_vaddr(Le), bytes))
    }));
    core.kept = pieces.ranges();
    Ok((core, pieces))
}

type ElfNote<'a> = Note<'a, FileHeader64<Le>>;

fn take_note<'a>(core: &mut Core<'a>, files: &mut Vec<(Range<u64>, MappedFile)>, note: &ElfNote<'a>) {
    let content = note.desc();
    let kind = note.n_type(Le);
    if note.name() == STATUS_OWNER && kind == STATUS {
        core.status = content;
        return;
    }
    match kind {
        elf::NT_PRSTATUS => core.threads.extend(thread(content)),
        elf::NT_PRPSINFO => core.process = process(content).unwrap_or_default(),
        elf::NT_AUXV => core.auxv = content,
        elf::NT_FILE => *files = mapped_files(content).unwrap_or_default(),
        _ => {
            let Some(thread) = core.threads.last_mut() else {
                return;
            };
            match kind {
                elf::NT_SIGINFO => {
                    if let Some((_, info)) = &mut thread.signal {
                        *info = content;
                    }
                }
                elf::NT_PRFPREG => thread.fp = content,
                kind if Some(kind.0 as i32) == EXTENDED_SET => thread.extended = content,
                _ => {}
            }
        }
    }
}

/// Reads `struct elf_prstatus`.
fn thread(content: &[u8]) -> Option<Thread<'_>> {
    let time = |at: usize| {
        let seconds = long(content, at)?.saturating_mul(1_000_000);
        Some(seconds.saturating_add(long(content, at + 8)?))
    };
    let signal = SigNo(int(content, 12)? & 0xffff);
    Some(Thread {
        tid: Tid(int(content, 32)?),
        signal: (signal.0 != 0).then_some((signal, [].as_slice())),
        user_us: time(48)?,
        system_us: time(64)?,
        general: content.get(112..112 + GeneralRegisters::SIZE)?,
        ..Thread::default()
    })
}

/// Reads `struct elf_prpsinfo`.
fn process(content: &[u8]) -> Option<Process<'_>> {
    let text = |bytes: &[u8]| bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let name = content.get(40..40 + NAME)?;
    let arguments = content.get(40 + NAME..)?;
    Some(Process {
        nice: *content.get(3)? as i8,
        flags: long(content, 8)?,
        uid: int(content, 16)? as u32,
        gid: int(content, 20)? as u32,
        pid: Pid(int(content, 24)?),
        parent: Pid(int(content, 28)?),
        group: Pid(int(content, 32)?),
        session: Pid(int(content, 36)?),
        name: String::from_utf8_lossy(&name[..text(name)]).into_owned(),
        arguments: &arguments[..text(arguments)],
    })
}

/// Reads `NT_FILE`.
fn mapped_files(content: &[u8]) -> Option<Vec<(Range<u64>, MappedFile)>> {
    let count = usize::try_from(long(content, 0)?).ok()?;
    let table = content.get(16..)?.chunks_exact(24).take(count);
    let mut names = content
        .get(16 + count.checked_mul(24)?..)?
        .split(|byte| *byte == 0);
    table
        .map(|entry| {
            let file = MappedFile {
                path: String::from_utf8_lossy(names.next()?).into_owned(),
                offset: long(entry, 16)?.checked_mul(FILE_UNIT)?,
            };
            Some((long(entry, 0)?..long(entry, 8)?, file))
        })
        .collect()
}

/// The mappings that segments were cut from: those of a file by its bounds, others by their permissions.
fn mappings<'a>(
    loads: impl Iterator<Item = &'a ProgramHeader64<Le>>,
    files: &[(Range<u64>, MappedFile)],
) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for load in loads {
        let low = load.p_vaddr(Le);
        let high = low.saturating_add(load.p_memsz(Le));
        let flags = load.p_flags(Le);
        let is = |flag: elf::ProgramFlags| (flags & flag).0 != 0;
        let file = files.iter().find(|(range, _)| range.contains(&low));
        let mapping = Mapping {
            low,
            high,
            readable: is(elf::PF_R),
            writable: is(elf::PF_W),
            executable: is(elf::PF_X),
            file: file.map(|(_, file)| file.clone()),
        };
        let begins = file.is_some_and(|(range, _)| range.start == low);
        match mappings.last_mut().filter(|last| last.high == low && !begins) {
            Some(last) if last.is_like(&mapping) => last.high = high,
            _ => mappings.push(mapping),
        }
    }
    mappings
}

impl Mapping {
    fn is_like(&self, other: &Self) -> bool {
        let permissions = |of: &Self| (of.readable, of.writable, of.executable);
        permissions(self) == permissions(other) && self.file == other.file
    }
}

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::core::Layout;
    use crate::sys::signal::SigInfo;

    fn mapping(low: u64, writable: bool, path: Option<&str>) -> Mapping {
        Mapping {
            low,
            high: low + 0x2000,
            readable: true,
            writable,
            executable: false,
            file: path.map(|path| MappedFile {
                path: path.into(),
                offset: 0x3000,
            }),
        }
    }

    fn written(core: &Core<'_>, pieces: &Pieces<'_>) -> Vec<u8> {
        let mut file = Vec::new();
        Layout::of(core).write(pieces, &mut file).unwrap();
        file
    }

    #[test]
    fn what_was_written_is_read_back() {
        let registers: Vec<u8> = (0..GeneralRegisters::SIZE).map(|n| n as u8).collect();
        let info = SigInfo::new(SigNo::SEGV, 1, 8);
        let thread = |tid| Thread {
            tid: Tid(tid),
            signal: None,
            user_us: 1_000_007,
            system_us: 9,
            general: &registers,
            fp: &[7; 512],
            extended: if EXTENDED_SET.is_some() { &[8; 832] } else { &[] },
        };
        let pieces = Pieces::new([(0x1800, b"a stack..".as_slice()), (0x6000, b"code")]);
        let core = Core {
            process: Process {
                pid: Pid(4711),
                parent: Pid(1),
                group: Pid(4711),
                session: Pid(17),
                uid: 1000,
                gid: u32::MAX,
                nice: -3,
                flags: 0x40_0040,
                name: "prog".into(),
                arguments: b"prog --flag",
            },
            threads: vec![
                Thread {
                    signal: Some((SigNo::SEGV, info.as_bytes())),
                    ..thread(4712)
                },
                thread(4711),
            ],
            auxv: b"auxiliary vector",
            status: b"Name:\tprog\n",
            mappings: vec![
                mapping(0x1000, true, None),
                mapping(0x3000, false, Some("/a b")),
                mapping(0x5000, false, Some("/a b")),
            ],
            kept: pieces.ranges(),
        };
        let file = written(&core, &pieces);
        let (back, memory) = read(&file).unwrap();
        assert_eq!(back, core);
        let mut bytes = [0; 9];
        assert_eq!(
            super::super::Contents::read(&memory, 0x1800, &mut bytes).unwrap(),
            9
        );
        assert_eq!(&bytes, b"a stack..");
    }

    #[test]
    fn other_files_are_refused() {
        assert!(matches!(read(b"no ELF"), Err(ReadError::Format(_))));
        let program = std::fs::read("/proc/self/exe").unwrap();
        assert!(matches!(read(&program), Err(ReadError::Foreign)));
    }

    proptest! {
        #[test]
        fn damage_is_answered(damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..40), cut in 0_usize..400) {
            let pieces = Pieces::new([(0x1800, b"a stack..".as_slice())]);
            let core = Core {
                threads: vec![Thread { general: &[1; GeneralRegisters::SIZE], ..Thread::default() }],
                mappings: vec![mapping(0x1000, true, None), mapping(0x3000, false, Some("/a"))],
                kept: pieces.ranges(),
                ..Core::default()
            };
            let mut file = written(&core, &pieces);
            for (place, byte) in damage {
                let place = place.index(file.len());
                file[place] = byte;
            }
            file.truncate(file.len().saturating_sub(cut));
            if let Ok((core, pieces)) = read(&file) {
                let mut out = Vec::new();
                // A damaged size may claim the whole address space: only its first part is looked at.
                let few = Core { kept: Vec::new(), ..core };
                Layout::of(&few).write(&pieces, &mut out).unwrap();
            }
        }
    }
}
