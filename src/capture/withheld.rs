//! Memory that must not leave the process: what it asked to be left out of cores (`MADV_DONTDUMP`, madvise(2)), and its
//! arguments and environment where the configuration keeps these back.
//!
//! A stack is copied all the same, since no calls can be followed without it; nothing that is written holds such memory.
//! Only `/proc/PID/smaps` tells what was left out of cores, and the kernel walks every page for it: 13 ms for each GB, and
//! 4 us for each mapping. So it is read on another CPU while threads are held, or when they run again; and only where that
//! is short, or on request. A mapping that is gone by then may have been one of these, and counts as one.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::config::{Cmdline, DontDump, ReportOptions};
use crate::sys::{Pid, Tid};

use super::aside::Aside;
use super::process::MAX_FILE;
use super::{Capture, Withheld};

/// How long reading smaps may take unasked.
const UNASKED: Duration = Duration::from_millis(20);
/// How many resident pages may be walked unasked; 50 ns each.
const UNASKED_PAGES: u64 = 120_000;
/// How much is read at once: the kernel gives a page at most (fs/seq_file.c).
const PIECE: usize = 4096;
/// Fields of `/proc/PID/stat` (proc(5)), counted from 1.
const ARG_START: usize = 48;
const ENV_START: usize = 50;

/// Which mappings the program asked to leave out of cores, still to be had.
#[derive(Debug)]
pub(super) struct Marks {
    source: Source,
    aside: Option<Aside<Outcome>>,
}

/// Where marks are read, and whether that may take its time.
#[derive(Clone, Copy, Debug)]
struct Source {
    pid: Pid,
    tid: Tid,
    at_length: bool,
}

/// What became of reading them.
#[derive(Debug)]
enum Outcome {
    Read(Vec<u8>),
    TooLarge,
    Failed(io::Error),
}

impl Marks {
    /// Marks that are read when they are wanted.
    pub(super) fn later(pid: Pid, tid: Tid, wish: DontDump) -> Self {
        let source = Source {
            pid,
            tid,
            at_length: wish == DontDump::Always,
        };
        Self { source, aside: None }
    }

    /// Begins to read them.
    pub(super) fn begin(self) -> Self {
        let source = self.source;
        Self {
            aside: Some(Aside::begin(move || source.read())),
            ..self
        }
    }

    fn finish(self) -> Outcome {
        self.aside.map_or_else(|| self.source.read(), Aside::finish)
    }
}

impl Source {
    fn read(self) -> Outcome {
        let Self { pid, tid, at_length } = self;
        if !at_length && resident_pages(pid).is_none_or(|pages| pages > UNASKED_PAGES) {
            return Outcome::TooLarge;
        }
        // The thread may have ended meanwhile, or its process may have a leader that has.
        let file = File::open(format!("/proc/{pid}/task/{tid}/smaps"))
            .or_else(|_| File::open(format!("/proc/{pid}/smaps")));
        let until = (!at_length).then(|| Instant::now() + UNASKED);
        match file.and_then(|mut file| read_until(&mut file, until)) {
            Ok(Some(smaps)) => Outcome::Read(smaps),
            Ok(None) => Outcome::TooLarge,
            Err(error) => Outcome::Failed(error),
        }
    }
}

/// Reads a file to its end; None if that has not come in time.
fn read_until(file: &mut impl Read, until: Option<Instant>) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut piece = [0; PIECE];
    while bytes.len() < MAX_FILE as usize {
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(None);
        }
        match file.read(&mut piece)? {
            0 => break,
            len => bytes.extend_from_slice(&piece[..len]),
        }
    }
    Ok(Some(bytes))
}

impl Capture {
    /// Notes that arguments and environment are not to be written anywhere, where they are not.
    pub(super) fn withhold(&mut self, options: &ReportOptions) {
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
    }

    /// Notes which of the copied memory the program asked to leave out of cores.
    pub(super) fn withhold_marked(&mut self, marks: Marks) {
        match marks.finish() {
            Outcome::Read(smaps) => self.withhold_undumped(&smaps),
            Outcome::TooLarge => {
                let reason = "the process is so large that looking it up takes long; dontdump = \"always\" does it all the same";
                self.miss("MADV_DONTDUMP", reason);
            }
            Outcome::Failed(error) => self.miss("MADV_DONTDUMP", error),
        }
    }

    fn withhold_undumped(&mut self, smaps: &[u8]) {
        let mappings = mappings(smaps);
        let stacks = self.facts.threads.iter().filter_map(|thread| thread.stack);
        let copied = stacks.map(|stack| (stack.start, stack.data.len));
        let others = self
            .facts
            .memory
            .iter()
            .map(|memory| (memory.start, memory.data.len));
        let mut withheld = Vec::new();
        for (start, len) in copied.chain(others).filter(|(_, len)| *len > 0) {
            withheld.extend(unshown(&mappings, start..start.saturating_add(len)));
        }
        withheld.sort_unstable_by_key(|range| (range.start, range.end));
        withheld.dedup();
        for range in withheld {
            self.miss(
                format!("memory from {:#x} to {:#x}", range.start, range.end),
                "the program asked to leave it out of cores (MADV_DONTDUMP), or has given it back since",
            );
            self.facts.withheld.push(Withheld {
                low: range.start,
                high: range.end,
            });
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

/// Pages of a process that are in memory (`statm`, proc_pid_statm(5)).
fn resident_pages(pid: Pid) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    statm.split(' ').nth(1)?.parse().ok()
}

/// All mappings, by address, and whether each is marked with `dd` (proc_pid_smaps(5)).
fn mappings(smaps: &[u8]) -> Vec<(Range<u64>, bool)> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.split(|byte| *byte == b'\n') {
        if let Some(flags) = line.strip_prefix(b"VmFlags:") {
            let marked = flags.split(|byte| *byte == b' ').any(|flag| flag == b"dd");
            found.extend(current.take().map(|range| (range, marked)));
        } else if let Some(range) = bounds(line) {
            current = Some(range);
        }
    }
    found
}

/// The parts of a range that lie in marked mappings, those whole, or in none.
fn unshown(mappings: &[(Range<u64>, bool)], wanted: Range<u64>) -> Vec<Range<u64>> {
    let mut parts = Vec::new();
    let mut from = wanted.start;
    let first = mappings.partition_point(|(range, _)| range.end <= wanted.start);
    for (range, marked) in mappings[first..]
        .iter()
        .take_while(|(range, _)| range.start < wanted.end)
    {
        if from < range.start {
            parts.push(from..range.start);
        }
        if *marked {
            parts.push(range.clone());
        }
        from = range.end;
    }
    if from < wanted.end {
        parts.push(from..wanted.end);
    }
    parts
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
        assert_eq!(mappings(smaps), [(0x1000..0x2000, false), (0x2000..0x3000, true)]);
    }

    #[test]
    fn what_lies_in_no_mapping_any_more_is_not_shown() {
        let mappings = [
            (0x1000..0x2000, false),
            (0x2000..0x3000, true),
            (0x5000..0x6000, false),
        ];
        let unshown = |range| unshown(&mappings, range);
        assert_eq!(unshown(0x1000..0x2000), []);
        assert_eq!(unshown(0x1800..0x2010), std::slice::from_ref(&(0x2000..0x3000)));
        assert_eq!(unshown(0x2800..0x5800), [0x2000..0x3000, 0x3000..0x5000]);
        assert_eq!(unshown(0x800..0x1800), std::slice::from_ref(&(0x800..0x1000)));
        assert_eq!(unshown(0x5800..0x6800), std::slice::from_ref(&(0x6000..0x6800)));
    }

    #[test]
    fn reading_ends_when_its_time_is_up() {
        let text = vec![b'x'; 3 * PIECE];
        let whole = read_until(&mut text.as_slice(), None).unwrap();
        assert_eq!(whole.map(|bytes| bytes.len()), Some(3 * PIECE));
        assert_eq!(
            read_until(&mut text.as_slice(), Some(Instant::now())).unwrap(),
            None
        );
    }

    #[test]
    fn our_own_marks_are_read_at_once_and_aside() {
        let marks = || Marks::later(own(), own().leader(), DontDump::Always);
        for marks in [marks(), marks().begin()] {
            let outcome = marks.finish();
            assert!(
                matches!(&outcome, Outcome::Read(smaps) if !mappings(smaps).is_empty()),
                "{outcome:?}"
            );
        }
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
            capture.withhold(&options);
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
        let smaps = b"1000-2000 rw-p 0 00:00 0\nVmFlags: rd\n2000-3000 rw-p 0 00:00 0\nVmFlags: dd\n8000-9000 rw-p 0 00:00 0\nVmFlags: dd\n";
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
