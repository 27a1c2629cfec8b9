//! What [`crate::diagnose`] reads of a thread in place: its memory, and the files of its process as they were opened.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use crate::capture::Capture;
use crate::diagnose::unwind::{MemorySource, OuterFrames, TableCache, Unwinder};
use crate::diagnose::{AddressSpace, ModuleSource};
use crate::sys::memory::Memory;
use crate::sys::ptrace::Stopped;

/// The memory of a stopped thread.
pub(super) struct Live<'a>(pub(super) &'a Memory);

/// The module files of a copy.
pub(super) struct Files<'a> {
    pub(super) capture: &'a Capture,
    pub(super) files: &'a [OwnedFd],
}

impl Files<'_> {
    /// The outer frames of the thread that the copy is of, with their registers.
    ///
    /// # Errors
    ///
    /// It has died.
    pub(super) fn outer_frames(
        &self,
        thread: &Stopped,
        live: &Live<'_>,
        tables: &mut TableCache,
        limit: usize,
    ) -> Result<OuterFrames, String> {
        let registers = thread.registers().map_err(|error| error.to_string())?;
        let space = AddressSpace::of(self.capture);
        let mut unwinder = Unwinder::new(&space, &self.capture.facts.modules, None, self, tables);
        Ok(unwinder.outer_frames(&registers, live, limit))
    }
}

impl MemorySource for Live<'_> {
    fn word(&self, address: u64, size: usize) -> Option<u64> {
        let bytes = self.0.read_span(address, size);
        let word = bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        (bytes.len() == size).then_some(word)
    }
}

impl Files<'_> {
    fn file(&self, module: usize) -> io::Result<std::fs::File> {
        let descriptor = self
            .capture
            .facts
            .modules
            .get(module)
            .and_then(|module| module.descriptor);
        let file = descriptor.and_then(|descriptor| self.files.get(usize::try_from(descriptor).ok()?));
        let file = file.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it could not be opened"))?;
        Ok(std::fs::File::from(file.as_fd().try_clone_to_owned()?))
    }
}

impl ModuleSource for Files<'_> {
    fn size(&self, module: usize) -> io::Result<u64> {
        Ok(self.file(module)?.metadata()?.len())
    }

    fn read_at(&self, module: usize, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file(module)?.read_at(buffer, offset)
    }
}
