//! `memory.zst`: everything that the capture holds of the process, as a core file (see [`crate::report::core`]),
//! compressed.
//!
//! So the same file serves the report, whose offsets count its decompressed bytes, and every debugger. The first pages of
//! mapped files come from the files: nobody waits while they are read, and no process changes them.

use std::io::{self, Write};
use std::ops::Range;

use super::Format;
use super::copied::join;
use super::host::Host;
use super::process::{self, Stat, bytes};
use crate::capture::maps::{self, Maps};
use crate::capture::{Capture, FaultFacts, ThreadFacts};
use crate::diagnose::ModuleSource;
use crate::report::Report;
use crate::report::core::{Core, Layout, MappedFile, Mapping, Pieces, Process, Thread};
use crate::report::minidump::Minidump;
use crate::sys::Pid;
use crate::sys::regs::GeneralRegisters;

/// The file's name in the report's directory.
pub(super) const FILE: &str = Format::Memory.file_name();
/// zstd's own default: stacks shrink to a tenth at some 500 MB/s.
const LEVEL: i32 = 3;
/// How much is kept of the beginning of a mapped program or library: its headers, and mostly its build id.
const FIRST_PAGE: usize = 4096;
/// How every ELF file begins.
const MAGIC: &[u8] = b"\x7fELF";

/// What of a capture goes into the file, and where it lies there.
pub(super) struct Image<'a> {
    core: Core<'a>,
    pieces: Pieces<'a>,
    layout: Layout,
}

impl<'a> Image<'a> {
    /// Places all memory of a capture, and the first pages of its modules.
    pub(super) fn of(capture: &'a Capture, maps: &Maps, first_pages: &'a FirstPages, host: &Host) -> Self {
        let facts = &capture.facts;
        let stacks = facts.threads.iter().filter_map(|thread| thread.stack);
        let stacks = stacks.map(|stack| (stack.start, stack.data));
        let ranges = facts.memory.iter().map(|range| (range.start, range.data));
        let captured = stacks
            .chain(ranges)
            .flat_map(|(start, data)| capture.shown(start, data));
        let read = first_pages
            .0
            .iter()
            .map(|(start, page)| (*start, page.as_slice()));
        let pieces = Pieces::new(captured.chain(read));
        let core = Core {
            process: process_of(capture),
            threads: threads_of(capture, host),
            auxv: bytes(capture, facts.process.auxv).unwrap_or_default(),
            status: bytes(capture, facts.process.status).unwrap_or_default(),
            mappings: maps.iter().map(mapping).collect(),
            kept: pieces.ranges(),
        };
        Self {
            layout: Layout::of(&core),
            core,
            pieces,
        }
    }

    /// A core that holds other memory as well: ranges by address that do not overlap.
    pub(super) fn layout_with(&self, ranges: Vec<Range<u64>>) -> Layout {
        let mut kept = self.core.kept.clone();
        kept.extend(ranges);
        kept.sort_by_key(|range| range.start);
        join(&mut kept, 0);
        Layout::of(&Core {
            kept,
            ..self.core.clone()
        })
    }

    /// Where things lie in the decompressed file.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The memory.
    pub(super) fn pieces(&self) -> &Pieces<'a> {
        &self.pieces
    }

    /// The same as a minidump of that report.
    pub(super) fn minidump(&self, report: &Report) -> Minidump {
        Minidump::of(report, &self.core)
    }

    /// Writes the file.
    pub(super) fn write(&self, out: impl Write) -> io::Result<()> {
        let mut encoder = zstd::Encoder::new(out, LEVEL)?;
        encoder.include_checksum(true)?;
        self.layout.write(&self.pieces, &mut encoder)?;
        encoder.finish()?.flush()
    }
}

/// The beginnings of a process's program and libraries, by the addresses where they are mapped.
#[derive(Debug)]
pub(super) struct FirstPages(Vec<(u64, Vec<u8>)>);

impl FirstPages {
    /// Reads them from the files.
    pub(super) fn read(capture: &Capture, maps: &Maps, modules: &dyn ModuleSource) -> Self {
        let mut pages = Vec::new();
        for (place, module) in capture.facts.modules.iter().enumerate() {
            let file = (module.device, module.inode);
            let is_first = |mapping: &&maps::Mapping| {
                (mapping.device, mapping.inode) == file && mapping.offset == 0 && mapping.readable
            };
            let Some(first) = maps.iter().find(is_first) else {
                continue;
            };
            if let Ok(page) = first_page(modules, place)
                && page.starts_with(MAGIC)
            {
                pages.push((first.low, page));
            }
        }
        Self(pages)
    }
}

fn first_page(modules: &dyn ModuleSource, module: usize) -> io::Result<Vec<u8>> {
    // Refuses what is no regular file.
    modules.size(module)?;
    let mut page = vec![0; FIRST_PAGE];
    let size = modules.read_at(module, 0, &mut page)?;
    page.truncate(size);
    Ok(page)
}

fn mapping(mapping: &maps::Mapping) -> Mapping {
    let file = mapping.name.starts_with('/').then(|| MappedFile {
        // The one character that the kernel escapes in these lines (fs/proc/task_mmu.c).
        path: mapping.name.replace("\\012", "\n"),
        offset: mapping.offset,
    });
    Mapping {
        low: mapping.low,
        high: mapping.high,
        readable: mapping.readable,
        writable: mapping.writable,
        executable: mapping.executable,
        file,
    }
}

fn process_of(capture: &Capture) -> Process<'_> {
    let facts = &capture.facts.process;
    let stat = bytes(capture, facts.stat)
        .and_then(Stat::parse)
        .unwrap_or_default();
    let status = process::status(capture);
    Process {
        pid: Pid(facts.pid),
        parent: Pid(stat.ppid),
        group: Pid(stat.group),
        session: Pid(stat.session),
        uid: status.as_ref().map_or(0, |status| status.ruid),
        gid: status.as_ref().map_or(0, |status| status.rgid),
        nice: stat.nice,
        flags: stat.flags,
        name: status.map(|status| status.name).unwrap_or_default(),
        arguments: bytes(capture, facts.cmdline).unwrap_or_default(),
    }
}

/// The threads whose registers are those of this architecture: no core file could describe the others.
fn threads_of<'a>(capture: &'a Capture, host: &Host) -> Vec<Thread<'a>> {
    let fault = capture.facts.fault.as_ref();
    let faulting = fault.map(|fault| fault.tid);
    let mut threads: Vec<&ThreadFacts> = capture.facts.threads.iter().collect();
    // Debuggers take the first for the current one.
    threads.sort_by_key(|thread| Some(thread.tid) != faulting);
    let threads = threads.into_iter().filter_map(|thread| {
        let general = bytes(capture, thread.general)?;
        let stat = bytes(capture, thread.stat)
            .and_then(Stat::parse)
            .unwrap_or_default();
        let took = |fault: &&FaultFacts| fault.tid == thread.tid;
        (general.len() == GeneralRegisters::SIZE).then(|| Thread {
            tid: thread.tid,
            signal: fault
                .filter(took)
                .map(|fault| (fault.signal, bytes(capture, fault.siginfo).unwrap_or_default())),
            user_us: host.ticks_us(stat.user_ticks).unwrap_or(0),
            system_us: host.ticks_us(stat.system_ticks).unwrap_or(0),
            general,
            fp: bytes(capture, thread.fp).unwrap_or_default(),
            extended: bytes(capture, thread.extended).unwrap_or_default(),
        })
    });
    threads.collect()
}
