//! What [`crate::diagnose`] reads of a thread in place: its memory, and the files of its process as they were opened.

use std::cell::RefCell;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::capture::ModuleFiles;
use crate::diagnose::unwind::MemorySource;
use crate::diagnose::{FileVersion, ModuleSource};
use crate::sys::memory::{Memory, PAGE};

/// Pages that are remembered: a walk reads words of few, over and over.
const MAX_PAGES: usize = 64;

/// The memory of a stopped thread, read a page at a time. It is good for one look: other threads may write to it.
#[derive(Debug)]
pub(super) struct Live {
    memory: Memory,
    /// By address, those that were read last behind.
    pages: RefCell<Vec<(u64, Vec<u8>)>>,
}

impl Live {
    pub(super) fn new(memory: Memory) -> Self {
        Self {
            memory,
            pages: RefCell::default(),
        }
    }

    /// The same as it is now.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    fn read(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        let start = address & !(PAGE - 1);
        let mut pages = self.pages.borrow_mut();
        if !pages.iter().any(|(of, _)| *of == start) {
            if pages.len() == MAX_PAGES {
                pages.remove(0);
            }
            pages.push((start, self.memory.read_span(start, PAGE as usize)));
        }
        let (_, page) = pages.iter().rev().find(|(of, _)| *of == start)?;
        let at = (address - start) as usize;
        buffer.copy_from_slice(page.get(at..at + buffer.len())?);
        Some(())
    }
}

/// Module files, as they were opened or are when they are asked for.
pub(super) struct Files<'a>(pub(super) &'a ModuleFiles);

impl MemorySource for Live {
    fn word(&self, address: u64, size: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        let bytes = bytes.get_mut(..size)?;
        let in_page = (PAGE - address % PAGE) as usize;
        if size <= in_page {
            self.read(address, bytes)?;
        } else {
            let (low, high) = bytes.split_at_mut(in_page);
            self.read(address, low)?;
            self.read(address.checked_add(low.len() as u64)?, high)?;
        }
        let word = bytes.iter().rev();
        Some(word.fold(0, |word, byte| word << 8 | u64::from(*byte)))
    }
}

impl ModuleSource for Files<'_> {
    fn size(&self, module: usize) -> io::Result<u64> {
        Ok(self.0.file(module)?.metadata()?.len())
    }

    fn read_at(&self, module: usize, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.file(module)?.read_at(buffer, offset)
    }

    fn version(&self, module: usize) -> Option<FileVersion> {
        let metadata = self.0.metadata(module).ok()?;
        Some(FileVersion {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}
