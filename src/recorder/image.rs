//! `memory.zst`: the captured stacks and memory ranges one behind the other, compressed.
//!
//! Offsets in a report count the decompressed bytes.

use std::collections::HashMap;
use std::io::{self, Write};

use crate::capture::{Blob, Capture};

/// The file's name in the report's directory.
pub(super) const FILE: &str = "memory.zst";
/// The most that is written, decompressed bytes.
const MAX_IMAGE: u64 = 4 << 30;
/// zstd's own default: stacks shrink to a tenth at some 500 MB/s.
const LEVEL: i32 = 3;

/// Which ranges of a capture are in the file, and where.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Layout {
    pieces: Vec<Blob>,
    offsets: HashMap<(u64, u64), u64>,
    len: u64,
}

impl Layout {
    /// Places the stacks, faulting thread first, and then the memory ranges.
    pub(super) fn of(capture: &Capture) -> Self {
        let stacks = capture.facts.threads.iter().filter_map(|thread| thread.stack);
        let ranges = capture.facts.memory.iter().map(|range| range.data);
        let mut layout = Self::default();
        for blob in stacks.map(|stack| stack.data).chain(ranges) {
            let size = capture.get(blob).len() as u64;
            if size > 0 && layout.len + size <= MAX_IMAGE {
                layout.pieces.push(blob);
                layout
                    .offsets
                    .entry((blob.offset, blob.len))
                    .or_insert(layout.len);
                layout.len += size;
            }
        }
        layout
    }

    /// Where a range begins in the decompressed file, bytes.
    pub(super) fn offset(&self, blob: Blob) -> Option<u64> {
        self.offsets.get(&(blob.offset, blob.len)).copied()
    }

    /// Writes the file.
    pub(super) fn write(&self, capture: &Capture, out: impl Write) -> io::Result<()> {
        let mut encoder = zstd::Encoder::new(out, LEVEL)?;
        encoder.include_checksum(true)?;
        for blob in &self.pieces {
            encoder.write_all(capture.get(*blob))?;
        }
        encoder.finish()?.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{MemoryRange, Purpose};

    #[test]
    fn offsets_find_their_bytes_again() {
        let mut capture = Capture::default();
        for text in ["first", "", "second"] {
            let data = capture.keep(text.as_bytes());
            capture.facts.memory.push(MemoryRange {
                purpose: Purpose::Code,
                start: 0,
                data,
            });
        }
        let layout = Layout::of(&capture);
        let mut file = Vec::new();
        layout.write(&capture, &mut file).unwrap();
        assert_eq!(zstd::decode_all(file.as_slice()).unwrap(), b"firstsecond");
        assert_eq!(layout.offset(capture.facts.memory[2].data), Some(5));
        assert_eq!(layout.offset(Blob { offset: 1, len: 1 }), None);
    }
}
