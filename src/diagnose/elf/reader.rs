//! A module's file as a source of bytes for the ELF parser, with bounds.

use std::io::{self, Read, Seek, SeekFrom};

use object::read::{ReadCache, ReadRef};

use crate::diagnose::ModuleSource;

/// The largest piece that is read at once, bytes: the string table of a very large program.
pub(super) const MAX_PIECE: u64 = 64 << 20;
/// The most that is read of one file, bytes.
const MAX_READ: u64 = 256 << 20;

/// Refuses large pieces before memory is set aside for them.
#[derive(Clone, Copy)]
pub(super) struct Bounded<'c, 'a>(pub(super) &'c ReadCache<ModuleReader<'a>>);

impl<'c> ReadRef<'c> for Bounded<'c, '_> {
    fn len(self) -> Result<u64, ()> {
        self.0.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'c [u8], ()> {
        if size > MAX_PIECE {
            return Err(());
        }
        self.0.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: std::ops::Range<u64>, delimiter: u8) -> Result<&'c [u8], ()> {
        self.0.read_bytes_at_until(range, delimiter)
    }
}

/// A module's file as a stream.
pub(super) struct ModuleReader<'a> {
    source: &'a dyn ModuleSource,
    module: usize,
    size: u64,
    position: u64,
    left: u64,
}

impl<'a> ModuleReader<'a> {
    /// Reads that module's file from its start.
    pub(super) fn new(source: &'a dyn ModuleSource, module: usize) -> io::Result<Self> {
        Ok(Self {
            source,
            module,
            size: source.size(module)?,
            position: 0,
            left: MAX_READ,
        })
    }
}

impl Read for ModuleReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(buffer.len() as u64)
            .ok_or_else(|| io::Error::other("more would have to be read than is reasonable"))?;
        let read = self.source.read_at(self.module, self.position, buffer)?;
        self.position = self.position.saturating_add(read as u64);
        Ok(read)
    }
}

impl Seek for ModuleReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.size.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
