//! Everything that names the addresses of one module.

use super::super::directories::Directories;
use super::debug_file::{DebugFile, embedded};
use super::lines::{Lines, LinesError};
use super::table::SymbolTable;
use super::{Place, Sections};
use crate::diagnose::demangled;
use crate::diagnose::{ElfError, Image, InMemory, ModuleSource};

/// What may be read beside a module's own file.
#[derive(Clone, Copy)]
pub(super) struct Reach<'a, 'd> {
    /// Where debug files are looked for.
    pub(super) directories: Directories<'d>,
    /// What keeps the content of sections.
    pub(super) sections: &'a Sections,
    /// How much debug information may be read, bytes.
    pub(super) budget: usize,
}

/// The symbols and lines of a module; none of either by default.
#[derive(Default)]
pub(super) struct ModuleSymbols<'a> {
    table: SymbolTable,
    lines: Option<Lines<'a>>,
}

impl<'a> ModuleSymbols<'a> {
    /// Reads a module and, as far as `reach` allows, its debug information. `path` is where the process had it.
    pub(super) fn read(
        source: &dyn ModuleSource,
        module: usize,
        path: Option<&str>,
        reach: Option<Reach<'a, '_>>,
    ) -> Result<Self, ElfError> {
        let image = Image::open(source, module)?;
        let mut symbols = Self::default();
        let added = symbols.table.add(&image);
        if let Some(reach) = reach {
            match lines_of(&image, reach) {
                Ok(Some(lines)) => symbols.lines = Some(lines),
                // Debug information that is damaged is no reason to do without names.
                Ok(None) | Err(_) => symbols.add_separate(&image, path, reach),
            }
        }
        if symbols.table.is_empty() {
            added?;
        }
        Ok(symbols)
    }

    /// What is at an address in the module's own numbering, innermost inlined function first.
    pub(super) fn at(&self, address: u64) -> Vec<Place> {
        let mut places = self
            .lines
            .as_ref()
            .map(|lines| lines.at(address))
            .unwrap_or_default();
        let symbol = self.table.find(address);
        if places.is_empty() && symbol.is_some() {
            places.push(Place::default());
        }
        if let (Some(outermost), Some((name, offset))) = (places.last_mut(), symbol) {
            outermost.offset = Some(offset);
            outermost.function.get_or_insert_with(|| demangled(name));
        }
        places
    }

    /// Memory that they take, bytes.
    pub(super) fn size(&self) -> usize {
        self.table.size() + self.lines.as_ref().map_or(0, |lines| lines.size)
    }

    fn add_separate(&mut self, image: &Image<'_>, path: Option<&str>, reach: Reach<'a, '_>) {
        if let Some(file) = DebugFile::of(image, path, reach.directories)
            && let Ok(image) = Image::open(&file, 0)
        {
            // Of a damaged debug file what can be read is taken.
            let _ = self.table.add(&image);
            self.lines = lines_of(&image, reach).ok().flatten();
        }
        if self.lines.is_none()
            && let Some(bytes) = embedded(image, reach.sections)
            && let Ok(image) = Image::open(&InMemory(bytes), 0)
        {
            let _ = self.table.add(&image);
        }
    }
}

fn lines_of<'a>(image: &Image<'_>, reach: Reach<'a, '_>) -> Result<Option<Lines<'a>>, LinesError> {
    let shared = DebugFile::shared_with(image, reach.directories);
    let shared = shared.as_ref().and_then(|file| Image::open(file, 0).ok());
    Lines::read(image, shared.as_ref(), reach.sections, reach.budget)
}
