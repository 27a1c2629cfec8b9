//! The memory map of the process, from the text of `/proc/PID/maps` (proc(5)).
//!
//! Parsed line by line here and not by procfs-core, which fails as a whole for one odd line and slices the path
//! of a mapped file named `/SYSV` without looking at its length; a path is the process's choice.

use crate::capture::Capture;

/// Lines that are read; the kernel's default limit (`vm.max_map_count`) is 65,530 (1,048,576 on some systems).
const MAX_MAPPINGS: usize = 1 << 20;

/// One mapping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// First address.
    pub low: u64,
    /// First address behind it.
    pub high: u64,
    /// Permission to read.
    pub read: bool,
    /// Permission to write.
    pub write: bool,
    /// Permission to execute.
    pub execute: bool,
    /// Writes reach the file and other processes.
    pub shared: bool,
    /// Offset in the file, bytes.
    pub offset: u64,
    /// Device of the file as the kernel shows it: `fe:00`.
    pub device: String,
    /// Inode of the file; 0 for anonymous memory.
    pub inode: u64,
    /// The path, or a name in brackets (`[stack]`), or nothing.
    pub name: String,
}

/// The mappings of a process, in order of their addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AddressSpace {
    mappings: Vec<Mapping>,
}

impl Mapping {
    /// Whether the mapping can neither be read nor written nor executed: a guard.
    pub fn is_inaccessible(&self) -> bool {
        !(self.read || self.write || self.execute)
    }

    /// Whether a file is behind it.
    pub fn is_file(&self) -> bool {
        self.inode != 0
    }

    /// Its permissions as `/proc/PID/maps` shows them: `rw-p`.
    pub fn permissions(&self) -> String {
        let bit = |set: bool, name: char| if set { name } else { '-' };
        [
            bit(self.read, 'r'),
            bit(self.write, 'w'),
            bit(self.execute, 'x'),
            if self.shared { 's' } else { 'p' },
        ]
        .iter()
        .collect()
    }

    /// Its name for a sentence.
    pub fn described(&self) -> &str {
        if self.name.is_empty() {
            "anonymous memory"
        } else {
            &self.name
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.splitn(6, ' ');
        let (low, high) = fields.next()?.split_once('-')?;
        let (low, high) = (
            u64::from_str_radix(low, 16).ok()?,
            u64::from_str_radix(high, 16).ok()?,
        );
        let permissions = fields.next()?;
        let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
        let device = fields.next()?;
        let inode = fields.next()?.parse().ok()?;
        let name = fields.next().unwrap_or_default().trim_start();
        (low < high).then(|| Self {
            low,
            high,
            read: permissions.contains('r'),
            write: permissions.contains('w'),
            execute: permissions.contains('x'),
            shared: permissions.contains('s'),
            offset,
            device: device.to_owned(),
            inode,
            name: name.to_owned(),
        })
    }
}

impl AddressSpace {
    /// Reads the text of `/proc/PID/maps`; lines that are none are skipped.
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let mut mappings: Vec<_> = text
            .lines()
            .take(MAX_MAPPINGS)
            .filter_map(Mapping::parse)
            .collect();
        mappings.sort_by_key(|mapping| mapping.low);
        Self { mappings }
    }

    /// The map of a captured process; empty where it was not captured.
    pub fn of(capture: &Capture) -> Self {
        capture
            .facts
            .process
            .maps
            .map(|maps| Self::parse(capture.get(maps)))
            .unwrap_or_default()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.mappings.is_empty()
    }

    /// The mappings in order of their addresses.
    pub fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.mappings.iter()
    }

    /// The mapping that holds an address.
    pub fn find(&self, address: u64) -> Option<&Mapping> {
        self.below(address).filter(|mapping| address < mapping.high)
    }

    /// The last mapping that starts at or below an address; it may hold it.
    pub fn below(&self, address: u64) -> Option<&Mapping> {
        let next = self.mappings.partition_point(|mapping| mapping.low <= address);
        self.mappings.get(next.checked_sub(1)?)
    }

    /// The first mapping that starts above an address.
    pub fn above(&self, address: u64) -> Option<&Mapping> {
        let next = self.mappings.partition_point(|mapping| mapping.low <= address);
        self.mappings.get(next)
    }

    /// The mapping that ends where another starts.
    pub fn adjacent_below(&self, mapping: &Mapping) -> Option<&Mapping> {
        let before = self.below(mapping.low.checked_sub(1)?)?;
        (before.high == mapping.low).then_some(before)
    }

    /// The file at an address and the offset in it, bytes.
    pub fn file_offset(&self, address: u64) -> Option<(&Mapping, u64)> {
        let mapping = self.find(address).filter(|mapping| mapping.is_file())?;
        Some((mapping, mapping.offset.wrapping_add(address - mapping.low)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAPS: &[u8] = b"\
00400000-00401000 r--p 00000000 fe:00 1234                               /usr/bin/my prog
00401000-00402000 r-xp 00001000 fe:00 1234                               /usr/bin/my prog
this is no mapping
7f0000000000-7f0000001000 ---p 00000000 00:00 0\x20
7f0000001000-7f0000801000 rw-p 00000000 00:00 0\x20
7f1000000000-7f1000001000 rw-s 00000000 00:01 77                         /SYSV
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
";

    #[test]
    fn addresses_find_their_mapping_and_its_neighbours() {
        let space = AddressSpace::parse(MAPS);
        assert_eq!(space.iter().count(), 6);
        let code = space.find(0x40_1fff).unwrap();
        assert_eq!(
            (code.name.as_str(), code.permissions().as_str()),
            ("/usr/bin/my prog", "r-xp")
        );
        assert_eq!(space.find(0x40_2000), None);
        assert_eq!(space.below(0x40_2000).unwrap().low, 0x40_1000);
        assert_eq!(space.above(0x40_2000).unwrap().low, 0x7f00_0000_0000);
        assert_eq!(
            (space.find(0), space.below(0), space.above(u64::MAX)),
            (None, None, None)
        );
        let stack = space.find(0x7f00_0000_1000).unwrap();
        assert!(space.adjacent_below(stack).unwrap().is_inaccessible());
        assert_eq!(space.adjacent_below(space.find(0x7ffc_0000_0000).unwrap()), None);
    }

    #[test]
    fn offsets_are_those_of_the_file() {
        let space = AddressSpace::parse(MAPS);
        assert_eq!(
            space.file_offset(0x40_1234).map(|(_, offset)| offset),
            Some(0x1234)
        );
        assert_eq!(space.file_offset(0x7f00_0000_1000), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..400), address in any::<u64>()) {
            let space = AddressSpace::parse(&text);
            space.find(address);
            space.above(address);
            space.file_offset(address);
        }

        #[test]
        fn damaged_maps_are_read_as_far_as_they_go(at in 0..MAPS.len(), byte in any::<u8>(), address in any::<u64>()) {
            let mut text = MAPS.to_vec();
            text[at] = byte;
            let space = AddressSpace::parse(&text);
            prop_assert!(space.iter().count() >= 4);
            if let Some(mapping) = space.find(address) {
                space.adjacent_below(mapping);
            }
        }
    }
}
