//! The process as a whole, from the text of its /proc files (proc(5)).
//!
//! `status` is read by procfs-core; `stat` and `limits` are not, because it slices the former without looking and
//! drops the units and the order of the latter.

use std::io::Cursor;

use indexmap::IndexMap;
use jiff::Timestamp;
use procfs_core::FromBufRead;
use procfs_core::process::Status;

use super::bound::bounded;
use super::host::Host;
use crate::capture::maps::{Mapping, Maps};
use crate::capture::{Blob, Capture, ProcessFacts};
use crate::report::model::{Limit, Map, Process};
use crate::sys::Pid;

/// Arguments that a report lists.
const MAX_ARGUMENTS: usize = 1_000;
/// Environment variables that a report lists.
const MAX_VARIABLES: usize = 1_000;
/// Resource limits that a report lists; the kernel has 16.
const MAX_LIMITS: usize = 64;
/// Mappings that a report lists.
const MAX_MAPS: usize = 70_000;
/// Columns that the kernel keeps for the name of a limit (`proc_pid_limits`).
const LIMIT_NAME: usize = 25;

/// The fields of `/proc/PID/stat` and `/proc/PID/task/TID/stat` that are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Stat {
    pub(super) state: char,
    pub(super) ppid: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// `PF_*` of the kernel.
    pub(super) flags: u64,
    /// Time in user mode, clock ticks.
    pub(super) user_ticks: u64,
    /// Time in the kernel, clock ticks.
    pub(super) system_ticks: u64,
    pub(super) nice: i8,
    pub(super) threads: u64,
    /// Clock ticks after boot.
    pub(super) start_time: u64,
}

impl Stat {
    /// Reads the text of a `stat` file.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        // The name in parentheses may hold anything, parentheses included.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<_> = rest.split_whitespace().collect();
        // `state` is field 3 in proc(5), and the first here.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            state: fields.first()?.chars().next()?,
            ppid: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            flags: number(9)?,
            user_ticks: number(14)?,
            system_ticks: number(15)?,
            nice: fields.get(16)?.parse().ok()?,
            threads: number(20)?,
            start_time: number(22)?,
        })
    }

    /// User and system time, clock ticks.
    pub(super) fn cpu_ticks(&self) -> u64 {
        self.user_ticks.saturating_add(self.system_ticks)
    }
}

/// `/proc/PID/status`, where it was captured and can be read.
pub(super) fn status(capture: &Capture) -> Option<Status> {
    let text = bytes(capture, capture.facts.process.status)?;
    // A command name need not be UTF-8.
    Status::from_buf_read(Cursor::new(String::from_utf8_lossy(text).as_bytes())).ok()
}

/// The process section.
pub(super) fn describe(capture: &Capture, host: &Host, mut miss: impl FnMut(String, String)) -> Process {
    let facts = &capture.facts.process;
    let mut process = Process::new(Pid(facts.pid));
    process.exe = facts.exe.clone();
    let arguments = strings(capture, facts.cmdline);
    process.cmdline = bounded(arguments, MAX_ARGUMENTS, String::len).told("arguments", &mut miss);
    let stat = bytes(capture, facts.stat).and_then(Stat::parse);
    if let Some(stat) = stat {
        process.ppid = Some(Pid(stat.ppid));
        process.threads = Some(stat.threads);
    }
    if let Some(status) = status(capture) {
        process.comm = Some(status.name);
        process.uid = Some(status.ruid);
        process.gid = Some(status.rgid);
        process.tgid_ns = status
            .nstgid
            .and_then(|ids| ids.last().copied())
            .filter(|id| *id != facts.pid)
            .map(Pid);
    }
    let start_ticks = stat.map_or(facts.start_time, |stat| stat.start_time);
    let started = (start_ticks != 0)
        .then(|| host.time_of_ticks(start_ticks))
        .flatten();
    if let Some(started) = started {
        process.start_time = Timestamp::from_microsecond(started).ok();
        // Clock ticks are coarse: what has just started may seem to start later.
        let uptime = capture.facts.time_us.saturating_sub(started).max(0);
        process.uptime_us = u64::try_from(uptime).ok();
    }
    process
}

/// The environment variables that were captured.
pub(super) fn environment(
    capture: &Capture,
    mut miss: impl FnMut(String, String),
) -> IndexMap<String, String> {
    let variables = strings(capture, capture.facts.process.environment);
    bounded(variables, MAX_VARIABLES, String::len)
        .told("environment", &mut miss)
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// `/proc/PID/limits`.
pub(super) fn limits(capture: &Capture) -> IndexMap<String, Limit> {
    let text = bytes(capture, capture.facts.process.limits).unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let limit = |line: &str| {
        let (name, values) = line.split_at_checked(LIMIT_NAME)?;
        let mut values = values.split_whitespace();
        let (soft, hard) = (values.next()?, values.next()?);
        let limit = Limit {
            soft: soft.parse().ok(),
            hard: hard.parse().ok(),
            unit: values.next().map(str::to_owned),
        };
        Some((name.trim().to_owned(), limit))
    };
    text.lines().skip(1).take(MAX_LIMITS).filter_map(limit).collect()
}

/// `/proc/PID/maps`.
pub(super) fn maps(maps: &Maps, mut miss: impl FnMut(String, String)) -> Vec<Map> {
    let line = |mapping: &Mapping| Map {
        low: mapping.low.into(),
        high: mapping.high.into(),
        perms: mapping.permissions(),
        offset: mapping.is_file().then_some(mapping.offset),
        device: mapping.is_file().then(|| mapping.device_numbers()),
        inode: mapping.is_file().then_some(mapping.inode),
        path: (!mapping.name.is_empty()).then(|| mapping.name.clone()),
    };
    let listed = bounded(maps.iter(), MAX_MAPS, |mapping| mapping.name.len()).told("maps", &mut miss);
    listed.into_iter().map(line).collect()
}

/// The process's cgroup in the unified hierarchy, from `/proc/PID/cgroup` (cgroups(7)).
pub(super) fn cgroup(capture: &Capture) -> Option<String> {
    let text = String::from_utf8_lossy(bytes(capture, capture.facts.process.cgroup)?);
    text.lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(str::to_owned)
}

/// The bytes of an optional range; none if there are none.
pub(super) fn bytes(capture: &Capture, blob: Option<Blob>) -> Option<&[u8]> {
    Some(capture.get(blob?)).filter(|bytes| !bytes.is_empty())
}

/// Strings with a zero byte behind each.
fn strings(capture: &Capture, blob: Option<Blob>) -> impl Iterator<Item = String> {
    let bytes = bytes(capture, blob).unwrap_or_default();
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    bytes
        .split(|byte| *byte == 0)
        .filter(move |_| !bytes.is_empty())
        .map(|string| String::from_utf8_lossy(string).into_owned())
}

/// The user that provably owned the process: nothing about it was ever privileged, and all its ids are one user's.
///
/// The files in `/proc/PID` belong to root for what is not dumpable; set-user-ID programs and those with file capabilities
/// start with `AT_SECURE` (getauxval(3)). A report holds the process's memory: without this proof it is root's.
pub(super) fn proven_owner(capture: &Capture) -> Option<u32> {
    let ProcessFacts { proc_owner, auxv, .. } = capture.facts.process;
    let status = status(capture)?;
    let (user, group) = (status.ruid, status.rgid);
    let one_user = [status.euid, status.suid, status.fuid]
        .iter()
        .all(|id| *id == user);
    let one_group = [status.egid, status.sgid, status.fgid]
        .iter()
        .all(|id| *id == group);
    let secure = auxiliary(bytes(capture, auxv)?, libc::AT_SECURE)?;
    (one_user && one_group && proc_owner == Some(user) && secure == 0).then_some(user)
}

/// A value of the auxiliary vector: pairs of words, of which the last has type `AT_NULL`.
fn auxiliary(auxv: &[u8], wanted: u64) -> Option<u64> {
    let word = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte))
    };
    auxv.chunks_exact(16)
        .map(|pair| pair.split_at(8))
        .map(|(kind, value)| (word(kind), word(value)))
        .take_while(|(kind, _)| *kind != libc::AT_NULL)
        .find_map(|(kind, value)| (kind == wanted).then_some(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The facts of the test's own process.
    fn own() -> Capture {
        let mut capture = Capture::default();
        let mut read = |name: &str| {
            let bytes = std::fs::read(format!("/proc/self/{name}")).unwrap();
            Some(capture.keep(&bytes))
        };
        let facts = ProcessFacts {
            pid: std::process::id() as i32,
            proc_owner: Some(nix::unistd::getuid().as_raw()),
            status: read("status"),
            stat: read("stat"),
            maps: read("maps"),
            limits: read("limits"),
            auxv: read("auxv"),
            cmdline: read("cmdline"),
            cgroup: read("cgroup"),
            environment: read("environ"),
            ..ProcessFacts::default()
        };
        capture.facts.process = facts;
        capture.facts.time_us = Timestamp::now().as_microsecond();
        capture
    }

    #[test]
    fn our_own_process_is_described() {
        let capture = own();
        let process = describe(&capture, &Host::read(&mut Vec::new()), |_, _| ());
        assert_eq!(process.ppid, Some(Pid(nix::unistd::getppid().as_raw())));
        assert_eq!(process.uid, Some(nix::unistd::getuid().as_raw()));
        assert_eq!(process.cmdline, std::env::args().collect::<Vec<_>>());
        assert!(
            process.uptime_us.is_some_and(|uptime| uptime < 600_000_000),
            "{:?}",
            process.uptime_us
        );
        assert!(process.threads >= Some(1));
        assert_eq!(
            environment(&capture, |_, _| ()).get("PATH"),
            std::env::var("PATH").ok().as_ref()
        );
        let limits = limits(&capture);
        assert_eq!(limits["Max open files"].unit.as_deref(), Some("files"));
        assert!(limits["Max open files"].soft.is_some());
        assert!(limits.len() >= 16);
        assert!(cgroup(&capture).is_some_and(|path| path.starts_with('/')));
    }

    #[test]
    fn ownership_needs_every_proof() {
        let user = nix::unistd::getuid().as_raw();
        assert_eq!(proven_owner(&own()), Some(user));
        let mut undumpable = own();
        undumpable.facts.process.proc_owner = Some(user + 1);
        let mut secure = own();
        let auxv = secure.keep(&[libc::AT_SECURE, 1].map(u64::to_le_bytes).concat());
        secure.facts.process.auxv = Some(auxv);
        let mut unknown = own();
        unknown.facts.process.auxv = None;
        let mut changed = own();
        let status = String::from_utf8(changed.get(changed.facts.process.status.unwrap()).to_vec()).unwrap();
        let status = status.replace(
            &format!("Uid:\t{user}\t{user}"),
            &format!("Uid:\t{user}\t{}", user + 1),
        );
        let status = changed.keep(status.as_bytes());
        changed.facts.process.status = Some(status);
        for capture in [undumpable, secure, unknown, changed] {
            assert_eq!(proven_owner(&capture), None);
        }
    }

    #[test]
    fn a_name_cannot_pass_for_fields() {
        let text = b"7 (x) R 1 1) S 42 1 1 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 9999 1 1\n";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(
            (
                stat.state,
                stat.ppid,
                stat.cpu_ticks(),
                stat.threads,
                stat.start_time
            ),
            ('S', 42, 300, 3, 9999)
        );
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut capture = Capture::default();
            let blob = Some(capture.keep(&text));
            capture.facts.process = ProcessFacts {
                status: blob,
                stat: blob,
                limits: blob,
                auxv: blob,
                cmdline: blob,
                cgroup: blob,
                environment: blob,
                proc_owner: Some(0),
                ..ProcessFacts::default()
            };
            describe(&capture, &Host::default(), |_, _| ());
            limits(&capture);
            environment(&capture, |_, _| ());
            cgroup(&capture);
            prop_assert_eq!(proven_owner(&capture), None);
        }

        #[test]
        fn damaged_text_of_the_kernel_is_read_without_harm(at in 0_usize..1400, byte in any::<u8>()) {
            let mut capture = own();
            for blob in [capture.facts.process.status, capture.facts.process.stat, capture.facts.process.limits] {
                if let Some(there) = blob.and_then(|blob| capture.bytes.get_mut(blob.offset as usize + at)) {
                    *there = byte;
                }
            }
            describe(&capture, &Host::default(), |_, _| ());
            limits(&capture);
        }
    }
}
