//! Threads that are held: what was decided about them is carried out after a probation, or taken back.
//!
//! A held thread stays in the stop of its signal, and nothing of it is changed. So if this process dies, the kernel
//! delivers the signal, and if the others turn out to need the thread, it is delivered in its original context. Meanwhile
//! the others are watched, without being stopped: a thread that waits for a lock of the held one is proof that it is
//! needed.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::capture::fault::{Copied, wall_clock};
use crate::capture::maps::Maps;
use crate::config::Action;
use crate::ipc::{IsolatedState, IsolatedThread, Verdict};
use crate::isolate::inject::{Context, Obstacle};
use crate::isolate::sites::{Finder, Sites};
use crate::isolate::watch::{self, Waiter};
use crate::isolate::{exit, park};
use crate::policy::{Decision, Walk};
use crate::sys::deadline::Deadline;
use crate::sys::memory::Memory;
use crate::sys::ptrace::{PtraceError, Stopped};
use crate::sys::{Pid, SigNo, Tid, fail, pidfd};
use crate::trace::Fault;

use super::isolated::Kept;
use super::telling::verdict;
use super::{Tracer, TracerError};

/// The time between two looks at the others, at least.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// Looks take at most one part in this many of the time.
const LOOK_SHARE: u32 = 20;
/// The longest that carrying out a decision may take: it is a handful of requests, and a copy of a process that dies.
const SETTLE: Duration = Duration::from_secs(10);
/// The longest that a look at the others may take. What they wait on lies in memory that they may serve themselves.
const LOOK: Duration = Duration::from_secs(5);

/// A thread in front of its signal, and what is to become of it.
#[derive(Debug)]
pub(super) struct Held {
    fault: Fault,
    walk: Walk,
    action: Action,
    maps: Maps,
    sites: Option<Sites>,
    /// The thread's name.
    name: String,
    /// The locks that it was seen to hold.
    locks: Vec<String>,
    /// The number of its incident, where that is recorded.
    number: Option<u64>,
    /// What it was like before it was put to sleep.
    before: Option<Context>,
    /// When the probation ends.
    until: Instant,
    next_look: Instant,
}

/// Why a probation ends.
enum End {
    /// Its time is up, and nobody was seen to need the thread.
    Passed,
    /// Somebody waits for it, and would for ever.
    Stalled(Waiter),
    /// Somebody waits for it, and is freed when it ends.
    Freed(Waiter),
    /// The thread is dead.
    Died,
}

impl Held {
    pub(super) fn new(fault: Fault, walk: Walk, maps: Maps) -> Self {
        let now = Instant::now();
        Self {
            fault,
            walk,
            action: Action::Deliver,
            maps,
            sites: None,
            name: String::new(),
            locks: Vec::new(),
            number: None,
            before: None,
            until: now,
            next_look: now,
        }
    }

    /// Takes the next step of the ladder.
    pub(super) fn choose(&mut self) -> Action {
        self.action = self.walk.step();
        self.action
    }

    /// The action of the last step cannot be carried out; takes the next.
    pub(super) fn pass(&mut self, why: &str) -> Action {
        self.walk.pass(why);
        self.choose()
    }

    pub(super) fn signal(&self) -> SigNo {
        self.fault.signal
    }

    pub(super) fn thread(&self) -> &Stopped {
        &self.fault.thread
    }

    pub(super) fn maps(&self) -> &Maps {
        &self.maps
    }

    /// Gives the thread away for a while. What was decided, where it does not come back.
    pub(super) fn lend<T>(
        self,
        with: impl FnOnce(Stopped, &Maps) -> (Option<Stopped>, T),
    ) -> Result<(Self, T), Box<Walk>> {
        let mut held = self;
        let (thread, result) = with(held.fault.thread, &held.maps);
        match thread {
            Some(thread) => {
                held.fault.thread = thread;
                Ok((held, result))
            }
            None => Err(Box::new(held.walk)),
        }
    }

    /// Says of the action that is taken what it is.
    pub(super) fn explain(&mut self, how: String) {
        self.walk.explain(how);
    }

    /// Says what else was looked at or done.
    pub(super) fn note(&mut self, evidence: String) {
        self.walk.note(evidence);
    }

    pub(super) fn tid(&self) -> Tid {
        self.fault.thread.tid()
    }

    pub(super) fn since_fault(&self) -> Duration {
        self.fault.seen.elapsed()
    }

    /// The thread's name and the locks that it was seen to hold, for whoever asks meanwhile.
    pub(super) fn describe(&mut self, name: &str, locks: Vec<String>) {
        self.name = name.to_owned();
        self.locks = locks;
    }

    /// Puts another decision in the place of the one so far, which is returned.
    pub(super) fn decide_anew(&mut self, walk: Walk) -> Walk {
        std::mem::replace(&mut self.walk, walk)
    }

    pub(super) fn number(&self) -> Option<u64> {
        self.number
    }

    pub(super) fn find_sites(&mut self, finder: &mut Finder) {
        if self.sites.is_none() {
            self.sites = finder.find(&Memory::of(self.tid()), &self.maps);
        }
    }

    /// What is planned for the end of the probation.
    pub(super) fn action(&self) -> Action {
        self.action
    }

    /// Takes an earlier decision back in.
    pub(super) fn restore(&mut self, walk: Walk, action: Action) {
        self.walk = walk;
        self.action = action;
    }

    /// What is told of it while it is held.
    pub(super) fn as_it_is(&self) -> IsolatedThread {
        self.record(IsolatedState::Held)
    }

    pub(super) fn walk(&self) -> &Walk {
        &self.walk
    }

    pub(super) fn fault(&self) -> &Fault {
        &self.fault
    }

    /// Whether the thread has died in its stop.
    pub(super) fn is_dead(&self) -> bool {
        matches!(self.fault.thread.registers(), Err(PtraceError::Died(_)))
    }

    /// Begins the probation anew.
    pub(super) fn prolong(&mut self, probation: Duration) {
        self.until = Instant::now() + probation;
    }

    /// What is told of it, in that state.
    fn record(&self, state: IsolatedState) -> IsolatedThread {
        let until = (state == IsolatedState::Held).then(|| {
            let left = self.until.saturating_duration_since(Instant::now());
            Timestamp::now() + left
        });
        IsolatedThread {
            process: self.process(),
            tid: self.tid(),
            name: self.name.clone(),
            state,
            action: self.action,
            signal: self.fault.signal,
            since: Timestamp::from_microsecond(wall_clock(self.fault.seen)).unwrap_or_default(),
            until,
            locks: self.locks.clone(),
            waiters: Vec::new(),
        }
    }

    /// The decision as it stands.
    pub(super) fn verdict(&self) -> Verdict {
        verdict(self.walk.clone().end())
    }

    pub(super) fn end(self) -> (Fault, Decision) {
        (self.fault, self.walk.end())
    }

    pub(super) fn process(&self) -> Pid {
        self.fault.process
    }

    /// Looks whether the probation is over.
    fn look(&mut self, now: Instant) -> Option<End> {
        let _deadline = Deadline::after(LOOK);
        let began = Instant::now();
        if self.is_dead() {
            return Some(End::Died);
        }
        let memory = Memory::of(self.tid());
        let waiters = watch::waiters(self.process(), self.tid(), &memory);
        self.next_look = now + BETWEEN_LOOKS.max(began.elapsed() * LOOK_SHARE);
        let frees = self.ends();
        match waiters.into_iter().next() {
            Some(waiter) if frees && waiter.is_freed_by_exit() => Some(End::Freed(waiter)),
            Some(waiter) => Some(End::Stalled(waiter)),
            None => (now >= self.until).then_some(End::Passed),
        }
    }

    /// Whether the action ends the thread; a main thread that is drained sleeps.
    fn ends(&self) -> bool {
        let is_main = self.tid() == self.process().leader();
        self.action == Action::Exit || self.action == Action::Drain && !is_main
    }

    /// Puts the thread where the action wants it.
    pub(super) fn prepare(&mut self) -> Result<(), Obstacle> {
        let sites = self.sites.as_ref().ok_or(Obstacle::NoSite)?;
        if self.ends() {
            exit::prepare(&self.fault.thread, sites)?;
        } else {
            self.before = Some(park::prepare(&self.fault.thread, sites, &self.maps)?);
        }
        Ok(())
    }

    /// What waking it takes, of one that is put to sleep.
    fn kept(&mut self) -> Option<Kept> {
        Some(Kept {
            before: self.before.take()?,
            walk: self.walk.clone(),
            number: self.number,
            since: self.fault.seen,
        })
    }
}

impl Tracer {
    /// Begins the probation of a thread.
    pub(super) fn hold(&mut self, mut held: Held, sites: Option<Sites>, number: Option<u64>) {
        self.engine.keep(&held.fault);
        self.limits
            .note_taken(held.process(), held.tid(), &held.name, self.started.elapsed());
        held.sites = sites;
        held.number = number;
        held.until = Instant::now() + self.service.isolation.probation.0;
        self.held.push(held);
        fail::point("tracer.hold.begun");
        self.set_alarm();
    }

    /// When a held thread is to be looked at next.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.held.iter().map(|held| held.next_look.min(held.until)).min()
    }

    /// Looks after the held threads whose time has come.
    pub(super) fn look_after_held(&mut self) -> Result<(), TracerError> {
        let now = Instant::now();
        for mut held in std::mem::take(&mut self.held) {
            if now < held.next_look.min(held.until) {
                self.held.push(held);
                continue;
            }
            match held.look(now) {
                None => self.held.push(held),
                Some(end) => self.settle(held, end)?,
            }
        }
        self.set_alarm();
        Ok(())
    }

    /// Carries out at once what is decided about every held thread: nobody will be here to do it later.
    pub(super) fn settle_held(&mut self) -> Result<(), TracerError> {
        for held in std::mem::take(&mut self.held) {
            self.settle(held, End::Passed)?;
        }
        Ok(())
    }

    /// Forgets held threads of a process that runs another program, or has ended.
    pub(super) fn forget_held(&mut self, process: Pid) -> Result<(), TracerError> {
        self.forget_lost(process);
        let (gone, held) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|held| held.process() == process);
        self.held = held;
        for held in gone {
            self.settle(held, End::Died)?;
        }
        Ok(())
    }

    /// What was planned for a held thread ends with it.
    pub(super) fn note_death(&mut self, held: Held) -> Result<(), TracerError> {
        self.settle(held, End::Died)
    }

    fn settle(&mut self, mut held: Held, end: End) -> Result<(), TracerError> {
        let _deadline = Deadline::after(SETTLE);
        match end {
            End::Died => {
                held.walk
                    .pass(format!("{} ended with its process or program", held.action));
                held.walk.give_up();
                let number = held.number;
                let (fault, decision) = held.end();
                self.engine.abandon(fault);
                return self.told(number, decision, None);
            }
            End::Stalled(waiter) => {
                held.walk.note(waiter.to_string());
                held.walk
                    .pass(format!("{} was taken back: {waiter}", held.action));
                held.walk.give_up();
                return self.deliver_held(held);
            }
            End::Freed(waiter) => held.walk.note(waiter.to_string()),
            End::Passed => {
                let time = held.since_fault().as_millis();
                held.walk
                    .note(format!("for {time} ms no thread waited for a lock that it holds"));
            }
        }
        self.carry_out(held)
    }

    /// Sends the thread where its action wants it, or takes the next step of its ladder.
    fn carry_out(&mut self, mut held: Held) -> Result<(), TracerError> {
        loop {
            match held.action {
                Action::Exit | Action::Park | Action::Drain => match held.prepare() {
                    Ok(()) => break,
                    Err(why) => held.walk.pass(format!("{} is not possible: {why}", held.action)),
                },
                Action::Hold => held.walk.pass("hold is over, and nobody settled it"),
                Action::Deliver | Action::Suppress => return self.deliver_held(held),
                other => held.walk.pass(format!("{other} is not tried after a probation")),
            }
            held.choose();
        }
        self.send_away(held)
    }

    /// Lets a thread go where its action has put it.
    pub(super) fn send_away(&mut self, mut held: Held) -> Result<(), TracerError> {
        self.note_lost(&mut held);
        fail::point("tracer.hold.prepared");
        if held.action == Action::Drain {
            // Before the thread goes on: if this process dies now, the thread takes its signal.
            held.walk.note(ask_to_end(held.process()));
            fail::point("tracer.drain.asked");
        }
        let number = held.number;
        let (fault, decision) = held.end();
        self.engine.redirect(fault);
        fail::point("tracer.hold.settled");
        self.told(number, decision, None)
    }

    /// What was done to threads of a process that ends, or runs another program, is of no use any more: its ids may be used
    /// again.
    pub(super) fn forget_lost(&mut self, process: Pid) {
        self.lost.remove(&process);
        self.isolated.forget(process);
        self.throwing.forget(process);
    }

    /// The process of that thread has lost it.
    pub(super) fn note_lost(&mut self, held: &mut Held) {
        *self.lost.entry(held.process()).or_default() += 1;
        let kept = held.kept();
        self.isolated.note(held.record(IsolatedState::Parked), kept);
    }

    /// A thread that was held lives on.
    pub(super) fn note_given_back(&mut self, held: &Held) {
        self.limits.note_given_back(held.process(), held.tid());
    }

    pub(super) fn deliver_held(&mut self, held: Held) -> Result<(), TracerError> {
        self.note_given_back(&held);
        let number = held.number;
        let (fault, decision) = held.end();
        let (process, ends) = (fault.process, decision.taken == Action::Deliver);
        let copied = self.conclude(fault, &decision, number.is_some())?;
        self.told(number, decision, number.map(|_| copied))?;
        if ends {
            // What ends it has been told, and its end is no news.
            self.leave_unrecorded(process)?;
        }
        Ok(())
    }

    pub(super) fn told(
        &mut self,
        number: Option<u64>,
        decision: Decision,
        copied: Option<Copied>,
    ) -> Result<(), TracerError> {
        match number {
            Some(number) => self.tell_end(number, verdict(decision), copied),
            None => Ok(()),
        }
    }
}

/// Sends SIGTERM to a process; what came of it, as a sentence.
fn ask_to_end(process: Pid) -> String {
    match pidfd::open(process).and_then(|process| pidfd::send_signal(&process, SigNo::TERM)) {
        Ok(()) => "SIGTERM was sent to the process, to end it in its own way".to_owned(),
        Err(error) => format!("SIGTERM could not be sent to the process: {error}"),
    }
}
