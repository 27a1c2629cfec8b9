//! On which CPU the tracer runs while one thread storms.
//!
//! A stop is two switches, from the thread to its tracer and back. Across CPUs each wakes one that may be idle: a signal
//! then takes 45 to 50 us of CPU time of both, and on one CPU 10.5 (in a virtual machine with two). Left alone the
//! scheduler keeps the two apart. So when all stops for a while are those of one thread, this process moves to the CPU
//! that the thread was last on; it moves back when others stop as well, or none does. The two never run at the same time,
//! so nothing is lost. The service itself is never moved.
//!
//! Tried and dropped: looking for the thread's CPU at each stop, which costs as much as the stop.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::sys::Tid;

use super::attach;

/// Only so many stops or more within a period are a storm.
const STORM: u32 = 32;
/// This very thread.
const OURSELVES: Pid = Pid::from_raw(0);

/// Where this process may run, and where it does.
#[derive(Debug)]
pub(super) struct Placement {
    /// The CPUs that this process may use, none while it has not moved.
    home: Option<CpuSet>,
    cpu: usize,
    /// Who stopped last, and how often within this period.
    who: Option<Tid>,
    stops: u32,
    alone: bool,
}

impl Placement {
    /// Where this process was started.
    pub(super) fn new() -> Self {
        Self {
            home: None,
            cpu: 0,
            who: None,
            stops: 0,
            alone: true,
        }
    }

    /// A thread has stopped.
    pub(super) fn stopped(&mut self, tid: Tid) {
        self.alone &= self.who.is_none_or(|who| who == tid);
        self.who = Some(tid);
        self.stops = self.stops.saturating_add(1);
    }

    /// A period is over: moves to the thread that alone has stormed in it, or back.
    pub(super) fn adjust(&mut self) {
        let storming = self.who.filter(|_| self.alone && self.stops >= STORM);
        (self.who, self.stops, self.alone) = (None, 0, true);
        match storming.and_then(attach::last_cpu) {
            Some(cpu) => self.move_to(cpu),
            None => self.move_back(),
        }
    }

    fn move_to(&mut self, cpu: usize) {
        if self.home.is_some() && self.cpu == cpu {
            return;
        }
        let Some(home) = self.home.or_else(|| sched_getaffinity(OURSELVES).ok()) else {
            return;
        };
        let mut only = CpuSet::new();
        // A CPU outside our own set is not ours to use, and one that left the cpuset meanwhile is refused.
        if home.is_set(cpu) == Ok(true)
            && only.set(cpu).is_ok()
            && sched_setaffinity(OURSELVES, &only).is_ok()
        {
            self.home = Some(home);
            self.cpu = cpu;
        }
    }

    fn move_back(&mut self) {
        if let Some(home) = self.home.take()
            && let Err(errno) = sched_setaffinity(OURSELVES, &home)
        {
            log::warn!("cannot use all CPUs again: {errno}");
        }
    }
}
