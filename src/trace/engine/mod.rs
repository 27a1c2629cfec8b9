//! Carries the machine's answers out, and turns what is left into [`Turn`]s.
//!
//! | file | subject |
//! |---|---|
//! | [`turn`] | what a turn leaves to the caller |
//! | [`judge`] | what becomes of a signal |
//! | [`asleep`] | stopping one thread that sleeps |
//! | [`audit`] | threads and processes that slipped through |
//! | [`release`] | letting go of everything |
//! | [`timeouts`] | calls that are made to restart, and end when their time has passed |

mod asleep;
mod audit;
mod judge;
mod release;
mod timeouts;
mod turn;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::Instant;

use crate::sys::fail;
use crate::sys::ptrace::{Options, PtraceError, Stopped};
use crate::sys::wait::{self, Event, ExitStatus, Stop};
use crate::sys::wake::Wake;
use crate::sys::{Pid, SigNo, StartTime, Tid};

use super::attach::{self, AttachError};
use super::children::children;
use super::disposition::{Dispositions, Fate};
use super::machine::{Answer, Machine, Notice};
use super::stop_rate::{StopRate, TooManyStops};
use super::waiting::{Waited, Waiting};
use crate::sys::status::Status;
pub use asleep::NotStopped;
use audit::Departing;
use timeouts::Timeouts;
pub use turn::{Ending, Fault, HandledFault, Turn};

/// How many of the processes that ended last are remembered as having belonged to the service.
const MAX_ENDED: usize = 64;

/// A process whose threads are traced.
#[derive(Debug)]
struct Process {
    start: StartTime,
    dispositions: Option<Dispositions>,
    handled: Option<HandledFault>,
}

/// Every traced thread of one service.
#[derive(Debug)]
pub struct Engine {
    options: Options,
    machine: Machine,
    waiting: Waiting,
    timeouts: Timeouts,
    processes: HashMap<Pid, Process>,
    departing: Vec<Departing>,
    ended: VecDeque<Pid>,
    /// The process whose signals are told as [`Turn::Took`].
    followed: Option<Pid>,
    stops: u64,
    /// Whether threads that stop are let go, and not only let go on.
    is_leaving: bool,
    rate: StopRate,
    /// To be told when the stop that showed it is answered.
    too_many: Option<TooManyStops>,
}

impl Engine {
    /// An engine that traces nothing yet. The signals of [`crate::sys::news`] are blocked from here on.
    pub fn new(options: Options) -> io::Result<Self> {
        Ok(Self {
            options,
            machine: Machine::default(),
            waiting: Waiting::new()?,
            timeouts: Timeouts::default(),
            processes: HashMap::new(),
            departing: Vec::new(),
            ended: VecDeque::with_capacity(MAX_ENDED),
            followed: None,
            stops: 0,
            is_leaving: false,
            rate: StopRate::new(0, Instant::now()),
            too_many: None,
        })
    }

    /// How many stops a second are wanted; 0 for any number, as from the start.
    pub fn limit_stops(&mut self, per_second: u32) {
        self.rate = StopRate::new(per_second, Instant::now());
    }

    /// Takes up every thread of a process. Without success some may be seized already: the caller then ends
    /// this tracer, which releases them.
    pub fn attach(&mut self, pid: Pid) -> Result<(), AttachError> {
        let start = attach::examine(pid)?;
        self.take(pid, start)?;
        self.processes.entry(pid).or_insert(Process {
            start,
            dispositions: None,
            handled: None,
        });
        fail::point("tracer.attach.done");
        Ok(())
    }

    /// Takes up the processes that a process has started, and theirs. One that cannot be attached is returned
    /// with the reason.
    pub fn attach_descendants(&mut self, pid: Pid) -> Vec<(Pid, AttachError)> {
        let mut refused = Vec::new();
        let mut parents = vec![pid];
        while let Some(parent) = parents.pop() {
            for child in children(parent) {
                if !self.processes.contains_key(&child) {
                    match self.attach(child) {
                        Ok(()) | Err(AttachError::NoSuchProcess(_)) => parents.push(child),
                        Err(error) => refused.push((child, error)),
                    }
                }
            }
        }
        refused
    }

    /// How many processes are attached.
    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// How many threads are attached.
    pub fn threads(&self) -> usize {
        self.machine.len()
    }

    /// The threads that are known to belong to a process.
    pub fn threads_of(&self, pid: Pid) -> Vec<Tid> {
        self.machine
            .threads()
            .filter(|(_, thread)| thread.process == Some(pid))
            .map(|(tid, _)| tid)
            .collect()
    }

    /// Whether that thread is attached.
    pub fn is_attached(&self, tid: Tid) -> bool {
        self.machine.thread(tid).is_some()
    }

    /// How many stops were answered.
    pub fn stops(&self) -> u64 {
        self.stops
    }

    /// Tells from now on which signals that process takes.
    pub fn follow(&mut self, pid: Pid) {
        self.followed = Some(pid);
    }

    /// Whether a process is stopped as a whole, as far as its threads have said.
    pub fn is_stopped(&self, pid: Pid) -> bool {
        let mut threads = self
            .machine
            .threads()
            .filter(|(_, thread)| thread.process == Some(pid));
        threads.any(|(tid, _)| self.machine.listens(tid))
    }

    /// When an attached process started.
    pub fn start_time(&self, pid: Pid) -> Option<StartTime> {
        self.processes.get(&pid).map(|process| process.start)
    }

    /// Whether a process is one of the service, or was until a moment ago.
    pub fn is_of_service(&self, pid: Pid) -> bool {
        self.processes.contains_key(&pid) || self.ended.contains(&pid)
    }

    /// Works until something is left to decide.
    pub fn turn(&mut self, wake: &Wake) -> Turn {
        self.waiting.distrust();
        loop {
            if let Some(excess) = self.too_many.take() {
                return Turn::TooManyStops(excess);
            }
            let event = match self.waiting.next(wake) {
                Waited::Event(event) => event,
                Waited::Woken => return Turn::Woken,
                Waited::Nobody => return Turn::Nobody,
            };
            let turn = match event {
                Event::Stopped(thread, stop) => self.stopped(thread, stop),
                Event::Ended(tid, status) => self.ended(tid, status),
            };
            if let Some(turn) = turn {
                return turn;
            }
        }
    }

    /// Delivers the signal to its thread, which stays attached: for a signal that turned out not to be fatal.
    pub fn pass(&mut self, fault: Fault) {
        let tid = fault.thread.tid();
        self.resumed(tid);
        self.resume(fault.thread, Some(fault.signal));
    }

    /// Lets the thread go on as if the signal had never been sent.
    pub fn suppress(&mut self, fault: Fault) {
        fault.thread.restart_interrupted_call();
        self.redirect(fault);
    }

    /// Lets the thread go on without its signal, from where its registers point now.
    pub fn redirect(&mut self, fault: Fault) {
        self.resumed(fault.thread.tid());
        self.resume(fault.thread, None);
    }

    /// Whether another signal than its own would end the process of that thread.
    pub fn would_end(&self, fault: &Fault, signal: SigNo) -> bool {
        Status::read(fault.thread.tid())
            .is_ok_and(|status| Dispositions::new(&status, fault.seen).fate(signal, false) == Fate::Fatal)
    }

    /// The thread stays in its stop until the caller has decided: it is reported no more, unless it dies.
    pub fn keep(&mut self, fault: &Fault) {
        self.waiting.keep(fault.thread.tid());
    }

    /// A thread that was kept has died, and its end was or will be seen.
    pub fn abandon(&mut self, fault: Fault) {
        self.resumed(fault.thread.tid());
    }

    /// Lets the process go, and the fatal signal take effect: every other thread first, each with the signal
    /// it was stopped for, the faulting one last. So whoever looks at the dying process sees no tracer, and
    /// the kernel's core dump does not wait for us.
    pub fn deliver(&mut self, fault: Fault, others: Vec<(Stopped, Stop)>) {
        self.detach_all(others);
        let process = fault.process;
        self.detach(fault.thread, Some(fault.signal));
        fail::point("tracer.fault.delivered");
        self.departed(process);
    }

    /// Lets a process go whose faulting thread has died meanwhile: somebody has killed the process.
    pub fn let_go_of(&mut self, process: Pid, others: Vec<(Stopped, Stop)>) {
        self.detach_all(others);
        self.departed(process);
    }

    /// Lets threads go, each with the signal it was stopped for.
    fn detach_all(&mut self, threads: Vec<(Stopped, Stop)>) {
        for (thread, stop) in threads {
            if let Stop::NewTask(_) = stop {
                self.claim_child(&thread, stop);
            }
            let signal = if let Stop::Signal(signal) = stop {
                Some(signal)
            } else {
                None
            };
            self.detach(thread, signal);
        }
    }

    fn departed(&mut self, process: Pid) {
        if let Some(known) = self.forget(process) {
            self.departs(process, known.start);
        }
    }

    /// Lets threads run on that were stopped to be looked at. Only the stops that we caused are answered: any other
    /// was not consumed, is reported again and takes the usual way.
    pub fn release(&mut self, looked_at: Vec<(Stopped, Stop)>) {
        for (thread, stop) in looked_at {
            if stop == Stop::Trap {
                self.resume(thread, None);
            }
        }
        self.waiting.expect_events();
    }

    /// Reaps a dead process, so that its parent learns of it.
    pub fn reap(&mut self, ending: Ending) {
        wait::reap(ending.process.leader());
        self.drop_thread(ending.process.leader());
        self.forget(ending.process);
    }

    fn forget(&mut self, pid: Pid) -> Option<Process> {
        let known = self.processes.remove(&pid)?;
        self.ended.truncate(MAX_ENDED - 1);
        self.ended.push_front(pid);
        Some(known)
    }

    fn take(&mut self, pid: Pid, start: StartTime) -> Result<(), AttachError> {
        let machine = &self.machine;
        let taken = attach::take(pid, start, self.options, |tid| {
            machine
                .thread(tid)
                .is_some_and(|thread| thread.process == Some(pid))
        })?;
        for tid in taken {
            self.machine.seized(tid, pid);
            self.waiting.add(tid);
        }
        Ok(())
    }

    fn stopped(&mut self, thread: Stopped, stop: Stop) -> Option<Turn> {
        self.stops += 1;
        self.too_many = self.rate.count(Instant::now).or(self.too_many);
        fail::point("tracer.stop.seen");
        let tid = thread.tid();
        if stop == Stop::Exec {
            wait::consume(&thread);
        }
        let message = message(&thread, stop);
        let goes_on = self
            .process_of(tid)
            .filter(|_| stop == Stop::Trap && self.machine.listens(tid));
        let (answer, notice) = self.machine.stopped(tid, stop, message);
        self.welcome(notice);
        let mut news = goes_on.map(Turn::GoesOn);
        if let Notice::Exec(process) = notice {
            self.executed(process, message);
            news = Some(Turn::Exec(process));
        }
        match answer {
            Answer::Continue(signal) => self.resume(thread, signal),
            Answer::Restart => {
                thread.restart_interrupted_call();
                self.resume(thread, None);
            }
            // Let go in a group-stop it stays stopped.
            Answer::Listen if self.is_leaving => self.detach(thread, None),
            Answer::Listen => Self::note(tid, thread.listen()),
            Answer::Judge(signal) => return self.judge(thread, signal),
        }
        news
    }

    fn register(&mut self, pid: Pid) -> Option<&mut Process> {
        match self.processes.entry(pid) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(place) => {
                let start = attach::start_time(pid.leader())?;
                Some(place.insert(Process {
                    start,
                    dispositions: None,
                    handled: None,
                }))
            }
        }
    }

    fn executed(&mut self, process: Pid, former: Option<Tid>) {
        if let Some(former) = former.filter(|former| *former != process.leader()) {
            self.waiting.remove(former);
            // The kernel's list has the former thread's place under the leader's id now.
            self.waiting.remove(process.leader());
        }
        self.waiting.add(process.leader());
        if let Some(known) = self.register(process) {
            known.dispositions = None;
            known.handled = None;
        }
    }

    fn ended(&mut self, tid: Tid, status: ExitStatus) -> Option<Turn> {
        if let Some(known) = self.processes.get(&tid.as_process()) {
            return Some(Turn::Ending(Ending {
                process: tid.as_process(),
                start: known.start,
                status,
            }));
        }
        wait::reap(tid);
        let process = self.process_of(tid);
        self.drop_thread(tid);
        match status {
            ExitStatus::Killed {
                signal: SigNo::SYS, ..
            } => process.map(Turn::Refused),
            _ => None,
        }
    }

    /// Takes note of a child whose parent is let go before it was answered.
    fn claim_child(&mut self, parent: &Stopped, stop: Stop) {
        let (_, notice) = self.machine.stopped(parent.tid(), stop, message(parent, stop));
        self.welcome(notice);
    }

    /// Takes note of what was born.
    fn welcome(&mut self, notice: Notice) {
        match notice {
            Notice::Thread(child) => self.waiting.add(child),
            Notice::Process(child) => {
                self.waiting.add(child.leader());
                self.register(child);
            }
            Notice::None | Notice::Exec(_) => {}
        }
    }

    /// Lets a thread go on, with the signal it was stopped for.
    fn resume(&mut self, thread: Stopped, signal: Option<SigNo>) {
        if self.is_leaving {
            self.detach(thread, signal);
        } else {
            Self::note(thread.tid(), thread.cont(signal));
        }
    }

    /// Lets a thread go for good. One that died instead stays known: its end is still to be reaped.
    fn detach(&mut self, thread: Stopped, signal: Option<SigNo>) {
        let tid = thread.tid();
        match thread.detach(signal) {
            Ok(()) => self.drop_thread(tid),
            Err(PtraceError::Died(_)) => self.resumed(tid),
            Err(error) => log::warn!("{error}"),
        }
    }

    fn resumed(&mut self, tid: Tid) {
        self.machine.resumed(tid);
        self.waiting.let_go_on(tid);
    }

    fn drop_thread(&mut self, tid: Tid) {
        self.machine.ended(tid);
        self.waiting.remove(tid);
        self.timeouts.forget(tid);
    }

    /// A thread that died before its answer came is news that its end will bring; a refusal is not expected.
    fn note(tid: Tid, outcome: Result<(), PtraceError>) {
        if let Err(PtraceError::Refused { .. }) = &outcome {
            log::warn!("thread {tid}: {outcome:?}");
        }
    }
}

/// What an event names beside its kind: the task that was born, or the former id of one that called exec.
///
/// A child may have ended, and have been reaped, before the event of its parent was looked at. It is not named then,
/// since no end of it would follow, and its id may be another's by now.
fn message(thread: &Stopped, stop: Stop) -> Option<Tid> {
    let message = || thread.event_message().ok().map(|message| Tid(message as i32));
    match stop {
        Stop::NewTask(_) => message().filter(|child| wait::is_tracee(*child)),
        Stop::Exec => message(),
        _ => None,
    }
}
