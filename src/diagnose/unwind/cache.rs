//! Unwind tables of files that were met before, by the version of the file.
//!
//! Not by the build id: that is what a file says of itself, and one that says what another does would be unwound by the other's
//! tables.

use std::collections::HashMap;
use std::rc::Rc;

use super::tables::Tables;
use crate::diagnose::{ElfError, FileVersion, Image, ModuleSource};

/// The most that is kept, bytes of tables.
const MAX_KEPT: usize = 256 << 20;
/// How many files are remembered.
const MAX_FILES: usize = 1024;

/// Parsed unwind tables of files. Of a file whose version is not known they are read anew for each incident: nothing tells
/// whether it is still the same.
#[derive(Debug, Default)]
pub struct TableCache {
    of_files: HashMap<FileVersion, Rc<Tables>>,
    kept: usize,
}

impl TableCache {
    /// The tables of a module's file (it counts [`Facts::modules`](crate::capture::Facts::modules)).
    pub fn tables(&mut self, source: &dyn ModuleSource, module: usize) -> Result<Rc<Tables>, ElfError> {
        let version = source.version(module);
        if let Some(known) = version.and_then(|version| self.of_files.get(&version)) {
            return Ok(Rc::clone(known));
        }
        let tables = Rc::new(Tables::read(&Image::open(source, module)?)?);
        if let Some(version) = version {
            self.keep(version, Rc::clone(&tables));
        }
        Ok(tables)
    }

    /// Remembers the tables of a file.
    pub fn keep(&mut self, version: FileVersion, tables: Rc<Tables>) {
        let size = tables.size();
        if size > MAX_KEPT {
            return;
        }
        if self.kept + size > MAX_KEPT || self.of_files.len() >= MAX_FILES {
            self.of_files.clear();
            self.kept = 0;
        }
        self.kept += size;
        let replaced = self.of_files.insert(version, tables);
        self.kept -= replaced.map_or(0, |tables| tables.size());
    }

    /// The files whose tables are kept.
    pub fn known(&self) -> impl Iterator<Item = FileVersion> {
        self.of_files.keys().copied()
    }
}
