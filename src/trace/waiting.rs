//! Which tracee to look at next, at a cost that does not grow with their number.
//!
//! `waitid(P_ALL)` walks the list of tracees, newest first: a stop costs a third more with 200 of them, two thirds more
//! with 400, and old threads starve while a new one storms. `waitid(P_PID)` costs the same at any number, but has to be
//! told whom to look at. SIGCHLD tells: it names a task and the signal that it stopped for, which is all there is to
//! know. Taking it costs what a wait does, so a storm of signals takes two system calls a stop: the least there is.
//!
//! But SIGCHLD coalesces. What stops while it is pending is found in two ways:
//!
//! * **Those that were active last**: each is looked at once after a SIGCHLD that named another one. One that had no news
//!   [`MISSES`] times in a row is left alone until it has.
//! * **A sweep** over all, [`PERIOD`] after the first news, and then as often as keeps sweeping below a tenth of the work,
//!   until one finds nothing and no news came since. It is made of `waitid(P_ALL)`, at 15 ns a tracee up to the first that
//!   has stopped; a few that storm hide the others only while they are stopped, and answering them is work that has to
//!   be done. It hides only those that were attached earlier: once a look at each of these costs no more than the sweep
//!   has by then, they are looked at, and where one that is kept hides others, all are.
//!
//! A thread that is kept in its stop for longer would be reported at each look: looks pass over it, until it dies.
//!
//! A stop can be seen by a look before its SIGCHLD is sent (kernel/signal.c, `ptrace_stop`), though not be answered.
//! Where SIGCHLD names a thread whose stop was found and answered by a look meanwhile, it may be about that stop; then the
//! thread is looked at again, and what that finds counts as found by a look in its turn. So that this does not go on for
//! as long as a thread storms, the SIGCHLD of the stop that was found is taken then and there: it has been sent once the
//! kernel has answered a request about the thread (kernel/ptrace.c, `ptrace_check_attach`, waits until it has left its CPU).
//!
//! Tried and dropped: blocking in `waitid(P_ALL)` with few tracees (faster by 3 % with one, slower from 20 on); waiting
//! with a limit instead of the alarm (4 %); looking at the tracee that was just answered (5 %); sweeps that look at each
//! (10 to 20 %). Dropped by others: a queue instead of the most-recent-first order, a sweep every 100 us; pidfds do not
//! report stops.

use std::io;
use std::time::Duration;

use crate::sys::news::{self, Alarm, Named, News};
use crate::sys::process::cpu_time;
use crate::sys::ptrace::Stopped;
use crate::sys::tasks::Tasks;
use crate::sys::wait::{self, Event, Look};
use crate::sys::wake::Wake;
use crate::sys::{Pid, Tid};

use super::placement::Placement;
use super::tracees::Tracees;

/// How many of the recently active tracees are looked at.
const RECENT: usize = 8;
/// After so many looks in vain a tracee does not count as recently active.
const MISSES: u32 = 16;
/// How long after news the next sweep begins.
const PERIOD: Duration = Duration::from_millis(4);
/// A sweep may take one part in this many of the time that this process runs. Time that passes on the clock says little:
/// on a busy machine hardly a stop may have been answered in it.
const SHARE: u32 = 10;
/// So often a sweep is put off for that.
const PUT_OFF: u32 = 10;
/// What a look at one tracee costs.
const LOOK: Duration = Duration::from_nanos(400);
/// So many sweeps may leave those out that were attached last, as far as is known: threads born at the same time may have
/// become known in another order than the kernel's.
const IN_ORDER: u32 = 16;

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

/// A tracee that was active.
#[derive(Debug)]
struct Active {
    tid: Tid,
    /// How often it was looked at since without news.
    misses: u32,
    /// Whether it may have stopped without raising SIGCHLD.
    suspect: bool,
}

/// How far a sweep has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sweep {
    /// None is under way.
    No,
    /// The kernel looks at all; those in front of this place were hidden each time.
    OfAll(usize),
    /// Each in front of this place is looked at.
    OfEach(usize),
}

/// The tracees, in the order in which they are looked at.
#[derive(Debug)]
pub struct Waiting {
    tracees: Tracees,
    recent: Vec<Active>,
    /// Those that stay in a stop that was reported.
    kept: Vec<Tid>,
    /// Those whose stop was found by a look since SIGCHLD was taken last.
    found: Vec<Tid>,
    /// Whether `found` names them all.
    found_is_complete: bool,
    /// What SIGCHLD named when it was taken for another one's sake.
    taken: Option<Named>,
    alarm: Alarm,
    alarm_is_set: bool,
    /// Whether there was news since the last sweep began.
    news: bool,
    /// Whether other threads of this process may take SIGCHLD in our place.
    shared: bool,
    sweep: Sweep,
    /// How many sweeps relied on the order of the tracees.
    in_order: u32,
    /// What the last sweep took of our time, and when it ended by that clock.
    swept_in: Duration,
    swept_at: Duration,
    /// How often the next one was put off.
    put_off: u32,
    placement: Placement,
}

impl Waiting {
    /// Nobody is waited for yet. The signals that bring news are blocked from here on.
    ///
    /// SIGCHLD belongs to the process. Where that has other threads that do not block it, which a tracer has not, they may
    /// take it: then the sweeps never stop.
    pub fn new() -> io::Result<Self> {
        news::block_signals();
        Ok(Self {
            tracees: Tracees::default(),
            recent: Vec::with_capacity(RECENT + 1),
            kept: Vec::new(),
            found: Vec::with_capacity(RECENT),
            found_is_complete: false,
            taken: None,
            alarm: Alarm::new()?,
            alarm_is_set: false,
            news: false,
            shared: Tasks::open(Pid(std::process::id() as i32)).is_ok_and(|own| own.count() > 1),
            sweep: Sweep::No,
            in_order: 0,
            swept_in: Duration::ZERO,
            swept_at: Duration::ZERO,
            put_off: 0,
            placement: Placement::new(),
        })
    }

    /// A task is traced from now on.
    pub fn add(&mut self, tid: Tid) {
        self.tracees.add(tid);
        self.touch(tid, true);
        self.expect_more();
    }

    /// A task is traced no longer.
    pub fn remove(&mut self, tid: Tid) {
        self.tracees.remove(tid);
        self.recent.retain(|active| active.tid != tid);
        self.let_go_on(tid);
    }

    /// A tracee stays in the stop that it has reported: only its death is news.
    pub fn keep(&mut self, tid: Tid) {
        if !self.kept.contains(&tid) {
            self.kept.push(tid);
        }
        self.recent.retain(|active| active.tid != tid);
    }

    /// A tracee that was kept goes on.
    pub fn let_go_on(&mut self, tid: Tid) {
        self.kept.retain(|kept| *kept != tid);
    }

    /// Somebody else may have looked at tracees, answered them, or taken SIGCHLD or the alarm. An alarm that is taken
    /// for set and is not would be the end of all sweeps.
    pub fn distrust(&mut self) {
        self.found_is_complete = false;
        self.alarm_is_set = false;
        self.expect_more();
    }

    /// Every tracee.
    pub fn tracees(&self) -> impl Iterator<Item = Tid> {
        self.tracees.iter()
    }

    /// Somebody else has taken signals that announced events: look at every tracee next.
    pub fn expect_events(&mut self) {
        self.distrust();
        self.start(Sweep::OfEach(self.tracees.end()));
    }

    /// Waits for the next event.
    pub fn next(&mut self, wake: &Wake) -> Waited {
        loop {
            if wake.is_pending() {
                return Waited::Woken;
            }
            if let Some(event) = self.continue_sweep() {
                return Waited::Event(event);
            }
            if self.tracees.is_empty() {
                match wait::peek_any() {
                    Look::Event(event) => return Waited::Event(event),
                    Look::Nobody => return Waited::Nobody,
                    Look::Nothing => {}
                }
            }
            let suspected = self.recent.iter().any(|active| active.suspect);
            let news = self.taken.take().map(News::Task);
            match news.unwrap_or_else(|| news::next(suspected.then_some(Duration::ZERO))) {
                News::Task(named) => {
                    if let Some(event) = self.look_at_named(named) {
                        return Waited::Event(event);
                    }
                }
                News::Silence => {
                    if let Some(event) = self.look_at_suspects() {
                        return Waited::Event(event);
                    }
                }
                News::Alarm => self.begin_sweep(),
                News::Interrupted => return Waited::Woken,
            }
        }
    }

    fn look_at_named(&mut self, named: Named) -> Option<Event> {
        let tid = named.tid;
        let is_current = self.found_is_complete && !self.found.contains(&tid);
        self.found.clear();
        self.found_is_complete = true;
        self.suspect_others(tid);
        let is_current = is_current && !self.kept.contains(&tid);
        let Some(event) = named.stop().filter(|_| is_current) else {
            let event = self.note_found(peek(&self.kept, tid));
            if let Some(Event::Stopped(thread, _)) = &event {
                self.take_news_of(thread);
            }
            return event;
        };
        self.touch(tid, false);
        self.placement.stopped(tid);
        self.expect_more();
        Some(event)
    }

    /// Takes the SIGCHLD of a stop that a look found, so that the next one that names the thread is about its next stop.
    fn take_news_of(&mut self, thread: &Stopped) {
        let tid = thread.tid();
        // What it answers is of no account, but that it does.
        let _ = thread.siginfo();
        match news::pending_child() {
            Ok(named) => {
                self.found.retain(|found| *found != tid);
                if named.is_some() {
                    self.suspect_others(tid);
                }
                self.taken = named.filter(|named| named.tid != tid);
            }
            Err(_) => self.found_is_complete = false,
        }
    }

    /// Others than this one may have stopped without raising SIGCHLD.
    fn suspect_others(&mut self, tid: Tid) {
        for active in &mut self.recent {
            active.suspect = active.tid != tid;
        }
    }

    fn look_at_suspects(&mut self) -> Option<Event> {
        let kept = &self.kept;
        let suspects = self.recent.iter_mut().filter(|active| active.suspect);
        let event = suspects.into_iter().find_map(|active| {
            active.suspect = false;
            active.misses += 1;
            peek(kept, active.tid)
        });
        if event.is_none() {
            self.recent.retain(|active| active.misses < MISSES);
        }
        self.note_found(event)
    }

    fn begin_sweep(&mut self) {
        self.alarm_is_set = false;
        self.placement.adjust();
        if !self.news {
            return;
        }
        let since = cpu_time().saturating_sub(self.swept_at);
        if since < self.swept_in * (SHARE - 1) && self.put_off < PUT_OFF {
            self.put_off += 1;
            self.expect_more();
            return;
        }
        self.put_off = 0;
        self.news = false;
        if self.shared {
            self.expect_more();
        }
        self.start(Sweep::OfAll(self.tracees.end()));
    }

    fn start(&mut self, sweep: Sweep) {
        self.sweep = sweep;
        self.swept_in = Duration::ZERO;
    }

    /// Goes on with a sweep until it finds an event, or ends.
    fn continue_sweep(&mut self) -> Option<Event> {
        if self.sweep == Sweep::No {
            return None;
        }
        let began = cpu_time();
        let event = match self.sweep {
            Sweep::OfEach(end) => self.look_at_each(end),
            Sweep::OfAll(hidden) => self.look_at_all(hidden),
            Sweep::No => None,
        };
        self.swept_at = cpu_time();
        self.swept_in += self.swept_at.saturating_sub(began);
        self.note_found(event)
    }

    fn look_at_all(&mut self, hidden: usize) -> Option<Event> {
        let Look::Event(event) = wait::peek_any() else {
            self.sweep = Sweep::No;
            return None;
        };
        if is_kept(&self.kept, &event) {
            // It hides all others from such a look.
            return self.look_at_each(self.tracees.end());
        }
        let hidden = hidden.min(self.tracees.place(event.tid()).unwrap_or(hidden));
        let each = LOOK.saturating_mul(u32::try_from(hidden).unwrap_or(u32::MAX));
        self.sweep = if self.swept_in < each {
            Sweep::OfAll(hidden)
        } else if self.in_order < IN_ORDER {
            self.in_order += 1;
            Sweep::OfEach(hidden)
        } else {
            self.in_order = 0;
            Sweep::OfEach(self.tracees.end())
        };
        Some(event)
    }

    /// From the last on. A place only ever moves to the front, so that nobody is left out.
    fn look_at_each(&mut self, mut end: usize) -> Option<Event> {
        while let Some((place, tid)) = self.tracees.before(end) {
            end = place;
            if let Some(event) = peek(&self.kept, tid) {
                self.sweep = Sweep::OfEach(end);
                return Some(event);
            }
        }
        self.sweep = Sweep::No;
        // A child whose parent died before it could name it is in no table of ours.
        match wait::peek_any() {
            Look::Event(event) => Some(event).filter(|event| !is_kept(&self.kept, event)),
            Look::Nothing | Look::Nobody => None,
        }
    }

    /// Notes that a look found an event, of which SIGCHLD may tell later.
    fn note_found(&mut self, event: Option<Event>) -> Option<Event> {
        let tid = event.as_ref()?.tid();
        if self.found.len() < RECENT {
            self.found.push(tid);
        } else {
            self.found_is_complete = false;
        }
        self.touch(tid, false);
        self.placement.stopped(tid);
        self.expect_more();
        event
    }

    /// There was news, so there may be more than SIGCHLD tells.
    fn expect_more(&mut self) {
        self.news = true;
        if !self.alarm_is_set {
            self.alarm_is_set = true;
            self.alarm.set(PERIOD);
        }
    }

    fn touch(&mut self, tid: Tid, suspect: bool) {
        let active = Active {
            tid,
            misses: 0,
            suspect,
        };
        if let Some(first) = self.recent.first_mut().filter(|first| first.tid == tid) {
            *first = active;
        } else if self.tracees.contains(tid) && !self.kept.contains(&tid) {
            self.recent.retain(|active| active.tid != tid);
            self.recent.insert(0, active);
            self.recent.truncate(RECENT);
        }
    }
}

/// Looks at one tracee; the stop of one that is kept is no news.
fn peek(kept: &[Tid], tid: Tid) -> Option<Event> {
    wait::peek(tid).filter(|event| !is_kept(kept, event))
}

fn is_kept(kept: &[Tid], event: &Event) -> bool {
    matches!(event, Event::Stopped(..)) && kept.contains(&event.tid())
}
