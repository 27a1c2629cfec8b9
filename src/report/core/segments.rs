//! Mappings cut into what is kept of them and what is not: one `PT_LOAD` each.

use std::ops::Range;

use object::elf::{PF_R, PF_W, PF_X, ProgramFlags};

use super::Mapping;

/// A part of a mapping, kept as a whole or not at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    pub(super) memory: Range<u64>,
    pub(super) kept: bool,
    pub(super) flags: ProgramFlags,
}

/// Cuts mappings at the bounds of the kept ranges. A kept range outside all mappings becomes a segment of its own.
///
/// Both lists are in the order of addresses; what is not is passed over, as are empty elements.
pub(super) fn cut(mappings: &[Mapping], kept: &[Range<u64>]) -> Vec<Segment> {
    let mut cut = Cut {
        segments: Vec::with_capacity(mappings.len() + 2 * kept.len()),
        end: 0,
    };
    let mut kept = kept.iter().cloned().peekable();
    for mapping in mappings {
        while let Some(outside) = kept.next_if(|range| range.end <= mapping.low) {
            cut.push(outside, true, PF_R);
        }
        if let Some(range) = kept.peek_mut().filter(|range| range.start < mapping.low) {
            cut.push(range.start..mapping.low, true, PF_R);
            range.start = mapping.low;
        }
        let flags = flags(mapping);
        while let Some(range) = kept.peek_mut().filter(|range| range.start < mapping.high) {
            cut.push(mapping.low..range.start, false, flags);
            cut.push(range.start..range.end.min(mapping.high), true, flags);
            range.start = mapping.high.min(range.end);
            if range.is_empty() {
                kept.next();
            }
        }
        cut.push(mapping.low..mapping.high, false, flags);
    }
    for outside in kept {
        cut.push(outside, true, PF_R);
    }
    cut.segments
}

fn flags(mapping: &Mapping) -> ProgramFlags {
    let mut flags = ProgramFlags::default();
    for (is, flag) in [
        (mapping.readable, PF_R),
        (mapping.writable, PF_W),
        (mapping.executable, PF_X),
    ] {
        if is {
            flags |= flag;
        }
    }
    flags
}

struct Cut {
    segments: Vec<Segment>,
    /// Everything below is in a segment already.
    end: u64,
}

impl Cut {
    fn push(&mut self, memory: Range<u64>, kept: bool, flags: ProgramFlags) {
        let memory = memory.start.max(self.end)..memory.end;
        if !memory.is_empty() {
            self.end = memory.end;
            self.segments.push(Segment { memory, kept, flags });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mapping(low: u64, high: u64) -> Mapping {
        Mapping {
            low,
            high,
            readable: true,
            ..Mapping::default()
        }
    }

    fn parts(mappings: &[Mapping], kept: &[Range<u64>]) -> Vec<(u64, u64, bool)> {
        let segments = cut(mappings, kept).into_iter();
        segments
            .map(|segment| (segment.memory.start, segment.memory.end, segment.kept))
            .collect()
    }

    #[test]
    fn a_mapping_is_cut_where_memory_is_kept() {
        let mappings = [mapping(0x1000, 0x3000), mapping(0x3000, 0x4000)];
        assert_eq!(
            parts(&mappings, &[]),
            [(0x1000, 0x3000, false), (0x3000, 0x4000, false)]
        );
        assert_eq!(
            parts(&mappings, &[0x1800..0x1808, 0x2ff8..0x3008]),
            [
                (0x1000, 0x1800, false),
                (0x1800, 0x1808, true),
                (0x1808, 0x2ff8, false),
                (0x2ff8, 0x3000, true),
                (0x3000, 0x3008, true),
                (0x3008, 0x4000, false),
            ]
        );
    }

    #[test]
    fn memory_outside_all_mappings_is_kept_too() {
        assert_eq!(
            parts(
                &[mapping(0x1000, 0x2000)],
                &[0x10..0x20, 0xff8..0x1008, 0x5000..0x5008]
            ),
            [
                (0x10, 0x20, true),
                (0xff8, 0x1000, true),
                (0x1000, 0x1008, true),
                (0x1008, 0x2000, false),
                (0x5000, 0x5008, true),
            ]
        );
    }

    proptest! {
        #[test]
        fn segments_never_overlap(
            mappings in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..20),
            kept in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..20),
        ) {
            let mappings: Vec<_> = mappings.into_iter().map(|(low, high)| mapping(low, high)).collect();
            let kept: Vec<_> = kept.into_iter().map(|(low, high)| low..high).collect();
            let segments = cut(&mappings, &kept);
            prop_assert!(segments.iter().all(|segment| !segment.memory.is_empty()));
            prop_assert!(segments.windows(2).all(|two| two[0].memory.end <= two[1].memory.start));
        }
    }
}
