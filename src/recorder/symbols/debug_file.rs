//! Where a module's separate debug information is.
//!
//! By build id below the debug directories; by `.gnu_debuglink`, a file name and a checksum, beside the module and
//! below those directories (gdb, "Debugging Information in Separate Files"). A file counts only if its build id or
//! checksum is the module's, and only if it is a regular file: whoever wrote the module chose the name.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::super::directories::Directories;
use super::Sections;
use crate::diagnose::{Image, ModuleSource};

/// Where distributions install debug files.
const DIRECTORIES: [&str; 1] = ["/usr/lib/debug"];
/// The longest `.gnu_debuglink`, `.gnu_debugaltlink` that is read, bytes.
const MAX_LINK: u64 = 8 << 10;
/// The largest file whose checksum is computed, bytes.
const MAX_SUMMED: u64 = 2 << 30;
/// Bytes of a file that are summed at once.
const PIECE: usize = 1 << 20;

/// A debug file.
#[derive(Debug)]
pub(super) struct DebugFile(File);

impl ModuleSource for DebugFile {
    fn size(&self, _module: usize) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, _module: usize, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
}

impl DebugFile {
    /// Opens the debug file of a module; `path` is the module's.
    pub(super) fn of(image: &Image<'_>, path: Option<&str>, directories: Directories<'_>) -> Option<Self> {
        let build_id = image.build_id().ok().flatten();
        if let Some(found) = build_id
            .as_deref()
            .and_then(|id| Self::by_build_id(id, directories))
        {
            return Some(found);
        }
        let link = Link::read(image)?;
        link.places(Path::new(path?)).iter().find_map(|place| {
            let file = Self(directories.open(place).ok()?);
            file.is_of(build_id.as_deref(), link.checksum).then_some(file)
        })
    }

    /// Opens the file that a debug file shares information with (`.gnu_debugaltlink`, written by dwz(1)).
    pub(super) fn shared_with(image: &Image<'_>, directories: Directories<'_>) -> Option<Self> {
        let section = image.section(".gnu_debugaltlink", MAX_LINK).ok()??.bytes;
        let end = section.iter().position(|byte| *byte == 0)?;
        let build_id = section.get(end + 1..)?;
        if let Some(found) = Self::by_build_id(build_id, directories) {
            return Some(found);
        }
        let name = Path::new(std::str::from_utf8(section.get(..end)?).ok()?);
        let is_known = DIRECTORIES.iter().any(|directory| name.starts_with(directory));
        let file = is_known.then(|| directories.open(name).ok())??;
        Some(Self(file)).filter(|file| file.has_build_id(build_id))
    }

    fn by_build_id(build_id: &[u8], directories: Directories<'_>) -> Option<Self> {
        let (first, rest) = build_id.split_first().filter(|(_, rest)| !rest.is_empty())?;
        let name = format!(".build-id/{first:02x}/{}.debug", hex::encode(rest));
        DIRECTORIES.iter().find_map(|directory| {
            let file = Self(directories.open(&Path::new(directory).join(&name)).ok()?);
            file.has_build_id(build_id).then_some(file)
        })
    }

    /// Whether this is the debug file of a module with that build id, or else that checksum.
    fn is_of(&self, build_id: Option<&[u8]>, checksum: u32) -> bool {
        let own = Image::open(self, 0).and_then(|image| image.build_id());
        match (own, build_id) {
            (Ok(Some(own)), Some(wanted)) => own == wanted,
            (Ok(_), _) => self.checksum().is_ok_and(|own| own == checksum),
            (Err(_), _) => false,
        }
    }

    fn has_build_id(&self, wanted: &[u8]) -> bool {
        let own = Image::open(self, 0).and_then(|image| image.build_id());
        own.is_ok_and(|own| own.as_deref() == Some(wanted))
    }

    fn checksum(&self) -> io::Result<u32> {
        if self.size(0)? > MAX_SUMMED {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut hasher = crc32fast::Hasher::new();
        let mut piece = vec![0; PIECE];
        let mut offset = 0;
        loop {
            let read = self.read_at(0, offset, &mut piece)?;
            if read == 0 {
                return Ok(hasher.finalize());
            }
            hasher.update(piece.get(..read).unwrap_or_default());
            offset += read as u64;
        }
    }
}

/// The content of `.gnu_debuglink`.
struct Link {
    name: String,
    checksum: u32,
}

impl Link {
    fn read(image: &Image<'_>) -> Option<Self> {
        let section = image.section(".gnu_debuglink", MAX_LINK).ok()??.bytes;
        let end = section.iter().position(|byte| *byte == 0)?;
        let name = std::str::from_utf8(section.get(..end)?).ok()?;
        let checksum = section.get((end + 1).next_multiple_of(4)..)?.first_chunk()?;
        let is_name = !name.is_empty() && !name.contains('/') && name != "..";
        is_name.then(|| Self {
            name: name.to_owned(),
            checksum: u32::from_le_bytes(*checksum),
        })
    }

    /// Where the file may be, for a module at that path.
    fn places(&self, module: &Path) -> Vec<PathBuf> {
        let directory = module.parent().unwrap_or(Path::new("/"));
        let below = directory.strip_prefix("/").unwrap_or(directory);
        let beside = [
            directory.join(&self.name),
            directory.join(".debug").join(&self.name),
        ];
        let installed = DIRECTORIES.map(|root| Path::new(root).join(below).join(&self.name));
        beside.into_iter().chain(installed).collect()
    }
}

/// What `.gnu_debugdata` holds: an ELF file with a symbol table, compressed by xz(1) (MiniDebugInfo).
pub(super) fn embedded<'a>(image: &Image<'_>, sections: &'a Sections) -> Option<&'a [u8]> {
    /// The most of it that is read, bytes, before and after decompression.
    const MAX_EMBEDDED: u64 = 64 << 20;
    let compressed = image.section(".gnu_debugdata", MAX_EMBEDDED).ok()??.bytes;
    let mut bytes = Vec::new();
    let decoder = xz4rust::XzReader::new(io::Cursor::new(compressed));
    io::Read::read_to_end(&mut io::Read::take(decoder, MAX_EMBEDDED), &mut bytes).ok()?;
    Some(sections.keep(bytes))
}
