//! The core file of a report: the one that was asked for, or else what every report holds of the memory.

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use super::{Id, Store, StoreError};
use crate::report::Report;
use crate::report::core::{self, ReadError};
use crate::report::minidump::{self, Minidump};

/// The kinds of attachments that are core files, as a report calls them: what was asked for, and what is always there.
const ASKED_FOR: &str = "core";
const ALWAYS: &str = "memory";
/// How much of a core is read for a minidump, bytes: the memory that one can hold, and room for the rest.
const MAX_CORE: u64 = minidump::MAX_MEMORY + (256 << 20);
/// How every ELF file begins.
const MAGIC: &[u8; 4] = b"\x7fELF";

/// An open core file, compressed with zstd as it lies in the store.
#[derive(Debug)]
pub struct StoredCore(File);

/// Why a report has no core.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// It holds no memory.
    #[error("report {0} holds no memory: its process was gone before it could be looked at")]
    Absent(Id),
    /// What it holds is no core file.
    #[error("the {1} of report {0} is no core file")]
    Foreign(Id, String),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is damaged.
    #[error("the core cannot be read: {0}")]
    Damaged(#[from] ReadError),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl StoredCore {
    /// Opens the largest core of a report.
    pub fn open(store: &Store, id: &Id) -> Result<Self, CoreError> {
        Self::open_first_of([ASKED_FOR, ALWAYS], store, id)
    }

    /// Opens the smallest core of a report.
    pub fn open_small(store: &Store, id: &Id) -> Result<Self, CoreError> {
        Self::open_first_of([ALWAYS, ASKED_FOR], store, id)
    }

    fn open_first_of(kinds: [&str; 2], store: &Store, id: &Id) -> Result<Self, CoreError> {
        let report = store.load(id)?;
        let attachment = kinds.iter().find_map(|kind| {
            let mut attachments = report.attachments.iter();
            attachments.find(|attachment| attachment.kind == *kind)
        });
        let Some(attachment) = attachment else {
            return Err(CoreError::Absent(id.clone()));
        };
        let mut file = store.open_file(id, &attachment.file)?;
        let mut magic = [0; MAGIC.len()];
        let begins = zstd::Decoder::new(&file)?.read_exact(&mut magic);
        if begins.is_err() || magic != *MAGIC {
            return Err(CoreError::Foreign(id.clone(), attachment.file.clone()));
        }
        file.rewind()?;
        Ok(Self(file))
    }

    /// Writes it as the ELF file that it is.
    pub fn copy(self, out: &mut impl Write) -> io::Result<u64> {
        io::copy(&mut zstd::Decoder::new(self.0)?, out)
    }

    /// Writes what it holds as a minidump of its report.
    pub fn write_minidump(self, report: &Report, out: &mut impl Write) -> Result<(), CoreError> {
        let mut file = Vec::new();
        zstd::Decoder::new(self.0)?
            .take(MAX_CORE)
            .read_to_end(&mut file)?;
        let (core, memory) = core::read(&file)?;
        Minidump::of(report, &core).write(&memory, out)?;
        Ok(())
    }

    /// Writes it as it is in the store, compressed.
    pub fn copy_compressed(mut self, out: &mut impl Write) -> io::Result<u64> {
        io::copy(&mut self.0, out)
    }
}
