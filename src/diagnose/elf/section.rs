//! Sections by name, decompressed.

use std::io::{self, Read};

use flate2::read::ZlibDecoder;
use object::elf::{ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD, SHT_NOBITS};
use object::read::elf::{FileHeader, SectionHeader};

use super::{ElfError, Image};

/// A section's content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Its address in the file's own numbering; 0 for one that is not loaded.
    pub address: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Image<'_> {
    /// The first section of that name that has content; one of more than `limit` bytes is an error.
    ///
    /// It is read past the cache, since these are large and asked for once.
    pub fn section(&self, name: &str, limit: u64) -> Result<Option<Section>, ElfError> {
        let (header, endian) = self.header()?;
        let sections = header.sections(endian, self.data())?;
        let Some((_, section)) = sections.section_by_name(endian, name.as_bytes()) else {
            return Ok(None);
        };
        if section.sh_type(endian) == SHT_NOBITS || section.sh_size(endian) == 0 {
            return Ok(None);
        }
        let bytes = match section.compression(endian, self.data())? {
            None => self.read_past_cache(
                section.sh_offset(endian),
                bounded(section.sh_size(endian), limit)?,
            )?,
            Some((compression, offset, size)) => {
                let compressed = self.read_past_cache(offset, bounded(size, limit)?)?;
                let size = bounded(compression.ch_size.get(endian), limit)?;
                match compression.ch_type.get(endian) {
                    ELFCOMPRESS_ZLIB => decompressed(ZlibDecoder::new(compressed.as_slice()), size)?,
                    ELFCOMPRESS_ZSTD => decompressed(zstd::Decoder::new(compressed.as_slice())?, size)?,
                    other => {
                        let unknown = format!("section {name} is compressed in an unknown way ({other:?})");
                        return Err(io::Error::new(io::ErrorKind::Unsupported, unknown).into());
                    }
                }
            }
        };
        Ok(Some(Section {
            address: section.sh_addr(endian),
            bytes,
        }))
    }

    fn read_past_cache(&self, offset: u64, size: u64) -> Result<Vec<u8>, ElfError> {
        let there = self.source.size(self.module)?.saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(size.min(there)).unwrap_or_default()];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.source.read_at(self.module, offset + filled as u64, rest)? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                read => filled += read,
            }
        }
        Ok(bytes)
    }
}

fn bounded(size: u64, limit: u64) -> io::Result<u64> {
    if size > limit {
        return Err(io::Error::other(format!(
            "a section claims {size} bytes, more than the {limit} that are read"
        )));
    }
    Ok(size)
}

/// Everything that a decoder yields, up to the size that was promised.
fn decompressed(decoder: impl Read, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    decoder.take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}
