//! Functions, files and lines, from DWARF.

use addr2line::Context;
use gimli::{Dwarf, EndianSlice, LittleEndian, Section as _, SectionId};

use super::scopes::Scopes;
use super::{Place, Sections};
use crate::diagnose::demangled;
use crate::diagnose::{ElfError, Image};

/// The longest path of a source file that is repeated, bytes.
const MAX_PATH: usize = 4 << 10;
/// Functions that are inlined into each other at one address.
const MAX_INLINED: usize = 64;

/// How sections are read.
pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// The line information of one file.
pub(super) struct Lines<'a> {
    context: Context<Slice<'a>>,
    scopes: Scopes,
    /// Bytes that were read for it.
    pub(super) size: usize,
}

/// Why there are no lines.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinesError {
    #[error(transparent)]
    Elf(#[from] ElfError),
    #[error("failed to parse its debug information: {0}")]
    Dwarf(#[from] gimli::Error),
    #[error("its debug information is larger than is read")]
    TooLarge,
}

impl<'a> Lines<'a> {
    /// Reads the debug information of a file, at most `budget` bytes; none where the file has none. What it shares
    /// with other files is in `shared` (`.gnu_debugaltlink`).
    pub(super) fn read(
        image: &Image<'_>,
        shared: Option<&Image<'_>>,
        sections: &'a Sections,
        budget: usize,
    ) -> Result<Option<Self>, LinesError> {
        let mut loader = Loader {
            sections,
            left: budget,
        };
        let mut dwarf = Dwarf::load(|id| loader.load(image, id))?;
        if dwarf.debug_info.reader().is_empty() {
            return Ok(None);
        }
        if let Some(shared) = shared {
            dwarf.load_sup(|id| loader.load(shared, id))?;
        }
        Ok(Some(Self {
            context: Context::from_dwarf(dwarf)?,
            scopes: Scopes::default(),
            size: budget - loader.left,
        }))
    }

    /// What is at an address in the file's own numbering, innermost inlined function first.
    pub(super) fn at(&self, address: u64) -> Vec<Place> {
        let Ok(mut frames) = self.context.find_frames(address).skip_all_loads() else {
            return Vec::new();
        };
        let mut places = Vec::new();
        while let (Ok(Some(frame)), true) = (frames.next(), places.len() < MAX_INLINED) {
            let file = frame.location.as_ref().and_then(|location| location.file);
            let line = frame.location.as_ref().and_then(|location| location.line);
            places.push(Place {
                function: self.name(&frame, address),
                offset: None,
                file: file.filter(|path| path.len() <= MAX_PATH).map(str::to_owned),
                line: line.filter(|line| *line > 0),
            });
        }
        places
    }

    fn name(&self, frame: &addr2line::Frame<'_, Slice<'a>>, address: u64) -> Option<String> {
        let name = frame.function.as_ref()?.raw_name().ok()?;
        let demangled = demangled(name.as_bytes());
        let is_whole = demangled != name || is_c(frame.function.as_ref()?.language);
        let Some(offset) = frame.dw_die_offset.filter(|_| !is_whole) else {
            return Some(demangled);
        };
        let unit = self.context.find_dwarf_and_unit(address).skip_all_loads();
        let prefix = unit
            .map(|unit| self.scopes.prefix(unit, offset))
            .unwrap_or_default();
        Some(prefix + &demangled)
    }
}

/// Whether a language has neither namespaces nor classes. Assembly has no language code of its own everywhere, and no
/// inlined functions either.
fn is_c(language: Option<gimli::DwLang>) -> bool {
    matches!(
        language,
        None | Some(
            gimli::DW_LANG_C89
                | gimli::DW_LANG_C
                | gimli::DW_LANG_C99
                | gimli::DW_LANG_C11
                | gimli::DW_LANG_C17
        )
    )
}

/// Reads sections as long as the budget lasts.
struct Loader<'a> {
    sections: &'a Sections,
    left: usize,
}

impl<'a> Loader<'a> {
    fn load(&mut self, image: &Image<'_>, id: SectionId) -> Result<Slice<'a>, LinesError> {
        // Where variables are is not asked.
        let is_used = !matches!(
            id,
            SectionId::DebugLoc | SectionId::DebugLocLists | SectionId::DebugMacinfo | SectionId::DebugMacro
        );
        let section = if is_used {
            image.section(id.name(), self.left as u64)?
        } else {
            None
        };
        let bytes = section.map(|section| section.bytes).unwrap_or_default();
        self.left = self.left.checked_sub(bytes.len()).ok_or(LinesError::TooLarge)?;
        Ok(EndianSlice::new(self.sections.keep(bytes), LittleEndian))
    }
}
