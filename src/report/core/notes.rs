//! The notes of a core file: `struct elf_prstatus`, `struct elf_prpsinfo` and their kin (linux/elfcore.h, elf(5)).

use object::LittleEndian as Le;
use object::elf::{self, NoteHeader64, NoteType};
use object::endian::U32;
use object::pod::bytes_of;

use super::extended::known_layout;
use super::{Core, Mapping, Process, Thread};
use crate::sys::regs::{EXTENDED_SET, MACHINE};
use crate::sys::signal::SigInfo;

/// Alignment of names and contents, bytes.
pub(super) const ALIGN: usize = 4;
/// Room for the process's name in `struct elf_prpsinfo`.
pub(super) const NAME: usize = 16;
/// Room for its arguments.
pub(super) const ARGUMENTS: usize = 80;
/// In what `NT_FILE` counts offsets, bytes.
pub(super) const FILE_UNIT: u64 = 4096;
/// The owner of notes that are ours alone, and the type of the one that holds `/proc/PID/status`. gdb takes the notes of
/// owners that it does not know for the kernel's, so the type is none of the kernel's either.
pub(super) const STATUS_OWNER: &[u8] = b"SICKBAY";
pub(super) const STATUS: NoteType = NoteType(0x5342_0001);
/// Bytes of `NT_FILE` at most: gdb and the kernel stop at 4 MiB too (fs/binfmt_elf.c, `MAX_FILE_NOTE_SIZE`).
const MAX_FILES: usize = 4 << 20;

/// All notes, in the kernel's order.
pub(super) fn encode(core: &Core<'_>) -> Vec<u8> {
    let mut notes = Notes::default();
    for (place, thread) in core.threads.iter().enumerate() {
        notes.core(elf::NT_PRSTATUS, &status(&core.process, thread));
        let siginfo = thread
            .signal
            .map_or([0; SigInfo::SIZE].as_slice(), |(_, info)| info);
        if place == 0 {
            notes.core(elf::NT_PRPSINFO, &process(&core.process));
            notes.core(elf::NT_SIGINFO, siginfo);
            notes.of_process(core);
        } else {
            notes.core(elf::NT_SIGINFO, siginfo);
        }
        if !thread.fp.is_empty() {
            notes.core(elf::NT_PRFPREG, thread.fp);
        }
        if let Some(kind) = EXTENDED_SET.filter(|_| !thread.extended.is_empty()) {
            let extended = match MACHINE {
                "x86_64" => known_layout(thread.extended),
                _ => thread.extended.into(),
            };
            notes.push(elf::ELF_NOTE_LINUX, NoteType(kind as u32), &extended);
        }
    }
    if core.threads.is_empty() {
        notes.core(elf::NT_PRPSINFO, &process(&core.process));
        notes.of_process(core);
    }
    notes.0
}

#[derive(Default)]
struct Notes(Vec<u8>);

impl Notes {
    fn of_process(&mut self, core: &Core<'_>) {
        self.core(elf::NT_AUXV, core.auxv);
        self.core(elf::NT_FILE, &files(&core.mappings));
        if !core.status.is_empty() {
            self.push(STATUS_OWNER, STATUS, core.status);
        }
    }

    fn core(&mut self, kind: NoteType, content: &[u8]) {
        self.push(elf::ELF_NOTE_CORE, kind, content);
    }

    fn push(&mut self, name: &[u8], kind: NoteType, content: &[u8]) {
        let header = NoteHeader64 {
            n_namesz: U32::new(Le, name.len() as u32 + 1),
            n_descsz: U32::new(Le, content.len() as u32),
            n_type: U32::new(Le, kind),
        };
        self.0.extend_from_slice(bytes_of(&header));
        self.0.extend_from_slice(name);
        self.0.push(0);
        self.pad();
        self.0.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(ALIGN), 0);
    }
}

/// `struct elf_prstatus`.
fn status(process: &Process<'_>, thread: &Thread<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + thread.general.len());
    let info = thread.signal.and_then(|(_, info)| SigInfo::from_bytes(info));
    let signal = thread.signal.map_or(0, |(signal, _)| signal.0);
    let code = info.map_or(0, |info| info.code());
    // pr_info (signal, code, errno), then pr_cursig: the kernel repeats the signal there in every thread, which makes
    // debuggers blame them all.
    for field in [signal, code, 0, signal] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    // Pending and blocked signals are not captured.
    out.extend_from_slice(&[0; 16]);
    for id in [thread.tid.0, process.parent.0, process.group.0, process.session.0] {
        out.extend_from_slice(&id.to_le_bytes());
    }
    for us in [thread.user_us, thread.system_us, 0, 0] {
        out.extend_from_slice(&(us / 1_000_000).to_le_bytes());
        out.extend_from_slice(&(us % 1_000_000).to_le_bytes());
    }
    out.extend_from_slice(thread.general);
    out.extend_from_slice(&u64::from(!thread.fp.is_empty()).to_le_bytes());
    out
}

/// `struct elf_prpsinfo`.
fn process(process: &Process<'_>) -> Vec<u8> {
    // Running: state 0, 'R'; no zombie.
    let mut out = vec![0, b'R', 0, process.nice as u8, 0, 0, 0, 0];
    out.extend_from_slice(&process.flags.to_le_bytes());
    for id in [process.uid, process.gid] {
        out.extend_from_slice(&id.to_le_bytes());
    }
    for id in [process.pid, process.parent, process.group, process.session] {
        out.extend_from_slice(&id.0.to_le_bytes());
    }
    let mut text = |bytes: &[u8], room: usize| {
        let end = out.len() + room;
        out.extend_from_slice(&bytes[..bytes.len().min(room - 1)]);
        out.resize(end, 0);
    };
    text(process.name.as_bytes(), NAME);
    let arguments = process.arguments.strip_suffix(b"\0").unwrap_or(process.arguments);
    let arguments: Vec<u8> = arguments
        .iter()
        .map(|byte| if *byte == 0 { b' ' } else { *byte })
        .collect();
    text(&arguments, ARGUMENTS);
    out
}

/// `NT_FILE`: how many mappings of files, the unit of offsets, then bounds and offset of each, then the paths.
fn files(mappings: &[Mapping]) -> Vec<u8> {
    let mut table = Vec::new();
    let mut names = Vec::new();
    let mut count = 0_u64;
    for mapping in mappings {
        let Some(file) = &mapping.file else { continue };
        if table.len() + names.len() + file.path.len() > MAX_FILES {
            break;
        }
        for word in [mapping.low, mapping.high, file.offset / FILE_UNIT] {
            table.extend_from_slice(&word.to_le_bytes());
        }
        names.extend_from_slice(file.path.as_bytes());
        names.push(0);
        count += 1;
    }
    let mut out = Vec::with_capacity(16 + table.len() + names.len());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&FILE_UNIT.to_le_bytes());
    out.append(&mut table);
    out.append(&mut names);
    out
}
