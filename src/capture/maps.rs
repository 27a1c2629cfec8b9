//! The memory map of a process, from the text of `/proc/PID/maps` (proc_pid_maps(5)).
//!
//! Parsed here and not by procfs-core, for two reasons: the process is held meanwhile, and 2,000 lines (a thousand
//! threads) take a tenth of the time that its complete model would; and it fails as a whole for one odd line, and slices
//! the path of a mapped file named `/SYSV` without looking at its length, while a path is the process's choice.

use std::sync::Arc;

use super::Capture;

/// Lines that are read; the kernel's default limit (`vm.max_map_count`) is 65,530 (1,048,576 on some systems).
const MAX_MAPPINGS: usize = 1 << 20;

/// How far above a stack pointer in no readable mapping (a guard page) the stack's mapping is looked for.
const OVERFLOW_REACH: u64 = 1 << 20;

/// One mapping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// First address.
    pub low: u64,
    /// End, exclusive.
    pub high: u64,
    /// Whether it may be read.
    pub readable: bool,
    /// Whether it may be written.
    pub writable: bool,
    /// Whether it may be executed.
    pub executable: bool,
    /// Whether what is written stays in the process.
    pub private: bool,
    /// Where in the file it begins, bytes.
    pub offset: u64,
    /// Device, major and minor number.
    pub device: (u32, u32),
    /// Inode; 0 where no file is mapped.
    pub inode: u64,
    /// The path, or a name in brackets (`[stack]`); empty for anonymous memory.
    pub name: String,
}

impl Mapping {
    /// Whether the mapping can neither be read nor written nor executed: a guard.
    pub fn is_inaccessible(&self) -> bool {
        !(self.readable || self.writable || self.executable)
    }

    /// Whether a file is behind it.
    pub fn is_file(&self) -> bool {
        self.inode != 0
    }

    /// Its permissions as the kernel shows them: `rw-p`.
    pub fn permissions(&self) -> String {
        let bit = |set: bool, name: char| if set { name } else { '-' };
        [
            bit(self.readable, 'r'),
            bit(self.writable, 'w'),
            bit(self.executable, 'x'),
            if self.private { 'p' } else { 's' },
        ]
        .iter()
        .collect()
    }

    /// Its device as the kernel shows it: `fe:00`.
    pub fn device_numbers(&self) -> String {
        let (major, minor) = self.device;
        format!("{major:02x}:{minor:02x}")
    }

    /// Its name for a sentence.
    pub fn described(&self) -> &str {
        if self.name.is_empty() {
            "anonymous memory"
        } else {
            &self.name
        }
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.splitn(6, |byte| *byte == b' ');
        let mut next = || std::str::from_utf8(fields.next()?).ok();
        let (low, high) = next()?.split_once('-')?;
        let permissions = next()?.as_bytes();
        let offset = next()?;
        let (major, minor) = next()?.split_once(':')?;
        let inode = next()?;
        let name = fields.next().unwrap_or_default();
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (low, high) = (number(low)?, number(high)?);
        (low < high).then_some(Self {
            low,
            high,
            readable: permissions.first() == Some(&b'r'),
            writable: permissions.get(1) == Some(&b'w'),
            executable: permissions.get(2) == Some(&b'x'),
            private: permissions.get(3) == Some(&b'p'),
            offset: number(offset)?,
            device: (
                u32::from_str_radix(major, 16).ok()?,
                u32::from_str_radix(minor, 16).ok()?,
            ),
            inode: inode.parse().ok()?,
            name: String::from_utf8_lossy(name.trim_ascii_start()).into_owned(),
        })
    }
}

/// All mappings of a process, in order of their addresses. A clone shares them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Maps(Arc<[Mapping]>);

impl Maps {
    /// The map in a capture; empty where there is none.
    pub fn of(capture: &Capture) -> Self {
        let text = capture.facts.process.maps.map(|maps| capture.get(maps));
        Self::parse(text.unwrap_or_default())
    }

    /// Reads the text of `/proc/PID/maps`; lines that are none are passed over.
    pub fn parse(text: &[u8]) -> Self {
        let lines = text.split(|byte| *byte == b'\n').take(MAX_MAPPINGS);
        let mut mappings: Vec<_> = lines.filter_map(Mapping::parse).collect();
        mappings.sort_by_key(|mapping| mapping.low);
        Self(mappings.into())
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mapping that holds an address.
    pub fn find(&self, address: u64) -> Option<&Mapping> {
        self.below(address).filter(|mapping| address < mapping.high)
    }

    /// The last mapping that begins at or below an address; it may hold it.
    pub fn below(&self, address: u64) -> Option<&Mapping> {
        self.0.get(self.begun_at(address).checked_sub(1)?)
    }

    /// The first mapping that begins above an address.
    pub fn above(&self, address: u64) -> Option<&Mapping> {
        self.0.get(self.begun_at(address))
    }

    /// The first readable mapping that begins above an address.
    pub fn next_readable(&self, address: u64) -> Option<&Mapping> {
        self.0
            .get(self.begun_at(address)..)?
            .iter()
            .find(|mapping| mapping.readable)
    }

    /// The mapping that ends where another begins.
    pub fn adjacent_below(&self, mapping: &Mapping) -> Option<&Mapping> {
        let before = self.below(mapping.low.checked_sub(1)?)?;
        (before.high == mapping.low).then_some(before)
    }

    /// The file at an address and the offset in it, bytes.
    pub fn file_offset(&self, address: u64) -> Option<(&Mapping, u64)> {
        let mapping = self.find(address).filter(|mapping| mapping.is_file())?;
        Some((mapping, mapping.offset.wrapping_add(address - mapping.low)))
    }

    /// Where the program, its libraries and then its heap keep data: writable parts of mapped files, each with the
    /// anonymous memory that continues it, as ranges of addresses.
    pub fn static_data(&self) -> Vec<(u64, u64)> {
        let mut data: Vec<(u64, u64)> = Vec::new();
        for mapping in self
            .0
            .iter()
            .filter(|mapping| mapping.writable && mapping.private)
        {
            let continued = data
                .last_mut()
                .filter(|last| last.1 == mapping.low && mapping.name.is_empty());
            match continued {
                Some(last) => last.1 = mapping.high,
                None if mapping.inode != 0 => data.push((mapping.low, mapping.high)),
                None => {}
            }
        }
        let heap = self.0.iter().filter(|mapping| mapping.name == "[heap]");
        data.extend(heap.map(|mapping| (mapping.low, mapping.high)));
        data
    }

    /// The mapping of the stack that a stack pointer belongs to. One that has run off its stack, into a guard page, belongs
    /// to the mapping above.
    pub fn stack_of(&self, sp: u64) -> Option<&Mapping> {
        self.find(sp).filter(|mapping| mapping.readable).or_else(|| {
            self.next_readable(sp)
                .filter(|mapping| mapping.low - sp <= OVERFLOW_REACH)
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.0.iter()
    }

    /// How many begin at or below an address.
    fn begun_at(&self, address: u64) -> usize {
        self.0.partition_point(|mapping| mapping.low <= address)
    }
}

/// Whether a mapped file is the C library by its name.
pub fn is_c_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    ["libc.so", "libc-", "ld-musl-", "libc.musl-"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Whether that file is musl's C library: `ld-musl-x86_64.so.1`, or `libc.so` in a directory of its own.
pub fn is_musl(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let is_so_called = parts.next().is_some_and(|name| name.contains("musl"));
    is_c_library(path) && (is_so_called || parts.next().is_some_and(|directory| directory.ends_with("-musl")))
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
    fn lines_are_read_whole() {
        let maps = Maps::parse(
            b"00400000-00452000 r-xp 00001000 fe:02 173521      /usr/bin/a b\n\
              7ffd1000-7ffd2000 rw-p 00000000 00:00 0                          [stack]\nnonsense\n",
        );
        let program = maps.find(0x400fff).unwrap();
        assert_eq!(
            (program.name.as_str(), program.device, program.inode),
            ("/usr/bin/a b", (0xfe, 2), 173_521)
        );
        assert!(program.readable && program.executable);
        assert_eq!(program.offset, 0x1000);
        assert_eq!(maps.find(0x7ffd1000).unwrap().name, "[stack]");
        assert_eq!((maps.find(0x452000), maps.find(0)), (None, None));
    }

    #[test]
    fn static_data_has_its_anonymous_continuation() {
        let maps = Maps::parse(
            b"00400000-00401000 r-xp 00000000 08:01 11 /bin/x\n\
              00403000-00404000 rw-p 00003000 08:01 11 /bin/x\n\
              00404000-00408000 rw-p 00000000 00:00 0 \n\
              01000000-01021000 rw-p 00000000 00:00 0 [heap]\n\
              7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n\
              7f0000002000-7f0000003000 rw-s 00000000 08:01 12 /var/data\n\
              7f0000004000-7f0000005000 rw-p 00001000 08:01 13 /lib/y.so\n",
        );
        let expected = [
            (0x40_3000, 0x40_8000),
            (0x7f00_0000_4000, 0x7f00_0000_5000),
            (0x100_0000, 0x102_1000),
        ];
        assert_eq!(maps.static_data(), expected);
    }

    #[test]
    fn c_libraries_are_known_by_name() {
        for name in [
            "/usr/lib/x86_64-linux-gnu/libc.so.6",
            "/lib/libc-2.31.so",
            "/lib/ld-musl-x86_64.so.1",
        ] {
            assert!(is_c_library(name), "{name}");
        }
        for (name, musl) in [
            ("/lib/ld-musl-x86_64.so.1", true),
            ("/usr/lib/x86_64-linux-musl/libc.so", true),
            ("/lib/libc.musl-x86_64.so.1", true),
            ("/usr/lib/x86_64-linux-gnu/libc.so.6", false),
            ("/home/musl/server", false),
        ] {
            assert_eq!(is_musl(name), musl, "{name}");
        }
        assert!(!is_c_library("/usr/lib/libcrypto.so.3") && !is_c_library("/usr/lib/libcap.so.2"));
    }

    #[test]
    fn addresses_find_their_mapping_and_its_neighbours() {
        let maps = Maps::parse(MAPS);
        assert_eq!(maps.iter().count(), 6);
        let code = maps.find(0x40_1fff).unwrap();
        assert_eq!(
            (code.name.as_str(), code.permissions().as_str()),
            ("/usr/bin/my prog", "r-xp")
        );
        assert_eq!(maps.find(0x40_2000), None);
        assert_eq!(maps.below(0x40_2000).unwrap().low, 0x40_1000);
        assert_eq!(maps.above(0x40_2000).unwrap().low, 0x7f00_0000_0000);
        assert_eq!(
            (maps.find(0), maps.below(0), maps.above(u64::MAX)),
            (None, None, None)
        );
        let stack = maps.find(0x7f00_0000_1000).unwrap();
        assert!(maps.adjacent_below(stack).unwrap().is_inaccessible());
        assert_eq!(maps.adjacent_below(maps.find(0x7ffc_0000_0000).unwrap()), None);
    }

    #[test]
    fn offsets_are_those_of_the_file() {
        let maps = Maps::parse(MAPS);
        assert_eq!(
            maps.file_offset(0x40_1234).map(|(_, offset)| offset),
            Some(0x1234)
        );
        assert_eq!(maps.file_offset(0x7f00_0000_1000), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..400), address in any::<u64>()) {
            let maps = Maps::parse(&text);
            maps.find(address);
            maps.above(address);
            maps.file_offset(address);
        }

        #[test]
        fn damaged_maps_are_read_as_far_as_they_go(at in 0..MAPS.len(), byte in any::<u8>(), address in any::<u64>()) {
            let mut text = MAPS.to_vec();
            text[at] = byte;
            let maps = Maps::parse(&text);
            prop_assert!(maps.iter().count() >= 4);
            if let Some(mapping) = maps.find(address) {
                maps.adjacent_below(mapping);
            }
        }
    }
}
