//! Copies of processes that died, held until their cores are written.
//!
//! A large core takes its time, and the service must not wait for it: before a fatal signal is delivered the process is
//! copied ([`crate::isolate::snapshot`]), and a recorder writes the copy's memory out. The recorder holds one end of a
//! pipe, its lease on the copy. When that is closed, because the core is complete or the recorder died, the copy goes.
//! If this process dies, the copy ends by itself, and the recorder is told so by its first failing read.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use crate::capture::fault::{Copied, Whole, micros};
use crate::capture::{Capture, Phase};
use crate::config::{CoreExtent, Format};
use crate::isolate::snapshot::{self, Failed, Snapshot};
use crate::service::cgroups::Cgroups;
use crate::sys::memory::{Memory, PAGE};
use crate::sys::status::Status;
use crate::sys::{Pid, process};
use crate::trace::Fault;

use super::Tracer;

/// How many copies are held at once: each can hold as much memory as its process did.
const MAX_COPIES: usize = 1;
/// The longest that a tracer which was let go stays for its copies.
const LINGER: Duration = Duration::from_secs(3600);
/// The step of a report that is missing where there is no copy.
const STEP: &str = "core.zst";
/// How far up the limits of control groups are looked at.
const MAX_GROUPS: usize = 16;

/// A copied process, and the end of the pipe that tells when it is needed no longer.
#[derive(Debug)]
pub(super) struct HeldCopy {
    pid: Pid,
    lease: OwnedFd,
}

impl Tracer {
    /// Copies the process of a fault that is about to be delivered, where its core is to hold more than the capture.
    /// Why there is no copy is noted in the capture. None: the thread is gone, and its process with it.
    pub(super) fn copy_process(&mut self, mut fault: Fault, copied: &mut Copied) -> Option<Fault> {
        let options = &self.service.report;
        if options.core == CoreExtent::Compact || !options.formats.contains(&Format::Core) {
            return Some(fault);
        }
        let began = Instant::now();
        let refuse = |capture: &mut Capture, reason: &dyn std::fmt::Display| {
            capture.miss(STEP, format!("{reason}; it is compact"));
        };
        if let Err(reason) = self.may_copy(fault.process) {
            refuse(&mut copied.capture, &reason);
            return Some(fault);
        }
        let memory = Memory::of(fault.thread.tid());
        let Some(sites) = self.sites.find(&memory, &copied.maps) else {
            refuse(
                &mut copied.capture,
                &"the process has no code that enters the kernel",
            );
            return Some(fault);
        };
        let taken = snapshot::take(fault.thread, fault.process, &sites);
        copied.capture.facts.pause.phases.push(Phase {
            name: "copy".to_owned(),
            us: micros(began.elapsed()),
        });
        match taken {
            Ok((thread, snapshot)) => {
                fault.thread = thread;
                match self.hold_copy(snapshot) {
                    Ok(whole) => copied.whole = Some(whole),
                    Err(error) => refuse(&mut copied.capture, &error),
                }
            }
            Err(Failed { thread, reason }) => {
                refuse(&mut copied.capture, &reason);
                fault.thread = thread?;
            }
        }
        Some(fault)
    }

    fn hold_copy(&mut self, snapshot: Snapshot) -> io::Result<Whole> {
        let Snapshot {
            pid,
            memory,
            smaps,
            pagemap,
        } = snapshot;
        let leased = pipe2(OFlag::O_CLOEXEC)
            .map_err(io::Error::from)
            .and_then(|(ours, theirs)| {
                self.wake.watch(ours.as_fd())?;
                Ok((ours, theirs))
            });
        let (lease, theirs) = leased.inspect_err(|_| process::kill(pid))?;
        self.copies.push(HeldCopy { pid, lease });
        Ok(Whole {
            pid,
            files: vec![memory.into(), smaps.into(), pagemap.into(), theirs],
        })
    }

    /// Ends the copies that are needed no longer.
    pub(super) fn look_after_copies(&mut self) {
        self.copies.retain(|copy| {
            let needed = !is_closed(&copy.lease, PollTimeout::ZERO);
            if !needed {
                process::kill(copy.pid);
            }
            needed
        });
    }

    /// Whether copies are held.
    pub(super) fn has_copies(&self) -> bool {
        !self.copies.is_empty()
    }

    /// Stays until the copies are needed no longer. They are all that is traced.
    pub(super) fn linger(&mut self) {
        let until = Instant::now() + LINGER;
        while let Some(copy) = self.copies.last() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero()
                || is_closed(
                    &copy.lease,
                    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
                )
            {
                process::kill(copy.pid);
                self.copies.pop();
            }
        }
    }

    /// Whether there is room for a copy.
    fn may_copy(&self, process: Pid) -> Result<(), String> {
        if self.copies.len() >= MAX_COPIES {
            return Err("the copy of an earlier crash is still being written".to_owned());
        }
        if is_namespace_init(process) {
            return Err(
                "the process is the init of its PID namespace, whose end would end a copy".to_owned(),
            );
        }
        let resident = resident(process).ok_or("how much memory it has cannot be read")?;
        let available = available().unwrap_or(u64::MAX);
        if resident > available {
            return Err(format!(
                "a copy may come to {resident} bytes, and {available} are available"
            ));
        }
        match room_in_groups(process) {
            Some(room) if resident > room => Err(format!(
                "a copy may come to {resident} bytes, and its control group leaves room for {room}"
            )),
            _ => Ok(()),
        }
    }
}

/// Whether nobody holds the other end, after waiting for that.
fn is_closed(lease: &OwnedFd, timeout: PollTimeout) -> bool {
    let mut sources = [PollFd::new(lease.as_fd(), PollFlags::POLLIN)];
    let ended = poll(&mut sources, timeout).is_ok_and(|count| count > 0);
    ended
        && sources[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

/// Whether a process is the first of a namespace within ours.
fn is_namespace_init(process: Pid) -> bool {
    Status::read(process.leader()).is_ok_and(|status| status.is_namespace_init())
}

/// What of a process is in memory, bytes.
fn resident(process: Pid) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()? * PAGE)
}

/// What the machine can give without swapping, bytes (proc_meminfo(5)).
fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// What the tightest of a process's control groups has left, bytes: a successor of the process must fit beside the copy,
/// whose pages stay charged to that group. None: there is no limit.
fn room_in_groups(process: Pid) -> Option<u64> {
    let cgroups = Cgroups::mounted()?;
    let group = cgroups.directory(&cgroups.of_process(process)?)?;
    let left = group.ancestors().take(MAX_GROUPS).filter_map(|group| {
        let number = |name: &str| {
            fs::read_to_string(group.join(name))
                .ok()?
                .trim()
                .parse::<u64>()
                .ok()
        };
        Some(number("memory.max")?.saturating_sub(number("memory.current")?))
    });
    left.min()
}
