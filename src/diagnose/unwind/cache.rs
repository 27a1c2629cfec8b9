//! Unwind tables of files that were met before, by build id.

use std::collections::HashMap;
use std::rc::Rc;

use super::tables::Tables;
use crate::diagnose::{ElfError, Image, ModuleSource};

/// The most that is kept, bytes of tables.
const MAX_KEPT: usize = 256 << 20;

/// Parsed unwind tables, kept by build id. A file without one is read anew for each incident: nothing tells whether
/// it is still the same.
#[derive(Debug, Default)]
pub struct TableCache {
    by_build_id: HashMap<Vec<u8>, Rc<Tables>>,
    kept: usize,
}

impl TableCache {
    /// The tables of a module's file (it counts [`Facts::modules`](crate::capture::Facts::modules)).
    pub fn tables(&mut self, source: &dyn ModuleSource, module: usize) -> Result<Rc<Tables>, ElfError> {
        let image = Image::open(source, module)?;
        let build_id = image.build_id()?;
        if let Some(known) = build_id.as_ref().and_then(|id| self.by_build_id.get(id)) {
            return Ok(Rc::clone(known));
        }
        let tables = Rc::new(Tables::read(&image)?);
        if let Some(id) = build_id
            && self.kept.saturating_add(tables.size()) <= MAX_KEPT
        {
            self.kept += tables.size();
            self.by_build_id.insert(id, Rc::clone(&tables));
        }
        Ok(tables)
    }

    /// How many files' tables are kept.
    pub fn len(&self) -> usize {
        self.by_build_id.len()
    }

    /// Whether none are kept.
    pub fn is_empty(&self) -> bool {
        self.by_build_id.is_empty()
    }
}
