//! What is remembered of files.

use std::collections::HashMap;

use crate::diagnose::{FileVersion, Image};

use super::Program;

/// How much is remembered: of more files than are listed of one process.
const MAX_REMEMBERED: usize = 4096;

/// A file, and a place in it.
type Place = (FileVersion, u64);

/// Something of each file that was met; of some that they do not have it.
#[derive(Debug)]
pub(super) struct ByFile<T>(HashMap<Place, Option<T>>);

impl<T> Default for ByFile<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone> ByFile<T> {
    /// Takes up what another one remembers.
    pub(super) fn take_up(&mut self, other: Self) {
        if self.0.len() + other.0.len() > MAX_REMEMBERED {
            self.0.clear();
        }
        self.0.extend(other.0);
    }

    /// What a module's file has. Where nothing is known of it, it is read: with the address in its own numbering that
    /// [`ModuleFile::low`](crate::capture::ModuleFile::low) stands for.
    pub(super) fn of(
        &mut self,
        program: &Program<'_>,
        module: usize,
        read: impl FnOnce(&Image<'_>, u64) -> Option<T>,
    ) -> Option<T> {
        self.at(program, module, 0, read)
    }

    /// The same of a place in it, at a distance from its first mapped byte.
    pub(super) fn at(
        &mut self,
        program: &Program<'_>,
        module: usize,
        distance: u64,
        read: impl FnOnce(&Image<'_>, u64) -> Option<T>,
    ) -> Option<T> {
        let place = (program.source.version(module)?, distance);
        if let Some(known) = self.0.get(&place) {
            return known.clone();
        }
        // A file that cannot be opened may be open the next time.
        let file = program.modules.get(module)?;
        let image = Image::open(program.source, module).ok()?;
        let first = image.address_of_offset(file.offset).ok()??;
        let known = read(&image, first);
        if self.0.len() >= MAX_REMEMBERED {
            self.0.clear();
        }
        self.0.insert(place, known.clone());
        known
    }
}
