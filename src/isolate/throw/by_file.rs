//! What is remembered of files.

use std::collections::HashMap;

use crate::capture::ModuleFile;

/// How many files are remembered.
const MAX_FILES: usize = 256;

/// Something of each file that was met, by its device and inode.
#[derive(Debug)]
pub(super) struct ByFile<T>(HashMap<((u32, u32), u64), T>);

impl<T> Default for ByFile<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone> ByFile<T> {
    /// What is known of a module's file; it is read where nothing is.
    pub(super) fn of(&mut self, module: &ModuleFile, read: impl FnOnce() -> T) -> T {
        let key = (module.device, module.inode);
        if let Some(known) = self.0.get(&key) {
            return known.clone();
        }
        let known = read();
        // A file that could not be opened may be open the next time.
        if module.descriptor.is_none() {
            return known;
        }
        if self.0.len() >= MAX_FILES {
            self.0.clear();
        }
        self.0.insert(key, known.clone());
        known
    }
}
