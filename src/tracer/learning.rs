//! What the first fault of a process would have to wait for, done ahead: its files are looked at while nothing is wrong.
//!
//! That begins [`AFTER`] it was attached or has taken up another program, when it has loaded what it needs, as a rule. What it
//! loads later is looked at when a fault leads there.
//!
//! A file may be large, or slow to read, and nobody may wait for it here: another thread looks, and what it has found is taken
//! up when it is done. One that never is leaves everything to the faults.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::capture::Loaded;
use crate::diagnose::unwind::Tables;
use crate::diagnose::{FileVersion, Image, ModuleSource, Runtimes};
use crate::isolate::sites::Finder;
use crate::isolate::throw::{Program, Throwing};
use crate::sys::memory::Memory;
use crate::sys::{Pid, aside, fail};

use super::Tracer;
use super::source::Files;

/// How long a process has to load what it needs.
const AFTER: Duration = Duration::from_secs(1);
/// How long until the first look at whether all is found; later ones come at ever longer intervals.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Processes that wait to be looked at.
const MAX_ASKED: usize = 64;
/// How many files of a process are looked at.
const MAX_FILES: usize = 256;
/// How much of unwind tables is kept of one process, bytes; those of a program and its libraries take a few MiB.
const MAX_TABLES: usize = 64 << 20;
/// The stack of the thread that looks, bytes.
const STACK: usize = 1 << 20;
/// File systems whose files somebody else serves, who may never answer, by the beginnings of their names
/// (proc_pid_mountinfo(5)).
const SERVED: [&str; 8] = ["fuse", "virtiofs", "nfs", "cifs", "smb", "9p", "ceph", "afs"];

/// Processes of which something is still to be learnt.
#[derive(Debug, Default)]
pub(super) struct Learning {
    /// And when.
    asked: VecDeque<(Pid, Instant)>,
    looking: Option<Looking>,
}

/// A look at the files of a process.
#[derive(Debug)]
struct Looking {
    process: Pid,
    since: Instant,
    again: Instant,
    thread: JoinHandle<Learnt>,
}

/// What was found out about files.
#[derive(Debug, Default)]
struct Learnt {
    tables: Vec<(FileVersion, Tables)>,
    runtimes: Runtimes,
    throwing: Throwing,
    sites: Finder,
}

impl Learnt {
    /// Looks at the files of a process, unless its program is `known`.
    fn of(process: Pid, known: &HashSet<FileVersion>) -> Self {
        let mut learnt = Self::default();
        let Loaded {
            maps,
            mut modules,
            files,
        } = Loaded::by(process);
        fail::point("tracer.learn.listed");
        let served = served(process);
        modules.truncate(MAX_FILES);
        if modules.iter().any(|module| served.contains(&module.device)) {
            return learnt;
        }
        let source = Files(&files);
        if source.version(0).is_none_or(|program| known.contains(&program)) {
            return learnt;
        }
        let mut left = MAX_TABLES;
        for module in 0..modules.len() {
            let read = || Tables::read(&Image::open(&source, module).ok()?).ok();
            let Some((version, tables)) = source.version(module).zip(read()) else {
                continue;
            };
            if let Some(rest) = left.checked_sub(tables.size()) {
                left = rest;
                learnt.tables.push((version, tables));
            }
        }
        learnt.runtimes.find(&modules, &source);
        learnt.throwing.learn(&Program {
            process,
            modules: &modules,
            source: &source,
        });
        learnt.sites.find(&Memory::of(process.leader()), &maps);
        learnt
    }
}

/// Devices of file systems that somebody else serves, as the process sees them.
fn served(process: Pid) -> HashSet<(u32, u32)> {
    let mounts = fs::read_to_string(format!("/proc/{process}/mountinfo")).unwrap_or_default();
    mounts.lines().filter_map(served_device).collect()
}

/// The device of a line of mountinfo, if somebody else serves it: "36 35 98:0 / /mnt rw - fuse.sshfs host: rw".
fn served_device(line: &str) -> Option<(u32, u32)> {
    let (mount, kind) = line.split_once(" - ")?;
    let is_served = SERVED.iter().any(|beginning| kind.starts_with(beginning));
    let (major, minor) = mount.split(' ').nth(2)?.split_once(':')?;
    is_served.then_some((major.parse().ok()?, minor.parse().ok()?))
}

impl Looking {
    fn begin(process: Pid, known: HashSet<FileVersion>) -> Option<Self> {
        match aside::spawn(STACK, move || Learnt::of(process, &known)) {
            Ok(thread) => Some(Self {
                process,
                since: Instant::now(),
                again: Instant::now() + LOOK_AGAIN,
                thread,
            }),
            Err(error) => {
                log::warn!("failed to look at the files of process {process} ahead: {error}");
                None
            }
        }
    }
}

impl Tracer {
    /// A process was attached, or has taken up another program. What is there is learnt where faults are looked at closely.
    pub(super) fn learn_of(&mut self, process: Pid) {
        if !self.service.looks_closely() {
            return;
        }
        self.examiner.prepare();
        self.forget_to_learn_of(process);
        if self.learning.asked.len() < MAX_ASKED {
            self.learning.asked.push_back((process, Instant::now() + AFTER));
        }
        self.set_alarm();
    }

    /// A process has ended.
    pub(super) fn forget_to_learn_of(&mut self, process: Pid) {
        self.learning.asked.retain(|(asked, _)| *asked != process);
    }

    /// When there is something to do for [`Tracer::learn`].
    pub(super) fn next_lesson(&self) -> Option<Instant> {
        match &self.learning.looking {
            Some(looking) => Some(looking.again),
            None => self.learning.asked.front().map(|(_, due)| *due),
        }
    }

    /// Takes up what was found out, when it is time, and has more found out.
    pub(super) fn learn(&mut self) {
        let now = Instant::now();
        if self.next_lesson().is_none_or(|due| due > now) {
            return;
        }
        match self
            .learning
            .looking
            .take_if(|looking| looking.thread.is_finished())
        {
            Some(done) => self.take_up(done),
            None => {
                if let Some(looking) = &mut self.learning.looking {
                    looking.again = now + looking.since.elapsed();
                }
            }
        }
        let due = |(_, due): &(Pid, Instant)| *due <= now;
        if self.learning.looking.is_none() && self.learning.asked.front().is_some_and(due) {
            let asked = self.learning.asked.pop_front();
            let begin = |(process, _)| Looking::begin(process, self.examiner.known());
            self.learning.looking = asked.and_then(begin);
        }
        self.set_alarm();
    }

    fn take_up(&mut self, done: Looking) {
        let process = done.process;
        let Ok(learnt) = done.thread.join() else {
            log::warn!("failed to look at the files of process {process} ahead: a defect, please report it");
            return;
        };
        log::debug!(
            "looked ahead at files of process {process}: {}",
            learnt.tables.len()
        );
        self.examiner.take_up(learnt.tables, learnt.runtimes);
        self.throwing.take_up(learnt.throwing);
        self.sites.take_up(learnt.sites);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_process_is_looked_at_once() {
        let own = Pid(std::process::id() as i32);
        let modules = Loaded::by(own).modules.len();
        assert!(modules > 1, "our own program and its libraries");
        let first = Learnt::of(own, &HashSet::new());
        assert_eq!(first.tables.len(), modules);
        let known = first.tables.iter().map(|(version, _)| *version).collect();
        assert_eq!(Learnt::of(own, &known).tables.len(), 0);
    }

    #[test]
    fn what_somebody_else_serves_is_told_by_its_file_system() {
        let line = |kind: &str| format!("36 35 98:7 / /mnt rw,noatime shared:1 - {kind} where rw");
        for kind in ["fuse.sshfs", "fuseblk", "nfs4", "9p"] {
            assert_eq!(served_device(&line(kind)), Some((98, 7)), "{kind}");
        }
        for kind in ["ext4", "overlay", "tmpfs"] {
            assert_eq!(served_device(&line(kind)), None, "{kind}");
        }
        assert_eq!(served_device("nonsense"), None);
    }
}
