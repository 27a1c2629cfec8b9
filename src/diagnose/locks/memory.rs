//! The captured bytes around locks, by address.

use crate::capture::{Capture, Purpose};

/// Pieces of memory in the order of their addresses; they may overlap.
pub(super) struct LockMemory<'a> {
    pieces: Vec<(u64, &'a [u8])>,
}

impl<'a> LockMemory<'a> {
    pub(super) fn of(capture: &'a Capture) -> Self {
        let ranges = capture.facts.memory.iter();
        let locks = ranges.filter(|range| matches!(range.purpose, Purpose::Lock(_)));
        let mut pieces: Vec<(u64, &[u8])> = locks
            .map(|range| (range.start, capture.get(range.data)))
            .collect();
        pieces.sort_by_key(|(start, _)| *start);
        Self { pieces }
    }

    /// 32 bits at an address.
    pub(super) fn u32(&self, address: u64) -> Option<u32> {
        let bytes = self.bytes(address, 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    /// 64 bits at an address.
    pub(super) fn u64(&self, address: u64) -> Option<u64> {
        let bytes = self.bytes(address, 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    fn bytes(&self, address: u64, len: usize) -> Option<&'a [u8]> {
        // All pieces are about equally long: the last that begins at or before the address reaches farthest.
        let behind = self.pieces.partition_point(|(start, _)| *start <= address);
        let (start, bytes) = self.pieces.get(behind.checked_sub(1)?)?;
        let offset = usize::try_from(address - start).ok()?;
        bytes.get(offset..offset.checked_add(len)?)
    }
}
