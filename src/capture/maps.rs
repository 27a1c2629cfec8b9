//! The memory map as far as copying needs it: where ranges end, what may be read, which files are mapped.
//!
//! Parsed here and not by a library because the process is held meanwhile: 2,000 lines (a thousand threads) take
//! a tenth of the time that a complete model of them would.

use super::Capture;

/// How far above a stack pointer in no readable mapping (a guard page) the stack's mapping is looked for.
const OVERFLOW_REACH: u64 = 1 << 20;

/// One mapping (proc_pid_maps(5)).
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
    /// Path or pseudo-path; empty for anonymous memory.
    pub name: String,
}

/// All mappings of a process, by address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Maps(Vec<Mapping>);

impl Maps {
    /// The map in a capture; empty where there is none.
    pub fn of(capture: &Capture) -> Self {
        let text = capture.facts.process.maps.map(|maps| capture.get(maps));
        Self::parse(text.unwrap_or_default())
    }

    /// Reads the text of `/proc/PID/maps`; lines that are none are passed over.
    pub fn parse(text: &[u8]) -> Self {
        Self(text.split(|byte| *byte == b'\n').filter_map(parse_line).collect())
    }

    /// The mapping that holds an address.
    pub fn find(&self, address: u64) -> Option<&Mapping> {
        let mapping = self.0.get(self.above(address).checked_sub(1)?)?;
        (address < mapping.high).then_some(mapping)
    }

    /// The first readable mapping that begins above an address.
    pub fn next_readable(&self, address: u64) -> Option<&Mapping> {
        self.0
            .get(self.above(address)..)?
            .iter()
            .find(|mapping| mapping.readable)
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
    fn above(&self, address: u64) -> usize {
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

fn parse_line(line: &[u8]) -> Option<Mapping> {
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let mut next = || std::str::from_utf8(fields.next()?).ok();
    let (low, high) = next()?.split_once('-')?;
    let permissions = next()?.as_bytes();
    let offset = next()?;
    let (major, minor) = next()?.split_once(':')?;
    let inode = next()?;
    let name = fields.next().unwrap_or_default();
    Some(Mapping {
        low: u64::from_str_radix(low, 16).ok()?,
        high: u64::from_str_radix(high, 16).ok()?,
        readable: permissions.first() == Some(&b'r'),
        writable: permissions.get(1) == Some(&b'w'),
        executable: permissions.get(2) == Some(&b'x'),
        private: permissions.get(3) == Some(&b'p'),
        offset: u64::from_str_radix(offset, 16).ok()?,
        device: (
            u32::from_str_radix(major, 16).ok()?,
            u32::from_str_radix(minor, 16).ok()?,
        ),
        inode: inode.parse().ok()?,
        name: String::from_utf8_lossy(name.trim_ascii_start()).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(!is_c_library("/usr/lib/libcrypto.so.3") && !is_c_library("/usr/lib/libcap.so.2"));
    }
}
