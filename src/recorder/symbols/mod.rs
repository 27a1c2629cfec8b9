//! Names and lines for the frames of a report.
//!
//! Everything is read through descriptors, in bounded pieces: module files through those that were opened at the
//! fault (so a file that was replaced, deleted, or that this user may not open has its symbols all the same), debug
//! files through those that are opened here. blazesym was tried in place of this: it opens and maps files by their
//! paths, so a module that is truncated meanwhile kills the recorder with SIGBUS, and a `.gnu_debuglink` that names a
//! FIFO blocks it for ever.
//!
//! | file | subject |
//! |---|---|
//! | `module` | one module: everything that names its addresses |
//! | `debug_file` | where a module's separate debug information is |
//! | `lines` | DWARF: functions, inlined ones included, files and lines |
//! | `scopes` | the namespaces and classes of inlined functions |
//! | `table` | ELF symbol tables |
//! | `perf_map` | names of generated code |

mod debug_file;
mod lines;
mod module;
mod perf_map;
mod scopes;
mod table;

use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use typed_arena::Arena;

use crate::capture::Capture;
use crate::diagnose::unwind::{Frame, FrameModule};
use crate::diagnose::{InMemory, ModuleSource};
use module::{ModuleSymbols, Reach};
use perf_map::PerfMap;

use super::directories::Directories;
use super::process;

/// Different addresses of an incident that are looked up.
const MAX_LOOKUPS: usize = 200_000;
/// Debug information of an incident that is read, bytes.
const MAX_READ: usize = 2 << 30;

/// What is at an address: a function, or one that was inlined there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Place {
    /// The function, demangled.
    pub(super) function: Option<String>,
    /// How far the address lies behind the start of its symbol; none for inlined functions.
    pub(super) offset: Option<u64>,
    /// The source file.
    pub(super) file: Option<String>,
    /// The line in it.
    pub(super) line: Option<u32>,
}

/// The symbols of an incident's modules.
pub(super) struct Symbols<'a> {
    source: &'a dyn ModuleSource,
    capture: &'a Capture,
    vdso: InMemory<'a>,
    directories: Directories<'a>,
    perf_map: Option<PerfMap>,
    sections: &'a Sections,
    modules: HashMap<FrameModule, ModuleSymbols<'a>>,
    known: HashMap<(FrameModule, u64), Rc<[Place]>>,
    missing: Vec<(FrameModule, String)>,
    /// Whether debug information is left alone.
    pub(super) without_lines: bool,
    /// Why generated code has no names, if so.
    pub(super) without_perf_map: Option<String>,
}

/// Holds what is read of debug information while an incident is described.
#[derive(Default)]
pub(super) struct Sections(Arena<Vec<u8>>);

impl Sections {
    /// Keeps the content of a section.
    fn keep(&self, bytes: Vec<u8>) -> &[u8] {
        self.0.alloc(bytes)
    }
}

impl<'a> Symbols<'a> {
    pub(super) fn new(
        capture: &'a Capture,
        source: &'a dyn ModuleSource,
        directories: Directories<'a>,
        sections: &'a Sections,
    ) -> Self {
        Self {
            source,
            capture,
            vdso: InMemory(super::modules::vdso_bytes(capture)),
            directories,
            perf_map: None,
            sections,
            modules: HashMap::new(),
            known: HashMap::new(),
            missing: Vec::new(),
            without_lines: false,
            without_perf_map: None,
        }
    }

    /// The name of generated code at an address of the process, and how far that lies behind its start.
    pub(super) fn generated(&mut self, address: u64) -> Option<(String, u64)> {
        if self.perf_map.is_none() {
            self.perf_map = Some(self.read_perf_map().unwrap_or_default());
        }
        self.perf_map.as_mut()?.find(address)
    }

    /// What is at an address in a module's own numbering, innermost inlined function first.
    pub(super) fn at(&mut self, module: FrameModule, address: u64) -> Rc<[Place]> {
        if let Some(known) = self.known.get(&(module, address)) {
            return Rc::clone(known);
        }
        if self.known.len() >= MAX_LOOKUPS {
            return Rc::default();
        }
        if !self.modules.contains_key(&module) {
            let read = self.read(module);
            self.modules.insert(module, read);
        }
        let places = self.modules.get(&module).map(|symbols| symbols.at(address));
        let places: Rc<[Place]> = places.unwrap_or_default().into();
        self.known.insert((module, address), Rc::clone(&places));
        places
    }

    /// Where the function of a frame starts, in its module's own numbering.
    pub(super) fn start_of(&mut self, frame: &Frame) -> Option<u64> {
        let (module, address) = (frame.module?, lookup(frame)?);
        let offset = self.at(module, address).last()?.offset?;
        address.checked_sub(offset)
    }

    /// What the function of a frame is called; its address where it has no name.
    pub(super) fn name_of(&mut self, frame: &Frame) -> String {
        let places = frame
            .module
            .zip(lookup(frame))
            .map(|(module, address)| self.at(module, address));
        let name = places.and_then(|places| places.last()?.function.clone());
        name.unwrap_or_else(|| format!("{:#x}", frame.pc))
    }

    /// Modules whose symbols could not be read, with the reason.
    pub(super) fn missing(&self) -> &[(FrameModule, String)] {
        &self.missing
    }

    fn read(&mut self, module: FrameModule) -> ModuleSymbols<'a> {
        let read: usize = self.modules.values().map(ModuleSymbols::size).sum();
        let reach = Reach {
            directories: self.directories,
            sections: self.sections,
            budget: MAX_READ.saturating_sub(read),
        };
        let reach = (!self.without_lines).then_some(reach);
        let symbols = match module {
            FrameModule::File(index) => {
                let path = self
                    .capture
                    .facts
                    .modules
                    .get(index)
                    .map(|module| module.path.as_str());
                ModuleSymbols::read(self.source, index, path, reach)
            }
            FrameModule::Vdso => ModuleSymbols::read(&self.vdso, 0, None, reach),
        };
        symbols.unwrap_or_else(|error| {
            self.missing.push((module, error.to_string()));
            ModuleSymbols::default()
        })
    }

    /// The file that the process wrote, named by its id in its own pid namespace; none where there is none.
    fn read_perf_map(&mut self) -> Option<PerfMap> {
        let status = process::status(self.capture)?;
        let pid = status
            .nspid
            .and_then(|ids| ids.last().copied())
            .unwrap_or(status.pid);
        let opened = self.directories.open_in_tmp(&format!("perf-{pid}.map"))?;
        match opened.and_then(|file| PerfMap::read(file, &[status.ruid, status.euid])) {
            Ok(map) => Some(map),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.without_perf_map = Some(format!("perf-{pid}.map: {error}"));
                None
            }
        }
    }
}

/// The address in the module's own numbering that tells which function a frame is in.
fn lookup(frame: &Frame) -> Option<u64> {
    let behind_call = u64::from(!frame.is_interrupted());
    Some(frame.address?.wrapping_sub(behind_call))
}
