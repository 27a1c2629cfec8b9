//! Which tracee to look at next.
//!
//! `waitid(P_ALL)` walks the list of tracees, newest first: 0.4 us with 10 of them, about 1 ms with 10,000, and
//! old threads starve while a new one storms. `waitid(P_PID)` costs 0.4 us at any number. Two ways follow:
//!
//! * **Few tracees, none held:** block in `waitid(P_ALL)`; in between, look at one tracee in turn, so that none
//!   starves.
//! * **Many:** SIGCHLD names a task, but coalesces. Look at the task it names, then at those that were active
//!   last, most recent first, until none has news; one that had none [`MISSES`] times in a row is looked at no
//!   more until it has. Sweep over all after [`SILENCE`], and under load as often as keeps sweeping below a
//!   tenth of the time. An event that comes after a sweep began raises SIGCHLD anew, so a sweep that finds
//!   nothing may be followed by a wait without a limit. Each sweep ends with one look at all, for tasks that
//!   nobody has named.
//!
//! Waiting for SIGCHLD with a limit that ends before the next tick of the clock costs two settings of its hardware
//! timer, a third of the rate in a virtual machine. So once many waits in a row brought news the limit is
//! [`PATIENCE`], which any tick precedes; a lost SIGCHLD is then noticed that much later, and the limit is
//! [`SILENCE`] again.
//!
//! Tried by others and dropped: a queue instead of the most-recent-first order, and a silence of 100 us, cost
//! ten times the rate; pidfds do not report stops.

use std::time::{Duration, Instant};

use fnv::FnvHashMap;

use crate::sys::Tid;
use crate::sys::wait::{self, Event, Look, News};
use crate::sys::wake::Wake;

/// Up to this many tracees a single wait for all of them is cheaper than SIGCHLD.
const FEW: usize = 200;
/// How many of the recently active tracees are looked at.
const RECENT: usize = 8;
/// After so many looks in vain a tracee does not count as recently active: each costs as much as a tenth of a stop.
const MISSES: u32 = 16;
/// After that long without an event every tracee is looked at once.
const SILENCE: Duration = Duration::from_millis(1);
/// The same under load: longer than two ticks of the usual 250 Hz.
const PATIENCE: Duration = Duration::from_millis(10);
/// After so many waits with news in a row the service counts as under load.
const STREAK: u32 = 256;
/// A sweep may take one part in this many of the time.
const SWEEP_SHARE: u32 = 10;
/// With few tracees, one look at a single tracee per so many events keeps any from starving.
const TURN: u32 = 2;

/// What the wait came back with.
#[derive(Debug)]
pub enum Waited {
    /// A tracee has news.
    Event(Event),
    /// The front, or a timer.
    Woken,
    /// There is no tracee.
    Nobody,
}

/// A tracee that was active, and how often it was looked at since without news.
#[derive(Debug)]
struct Active {
    tid: Tid,
    misses: u32,
}

/// The tracees, in the order in which they are looked at.
#[derive(Debug)]
pub struct Waiting {
    tasks: Vec<Tid>,
    places: FnvHashMap<Tid, usize>,
    recent: Vec<Active>,
    cursor: usize,
    events: u32,
    by_signal: bool,
    sweep: Option<usize>,
    sweep_began: Instant,
    swept_in: Duration,
    last_sweep: Instant,
    quiet: bool,
    /// How many waits for SIGCHLD brought news since the last silence.
    streak: u32,
}

impl Default for Waiting {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            tasks: Vec::new(),
            places: FnvHashMap::default(),
            recent: Vec::with_capacity(RECENT + 1),
            cursor: 0,
            events: 0,
            by_signal: false,
            sweep: None,
            sweep_began: now,
            swept_in: Duration::ZERO,
            last_sweep: now,
            quiet: false,
            streak: 0,
        }
    }
}

impl Waiting {
    /// A task is traced from now on.
    pub fn add(&mut self, tid: Tid) {
        if !self.places.contains_key(&tid) {
            self.places.insert(tid, self.tasks.len());
            self.tasks.push(tid);
        }
        self.touch(tid);
    }

    /// A task is traced no longer.
    pub fn remove(&mut self, tid: Tid) {
        if let Some(place) = self.places.remove(&tid) {
            self.tasks.swap_remove(place);
            if let Some(moved) = self.tasks.get(place) {
                self.places.insert(*moved, place);
            }
        }
        self.recent.retain(|active| active.tid != tid);
    }

    /// Somebody else has taken signals that announced events: look at every tracee before the next long wait.
    pub fn expect_events(&mut self) {
        self.quiet = false;
    }

    /// Waits for the next event. `held` says whether a stop stays unanswered meanwhile: a wait for all would
    /// report it again and again.
    pub fn next(&mut self, wake: &Wake, held: bool) -> Waited {
        if wake.is_pending() {
            return Waited::Woken;
        }
        self.choose_way(held);
        if self.by_signal {
            self.next_by_signal()
        } else {
            self.next_of_all()
        }
    }

    fn choose_way(&mut self, held: bool) {
        // Going back needs a clear margin, so that a pool of threads around the limit does not flip.
        let by_signal = held || self.tasks.len() > if self.by_signal { FEW / 2 } else { FEW };
        if by_signal != self.by_signal {
            self.by_signal = by_signal;
            self.quiet = false;
            if by_signal {
                self.begin_sweep();
            }
        }
    }

    fn next_of_all(&mut self) -> Waited {
        self.events = self.events.wrapping_add(1);
        if self.events.is_multiple_of(TURN) {
            self.cursor = (self.cursor + 1) % self.tasks.len().max(1);
            if let Some(event) = self.tasks.get(self.cursor).and_then(|tid| wait::peek(*tid)) {
                return Waited::Event(event);
            }
        }
        match wait::peek_any() {
            Look::Event(event) => Waited::Event(event),
            Look::Interrupted => Waited::Woken,
            Look::Nobody => Waited::Nobody,
        }
    }

    fn next_by_signal(&mut self) -> Waited {
        loop {
            if self.sweep.is_none() && !self.quiet && self.sweep_is_due() {
                self.begin_sweep();
            }
            // A sweep that has begun goes first: those it looks for are the ones that a storm would starve.
            if let Some(event) = self.continue_sweep().or_else(|| self.look_at_recent()) {
                self.quiet = false;
                return Waited::Event(event);
            }
            match wait::next_signal(self.limit()) {
                News::Task(tid) => {
                    self.quiet = false;
                    self.streak = self.streak.saturating_add(1);
                    self.touch(tid);
                    if let Some(event) = wait::peek(tid) {
                        return Waited::Event(event);
                    }
                }
                News::Interrupted => return Waited::Woken,
                News::Silence if self.quiet => return Waited::Woken,
                News::Silence => {
                    self.streak = 0;
                    self.begin_sweep();
                    match self.continue_sweep() {
                        Some(event) => return Waited::Event(event),
                        None => self.quiet = true,
                    }
                }
            }
        }
    }

    /// How long to wait for SIGCHLD; none after a sweep that found nothing.
    fn limit(&self) -> Option<Duration> {
        let limit = if self.streak < STREAK { SILENCE } else { PATIENCE };
        (!self.quiet).then_some(limit)
    }

    fn look_at_recent(&mut self) -> Option<Event> {
        let found = self.recent.iter_mut().find_map(|active| {
            active.misses += 1;
            Some((active.tid, wait::peek(active.tid)?))
        });
        let Some((tid, event)) = found else {
            self.recent.retain(|active| active.misses < MISSES);
            return None;
        };
        self.touch(tid);
        Some(event)
    }

    fn sweep_is_due(&self) -> bool {
        self.last_sweep.elapsed() > self.swept_in * (SWEEP_SHARE - 1) + SILENCE
    }

    fn begin_sweep(&mut self) {
        self.sweep = Some(0);
        self.sweep_began = Instant::now();
    }

    /// Goes on with a sweep until it finds an event, or ends.
    fn continue_sweep(&mut self) -> Option<Event> {
        let mut at = self.sweep?;
        while let Some(tid) = self.tasks.get(at).copied() {
            at += 1;
            if let Some(event) = wait::peek(tid) {
                self.sweep = Some(at);
                self.touch(tid);
                return Some(event);
            }
        }
        self.sweep = None;
        self.last_sweep = Instant::now();
        self.swept_in = self.last_sweep - self.sweep_began;
        // A child whose parent died before it could name it is in no table of ours.
        wait::peek_any_now()
    }

    fn touch(&mut self, tid: Tid) {
        if !self.places.contains_key(&tid) {
            return;
        }
        if let Some(first) = self.recent.first_mut().filter(|first| first.tid == tid) {
            first.misses = 0;
            return;
        }
        self.recent.retain(|active| active.tid != tid);
        self.recent.insert(0, Active { tid, misses: 0 });
        self.recent.truncate(RECENT);
    }
}
