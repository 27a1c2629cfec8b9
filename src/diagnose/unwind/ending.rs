//! Functions that nothing calls: where processes and threads begin.
//!
//! C libraries mark most of them in their unwind tables (an undefined return address). This is for those that are
//! written in assembly without tables, or without the mark.

use std::ops::Range;

use crate::diagnose::{Image, ModuleSource};

/// Their names: of C libraries and dynamic linkers, of Go's runtime.
const NAMES: [&str; 14] = [
    "_start",
    "_dl_start_user",
    "_dlstart",
    "clone",
    "__clone",
    "clone3",
    "__clone3",
    "runtime.goexit",
    "runtime.goexit.abi0",
    "runtime.rt0_go",
    "runtime.rt0_go.abi0",
    "runtime.mstart",
    "runtime.clone",
    "runtime.clone.abi0",
];
/// How long a function is taken to be that does not say, bytes.
const UNSIZED: u64 = 64;

/// Where such functions lie in one file, in its own numbering.
#[derive(Debug, Default)]
pub(super) struct Beginnings(Vec<Range<u64>>);

impl Beginnings {
    /// Reads the symbols of a module's file; without any there are none.
    pub(super) fn read(source: &dyn ModuleSource, module: usize) -> Self {
        let mut found = Vec::new();
        if let Ok(image) = Image::open(source, module) {
            // A file whose symbols cannot be read has none to offer.
            let _ = image.for_each_function(|name, address, size| {
                if NAMES.iter().any(|known| known.as_bytes() == name) {
                    let size = if size == 0 { UNSIZED } else { size };
                    found.push(address..address.saturating_add(size));
                }
            });
        }
        Self(found)
    }

    /// Whether an address lies in one of them.
    pub(super) fn contain(&self, address: u64) -> bool {
        self.0.iter().any(|function| function.contains(&address))
    }
}
