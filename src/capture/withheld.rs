//! Memory that must not leave the process: what it asked to be left out of cores (`MADV_DONTDUMP`, madvise(2)), and its
//! arguments and environment where the configuration keeps these back.
//!
//! A stack is copied all the same, since no calls can be followed without it; nothing that is written holds such memory.
//! Only `/proc/PID/smaps` tells what was left out of cores, and the kernel walks every page for it: 13 ms for each GB, and
//! some 2.5 us for each mapping. All threads wait meanwhile, so it is read where that is short, or on request.

use std::ops::Range;

use crate::config::{Cmdline, DontDump, ReportOptions};
use crate::sys::{Pid, Tid};

use super::maps::Maps;
use super::process::{MAX_FILE, read_bounded};
use super::{Capture, Withheld};

/// How long reading smaps may take unasked, microseconds.
const UNASKED_US: u64 = 6_000;
/// What it takes, nanoseconds: for each resident page, and for each mapping.
const PAGE_NS: u64 = 50;
const MAPPING_NS: u64 = 2_500;
/// Fields of `/proc/PID/stat` (proc(5)), counted from 1.
const ARG_START: usize = 48;
const ENV_START: usize = 50;

impl Capture {
    /// Notes which of the copied memory is not to be written anywhere.
    pub(super) fn withhold(&mut self, pid: Pid, tid: Tid, maps: &Maps, options: &ReportOptions) {
        let arguments = (options.cmdline != Cmdline::Full).then_some(ARG_START);
        let environment = (!options.environment.iter().any(|pattern| pattern == "*")).then_some(ENV_START);
        for field in arguments.into_iter().chain(environment) {
            if let Some(Range { start, end }) = self.range_in_stat(field).filter(|range| !range.is_empty()) {
                self.facts.withheld.push(Withheld {
                    low: start,
                    high: end,
                });
            }
        }
        if options.dontdump == DontDump::Auto && estimate_us(pid, maps) > UNASKED_US {
            let reason = "the process is so large that looking it up would have kept it waiting; dontdump = \"always\" does";
            return self.miss("MADV_DONTDUMP", reason);
        }
        match read_bounded(&format!("/proc/{pid}/task/{tid}/smaps"), MAX_FILE) {
            Ok(smaps) => self.withhold_undumped(&smaps),
            Err(error) => self.miss("MADV_DONTDUMP", error),
        }
    }

    fn withhold_undumped(&mut self, smaps: &[u8]) {
        for range in undumped(smaps) {
            let overlaps =
                |start: u64, len: u64| start < range.end && range.start < start.saturating_add(len);
            let stacks = self.facts.threads.iter().filter_map(|thread| thread.stack);
            let copied = stacks.map(|stack| (stack.start, stack.data.len));
            let ranges = self
                .facts
                .memory
                .iter()
                .map(|memory| (memory.start, memory.data.len));
            if copied.chain(ranges).any(|(start, len)| overlaps(start, len)) {
                self.miss(
                    format!("memory from {:#x} to {:#x}", range.start, range.end),
                    "the program asked to leave it out of cores (MADV_DONTDUMP)",
                );
                self.facts.withheld.push(Withheld {
                    low: range.start,
                    high: range.end,
                });
            }
        }
    }

    /// Start and end, in that field of `/proc/PID/stat` and the next.
    fn range_in_stat(&self, field: usize) -> Option<Range<u64>> {
        let stat = self.get(self.facts.process.stat?);
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let mut fields = std::str::from_utf8(stat.get(end + 1..)?).ok()?.split_whitespace();
        // The first behind the name is the third.
        Some(fields.nth(field - 3)?.parse().ok()?..fields.next()?.parse().ok()?)
    }
}

/// How long reading smaps would take.
fn estimate_us(pid: Pid, maps: &Maps) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let resident = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    let pages_ns = resident.unwrap_or(u64::MAX).saturating_mul(PAGE_NS);
    pages_ns.saturating_add(maps.iter().count() as u64 * MAPPING_NS) / 1_000
}

/// The mappings with the flag `dd` (proc_pid_smaps(5)).
fn undumped(smaps: &[u8]) -> Vec<Range<u64>> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.split(|byte| *byte == b'\n') {
        if let Some(flags) = line.strip_prefix(b"VmFlags:") {
            if flags.split(|byte| *byte == b' ').any(|flag| flag == b"dd") {
                found.extend(current.take());
            }
        } else if let Some(range) = bounds(line) {
            current = Some(range);
        }
    }
    found
}

/// The addresses at the beginning of a mapping's first line.
fn bounds(line: &[u8]) -> Option<Range<u64>> {
    let word = line.split(|byte| *byte == b' ').next()?;
    let (low, high) = std::str::from_utf8(word).ok()?.split_once('-')?;
    Some(u64::from_str_radix(low, 16).ok()?..u64::from_str_radix(high, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{MemoryRange, Purpose};

    fn own() -> Pid {
        Pid(std::process::id() as i32)
    }

    #[test]
    fn undumped_mappings_are_found_by_their_flag() {
        let smaps = b"1000-2000 rw-p 00000000 00:00 0 \nSize:  4 kB\nVmFlags: rd wr mr mw me ac \n\
            2000-3000 rw-p 00000000 00:00 0    [a dd]\nSize:  4 kB\nVmFlags: rd wr mr mw me dd ac \n\
            nonsense\nVmFlags: dd\n";
        assert_eq!(
            undumped(smaps).as_slice(),
            std::slice::from_ref(&(0x2000..0x3000))
        );
    }

    #[test]
    fn what_is_withheld_is_cut_out_of_what_is_shown() {
        let mut capture = Capture::default();
        let data = capture.keep(b"0123456789");
        capture.facts.withheld = vec![Withheld { low: 103, high: 105 }, Withheld { low: 108, high: 200 }];
        let shown = capture.shown(100, data);
        assert_eq!(shown, [(100, b"012".as_slice()), (105, b"567")]);
        capture.facts.withheld.push(Withheld { low: 0, high: 300 });
        assert!(capture.shown(100, data).is_empty());
    }

    #[test]
    fn our_own_environment_is_withheld_unless_all_of_it_is_allowed() {
        let withheld = |environment: &str, cmdline| {
            let mut capture = Capture::default();
            let stat = std::fs::read("/proc/self/stat").unwrap();
            capture.facts.process.stat = Some(capture.keep(&stat));
            let options = ReportOptions {
                environment: vec![environment.to_owned()],
                cmdline,
                ..ReportOptions::default()
            };
            capture.withhold(own(), own().leader(), &Maps::default(), &options);
            capture.facts.withheld.len()
        };
        assert_eq!(withheld("*", Cmdline::Full), 0);
        assert_eq!(withheld("PATH", Cmdline::Full), 1);
        assert_eq!(withheld("PATH", Cmdline::Mask), 2);
    }

    #[test]
    fn only_copied_memory_is_worth_a_word() {
        let mut capture = Capture::default();
        let data = capture.keep(&[7; 16]);
        capture.facts.memory.push(MemoryRange {
            purpose: Purpose::Code,
            start: 0x1ff8,
            data,
        });
        let smaps = b"2000-3000 rw-p 0 00:00 0\nVmFlags: dd\n8000-9000 rw-p 0 00:00 0\nVmFlags: dd\n";
        capture.withhold_undumped(smaps);
        assert_eq!(
            capture.facts.withheld,
            [Withheld {
                low: 0x2000,
                high: 0x3000
            }]
        );
        assert_eq!(capture.facts.missing[0].step, "memory from 0x2000 to 0x3000");
    }
}
