//! Which memory of a process goes into a `data` or `full` core, from the text of its smaps (proc_pid_smaps(5)).
//!
//! The rules are the kernel's own for its cores (fs/coredump.c, `vma_dump_size`; core(5)): the process's coredump_filter
//! says which kinds of mappings, and what it asked to be left out (`MADV_DONTDUMP`) stays out. A `data` core is narrower:
//! of these, private memory that may be written.

use std::ops::Range;

use crate::config::CoreExtent;

/// The filter of a process that was never told another (core(5)).
pub(super) const DEFAULT_FILTER: u32 = 0x33;
/// Bits of the filter.
const ANONYMOUS_PRIVATE: u32 = 1 << 0;
const ANONYMOUS_SHARED: u32 = 1 << 1;
const FILE_PRIVATE: u32 = 1 << 2;
const FILE_SHARED: u32 = 1 << 3;
const ELF_HEADERS: u32 = 1 << 4;
const HUGE_PRIVATE: u32 = 1 << 5;
const HUGE_SHARED: u32 = 1 << 6;

/// The page that holds the headers of an ELF file, bytes.
const FIRST_PAGE: u64 = 4096;
/// How the kernel marks the path of a file that has no name any more, or never had one.
const NAMELESS: &str = " (deleted)";

/// Memory that is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    pub(super) range: Range<u64>,
    /// Whether pages that were never touched may be left out: they are zero.
    pub(super) sparse: bool,
}

/// The memory that a core of that extent holds, by address. `filter` is the process's coredump_filter.
pub(super) fn wanted(smaps: &[u8], filter: u32, extent: CoreExtent) -> Vec<Wanted> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for area in areas(smaps) {
        if let Some(range) = area.dumped(filter, extent) {
            wanted.push(Wanted {
                range,
                sparse: area.inode == 0,
            });
        }
    }
    wanted
}

/// A mapping, as far as the rules look at it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Area {
    range: Range<u64>,
    readable: bool,
    writable: bool,
    executable: bool,
    shared: bool,
    offset: u64,
    inode: u64,
    path: String,
    /// Whether the process has pages of its own in it.
    touched: bool,
    /// `VmFlags`.
    flags: Vec<String>,
}

impl Area {
    /// The part of it that goes into a core.
    fn dumped(&self, filter: u32, extent: CoreExtent) -> Option<Range<u64>> {
        let has = |flag: &str| self.flags.iter().any(|known| known == flag);
        let admits = |bit: u32| filter & bit != 0;
        let whole = || Some(self.range.clone());
        if extent == CoreExtent::Compact || has("dd") || has("io") {
            return None;
        }
        if self.path == "[vdso]" {
            return whole();
        }
        let private_data = !self.shared && self.writable;
        if extent == CoreExtent::Data && !private_data {
            return None;
        }
        if has("ht") {
            let bit = if self.shared { HUGE_SHARED } else { HUGE_PRIVATE };
            return whole().filter(|_| admits(bit));
        }
        if self.shared {
            let bit = if self.path.ends_with(NAMELESS) {
                ANONYMOUS_SHARED
            } else {
                FILE_SHARED
            };
            return whole().filter(|_| admits(bit));
        }
        if self.touched && admits(ANONYMOUS_PRIVATE) {
            return whole();
        }
        if self.inode == 0 {
            return None;
        }
        if admits(FILE_PRIVATE) {
            return whole();
        }
        let headers = admits(ELF_HEADERS) && self.offset == 0 && self.readable;
        headers.then(|| self.range.start..self.range.end.min(self.range.start + FIRST_PAGE))
    }
}

/// Reads smaps: of each mapping a line like those of maps, then lines of names and values.
fn areas(smaps: &[u8]) -> Vec<Area> {
    let mut areas: Vec<Area> = Vec::new();
    for line in smaps.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        if let Some(area) = first_line(&line) {
            areas.push(area);
        } else if let (Some(area), Some((name, value))) = (areas.last_mut(), line.split_once(':')) {
            match name {
                "Anonymous" | "Swap" => area.touched |= !value.trim_start().starts_with("0 "),
                "VmFlags" => area.flags = value.split_whitespace().map(str::to_owned).collect(),
                _ => {}
            }
        }
    }
    areas
}

fn first_line(line: &str) -> Option<Area> {
    let mut fields = line.splitn(6, ' ');
    let (low, high) = fields.next()?.split_once('-')?;
    let permissions = fields.next()?.as_bytes();
    let offset = fields.next()?;
    let _device = fields.next()?;
    let inode = fields.next()?;
    let is = |place: usize, letter: u8| permissions.get(place) == Some(&letter);
    Some(Area {
        range: u64::from_str_radix(low, 16).ok()?..u64::from_str_radix(high, 16).ok()?,
        readable: is(0, b'r'),
        writable: is(1, b'w'),
        executable: is(2, b'x'),
        shared: is(3, b's'),
        offset: u64::from_str_radix(offset, 16).ok()?,
        inode: inode.parse().ok()?,
        path: fields.next().unwrap_or_default().trim_start().to_owned(),
        ..Area::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One mapping: its first line, how much of it is anonymous, its flags.
    fn area(first: &str, anonymous: u32, flags: &str) -> String {
        format!("{first}\nSize: 8 kB\nAnonymous: {anonymous} kB\nSwap: 0 kB\nVmFlags: {flags} \n")
    }

    fn kept(smaps: &str, filter: u32, extent: CoreExtent) -> Vec<(u64, u64)> {
        let wanted = wanted(smaps.as_bytes(), filter, extent).into_iter();
        wanted
            .map(|wanted| (wanted.range.start, wanted.range.end))
            .collect()
    }

    fn process() -> String {
        [
            area("10000-12000 r--p 00000000 fe:00 7 /bin/x", 0, "rd mr"),
            area("12000-14000 r-xp 00002000 fe:00 7 /bin/x", 0, "rd ex mr"),
            area("14000-16000 rw-p 00004000 fe:00 7 /bin/x", 4, "rd wr mr"),
            area("16000-18000 rw-p 00006000 fe:00 7 /bin/x", 0, "rd wr mr"),
            area("20000-22000 rw-p 00000000 00:00 0 [heap]", 8, "rd wr mr"),
            area("22000-24000 ---p 00000000 00:00 0 ", 0, "mr"),
            area("30000-32000 rw-p 00000000 00:00 0 ", 8, "rd wr dd"),
            area(
                "40000-42000 rw-s 00000000 00:01 9 /dev/zero (deleted)",
                0,
                "rd wr sh",
            ),
            area("50000-52000 rw-s 00000000 fe:00 8 /var/lib/data", 0, "rd wr sh"),
            area("60000-62000 rw-s 00000000 00:05 3 /dev/mem", 0, "rd wr sh io"),
            area("70000-72000 r-xp 00000000 00:00 0 [vdso]", 0, "rd ex"),
        ]
        .concat()
    }

    #[test]
    fn the_default_filter_keeps_what_the_kernel_would() {
        let expected = [
            (0x10000, 0x11000),
            (0x14000, 0x16000),
            (0x20000, 0x22000),
            (0x40000, 0x42000),
            (0x70000, 0x72000),
        ];
        assert_eq!(kept(&process(), DEFAULT_FILTER, CoreExtent::Full), expected);
    }

    #[test]
    fn each_bit_of_the_filter_counts() {
        let kept = |filter| kept(&process(), filter, CoreExtent::Full);
        assert_eq!(kept(0), [(0x70000, 0x72000)]);
        assert!(kept(ANONYMOUS_SHARED).contains(&(0x40000, 0x42000)));
        assert!(kept(FILE_SHARED).contains(&(0x50000, 0x52000)));
        assert!(kept(FILE_PRIVATE).contains(&(0x12000, 0x14000)));
        assert!(kept(ELF_HEADERS).contains(&(0x10000, 0x11000)));
        let huge = area(
            "80000-280000 rw-p 00000000 00:0f 4 /anon_hugepage (deleted)",
            0,
            "rd wr ht",
        );
        let huge = |filter| super::tests::kept(&huge, filter, CoreExtent::Full).len();
        assert_eq!((huge(HUGE_PRIVATE), huge(ANONYMOUS_PRIVATE)), (1, 0));
    }

    #[test]
    fn data_is_private_and_writable() {
        let expected = [(0x14000, 0x16000), (0x20000, 0x22000), (0x70000, 0x72000)];
        assert_eq!(kept(&process(), DEFAULT_FILTER, CoreExtent::Data), expected);
        assert!(kept(&process(), 0xff, CoreExtent::Compact).is_empty());
    }

    #[test]
    fn memory_that_asked_to_stay_out_stays_out_whatever_the_filter() {
        for extent in [CoreExtent::Data, CoreExtent::Full] {
            let kept = kept(&process(), u32::MAX, extent);
            assert!(
                kept.iter().all(|range| !matches!(range.0, 0x30000 | 0x60000)),
                "{kept:x?}"
            );
        }
    }

    #[test]
    fn our_own_smaps_are_understood() {
        let smaps = std::fs::read("/proc/self/smaps").unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(areas(&smaps).len().abs_diff(maps.lines().count()) < 8);
        let here = 0_u8;
        let address = std::ptr::from_ref(&here) as u64;
        let wanted = wanted(&smaps, DEFAULT_FILTER, CoreExtent::Data);
        let stack = wanted
            .iter()
            .find(|wanted| wanted.range.contains(&address))
            .unwrap();
        assert!(stack.sparse);
        assert!(
            wanted
                .windows(2)
                .all(|two| two[0].range.end <= two[1].range.start)
        );
    }
}
