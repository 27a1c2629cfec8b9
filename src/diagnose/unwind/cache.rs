//! Unwind tables of files that were met before, by build id.

use std::collections::HashMap;
use std::rc::Rc;

use super::tables::Tables;
use crate::diagnose::{ElfError, FileVersion, Image, ModuleSource};

/// The most that is kept, bytes of tables.
const MAX_KEPT: usize = 256 << 20;
/// How many versions of files are remembered.
const MAX_VERSIONS: usize = 1024;

/// Parsed unwind tables, kept by build id. A file without one is read anew for each incident: nothing tells whether
/// it is still the same.
#[derive(Debug, Default)]
pub struct TableCache {
    by_build_id: HashMap<Vec<u8>, Rc<Tables>>,
    /// The same of files whose build id was read before, so that it need not be read again.
    by_version: HashMap<FileVersion, Rc<Tables>>,
    kept: usize,
}

impl TableCache {
    /// The tables of a module's file (it counts [`Facts::modules`](crate::capture::Facts::modules)).
    pub fn tables(&mut self, source: &dyn ModuleSource, module: usize) -> Result<Rc<Tables>, ElfError> {
        let version = source.version(module);
        if let Some(known) = version.and_then(|version| self.by_version.get(&version)) {
            return Ok(Rc::clone(known));
        }
        let image = Image::open(source, module)?;
        let Some(build_id) = image.build_id()? else {
            return Ok(Rc::new(Tables::read(&image)?));
        };
        if !self.by_build_id.contains_key(&build_id) {
            let tables = Tables::read(&image)?;
            if self.kept.saturating_add(tables.size()) > MAX_KEPT {
                return Ok(Rc::new(tables));
            }
            self.kept += tables.size();
            self.by_build_id.insert(build_id.clone(), Rc::new(tables));
        }
        let tables = Rc::clone(&self.by_build_id[&build_id]);
        if let Some(version) = version {
            if self.by_version.len() == MAX_VERSIONS {
                self.by_version.clear();
            }
            self.by_version.insert(version, Rc::clone(&tables));
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
