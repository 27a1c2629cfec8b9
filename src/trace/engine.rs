//! Carries the machine's answers out, judges signals, and turns what is left into [`Turn`]s.
//!
//! A signal that will not end the process takes the shortest way: a look, an answer, no reading of /proc beyond
//! one in [`super::disposition::FRESH`]. Two repairs belong to that way:
//!
//! * A signal that the program ignores stops a traced thread, and interrupts system calls such as
//!   `epoll_wait(2)` that untraced would not have noticed; such a call is made to restart.
//! * A hardware fault that the program handles is remembered, since some handlers reset themselves and raise the
//!   signal again: the report is then about the fault that started it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::sys::fail;
use crate::sys::ptrace::{Options, PtraceError, Stopped};
use crate::sys::regs::GeneralRegisters;
use crate::sys::signal::SigInfo;
use crate::sys::wait::{self, Event, ExitStatus, Stop};
use crate::sys::wake::Wake;
use crate::sys::{Pid, SigNo, StartTime, Tid};

use super::attach::{self, AttachError};
use super::disposition::{Dispositions, Fate};
use super::machine::{Answer, Machine, Notice};
use super::status::Status;
use super::waiting::{Waited, Waiting};

/// How long after its fatal signal was delivered a process may take to end before it is looked at again.
const DEPARTURE: Duration = Duration::from_secs(1);
/// The most processes that are remembered as departing.
const MAX_DEPARTING: usize = 1024;

/// How many of the processes that ended last are remembered as having belonged to the service.
const MAX_ENDED: usize = 64;

/// What one turn of the engine came to.
#[derive(Debug)]
pub enum Turn {
    /// A signal is about to end a process. The thread waits.
    Fault(Box<Fault>),
    /// A process has ended; it still waits to be reaped.
    Ending(Ending),
    /// A process of the service runs another program now.
    Exec(Pid),
    /// The front, or a timer.
    Woken,
    /// No thread is traced.
    Nobody,
}

/// A fatal signal, seen in one thread before it takes effect.
#[derive(Debug)]
#[must_use = "a fault is delivered, suppressed or passed on"]
pub struct Fault {
    /// The thread, in its signal-delivery-stop.
    pub thread: Stopped,
    /// Its process.
    pub process: Pid,
    /// The signal.
    pub signal: SigNo,
    /// `siginfo_t`, if it could be read.
    pub siginfo: Option<SigInfo>,
    /// The hardware fault that the program's own handler took last, if any.
    pub handled: Option<HandledFault>,
    /// When the stop was seen.
    pub seen: Instant,
}

/// A hardware fault that went to the program's own handler.
#[derive(Clone, Debug)]
pub struct HandledFault {
    /// The thread.
    pub tid: Tid,
    /// The signal.
    pub signal: SigNo,
    /// `siginfo_t`.
    pub siginfo: SigInfo,
    /// Its registers.
    pub registers: GeneralRegisters,
    /// When.
    pub seen: Instant,
}

/// A process that has ended, not yet reaped: /proc still tells its name and times.
#[derive(Debug)]
#[must_use = "a dead process is reaped: its parent learns of its end only then"]
pub struct Ending {
    /// The process.
    pub process: Pid,
    /// When it had started.
    pub start: StartTime,
    /// How it ended.
    pub status: ExitStatus,
}

/// A process whose threads are traced.
#[derive(Debug)]
struct Process {
    start: StartTime,
    dispositions: Option<Dispositions>,
    handled: Option<HandledFault>,
}

/// A process that was let go with a fatal signal.
#[derive(Debug)]
struct Departing {
    process: Pid,
    start: StartTime,
    since: Instant,
}

/// Every traced thread of one service.
#[derive(Debug)]
pub struct Engine {
    options: Options,
    machine: Machine,
    waiting: Waiting,
    processes: HashMap<Pid, Process>,
    departing: Vec<Departing>,
    ended: VecDeque<Pid>,
    stops: u64,
}

impl Engine {
    /// An engine that traces nothing yet. SIGCHLD is blocked from here on.
    pub fn new(options: Options) -> Self {
        wait::block_child_signal();
        Self {
            options,
            machine: Machine::default(),
            waiting: Waiting::default(),
            processes: HashMap::new(),
            departing: Vec::new(),
            ended: VecDeque::with_capacity(MAX_ENDED),
            stops: 0,
        }
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
            for child in attach::children(parent) {
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

    /// How many stops were answered.
    pub fn stops(&self) -> u64 {
        self.stops
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
        loop {
            let event = match self.waiting.next(wake, self.machine.judged() > 0) {
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
        self.machine.resumed(tid);
        self.note(tid, fault.thread.cont(Some(fault.signal)));
    }

    /// Lets the thread go on as if the signal had never been sent.
    pub fn suppress(&mut self, fault: Fault) {
        let tid = fault.thread.tid();
        self.machine.resumed(tid);
        repair(&fault.thread);
        self.note(tid, fault.thread.cont(None));
    }

    /// Lets the process go, and the fatal signal take effect: every other thread first, each with the signal
    /// it was stopped for, the faulting one last. So whoever looks at the dying process sees no tracer, and
    /// the kernel's core dump does not wait for us.
    pub fn deliver(&mut self, fault: Fault, others: Vec<(Stopped, Stop)>) {
        for (thread, stop) in others {
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
        let process = fault.process;
        self.detach(fault.thread, Some(fault.signal));
        fail::point("tracer.fault.delivered");
        if let Some(known) = self.forget(process)
            && self.departing.len() < MAX_DEPARTING
        {
            self.departing.push(Departing {
                process,
                start: known.start,
                since: Instant::now(),
            });
        }
    }

    /// Reaps a dead process, so that its parent learns of it.
    pub fn reap(&mut self, ending: Ending) {
        wait::reap(ending.process.leader());
        self.drop_thread(ending.process.leader());
        self.forget(ending.process);
    }

    /// Looks for threads that are not traced: those whose clone was under way when their parent was seized,
    /// and those of a process that survived its fatal signal.
    pub fn audit(&mut self) {
        let survivors: Vec<Pid> = self
            .departing
            .iter()
            .filter(|gone| gone.since.elapsed() >= DEPARTURE && is_alive(gone.process, gone.start))
            .map(|gone| gone.process)
            .collect();
        self.departing
            .retain(|gone| gone.since.elapsed() < DEPARTURE || is_dumping(gone.process, gone.start));
        for pid in survivors {
            if let Err(error) = self.attach(pid) {
                log::warn!("cannot attach to {pid} again, which survived its signal: {error}");
            }
        }
        let processes: Vec<(Pid, StartTime)> = self
            .processes
            .iter()
            .map(|(pid, known)| (*pid, known.start))
            .collect();
        for (pid, start) in processes {
            let known = self
                .machine
                .threads()
                .filter(|(_, thread)| thread.process == Some(pid))
                .count();
            if Status::read(pid.leader()).is_ok_and(|status| status.threads != known && !status.is_dead())
                && let Err(error) = self.take(pid, start)
            {
                log::debug!("audit of {pid}: {error}");
            }
        }
    }

    /// Whether a process that was let go may still have to be looked at.
    pub fn has_departing(&self) -> bool {
        !self.departing.is_empty()
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
        fail::point("tracer.stop.seen");
        let tid = thread.tid();
        if stop == Stop::Exec {
            wait::consume_exec(&thread);
        }
        let message = match stop {
            Stop::NewTask(_) | Stop::Exec => thread.event_message().ok().map(|message| Tid(message as i32)),
            _ => None,
        };
        let (answer, notice) = self.machine.stopped(tid, stop, message);
        let mut exec = None;
        match notice {
            Notice::None => {}
            Notice::Thread(new) => self.waiting.add(new),
            Notice::Process(new) => {
                self.waiting.add(new.leader());
                self.register(new);
            }
            Notice::Exec(process) => {
                self.executed(process, message);
                exec = Some(Turn::Exec(process));
            }
        }
        match answer {
            Answer::Continue(signal) => self.note(tid, thread.cont(signal)),
            Answer::Listen => self.note(tid, thread.listen()),
            Answer::Judge(signal) => return self.judge(thread, signal),
        }
        exec
    }

    fn judge(&mut self, thread: Stopped, signal: SigNo) -> Option<Turn> {
        let tid = thread.tid();
        let seen = Instant::now();
        let siginfo = signal.is_hardware().then(|| thread.siginfo().ok()).flatten();
        let forced = siginfo.is_some_and(|info| !info.is_sent());
        let Some((process, fate)) = self.fate(tid, signal, forced, seen) else {
            // Its /proc entry is gone: it is dying, and its stop ends by itself.
            self.machine.resumed(tid);
            self.note(tid, thread.cont(Some(signal)));
            return None;
        };
        match fate {
            Fate::Fatal => {
                let handled = self
                    .processes
                    .get_mut(&process)
                    .and_then(|known| known.handled.take());
                let siginfo = siginfo.or_else(|| thread.siginfo().ok());
                return Some(Turn::Fault(Box::new(Fault {
                    thread,
                    process,
                    signal,
                    siginfo,
                    handled,
                    seen,
                })));
            }
            Fate::Handled => {
                if let Some(siginfo) = siginfo.filter(|_| forced) {
                    self.remember(process, &thread, signal, siginfo, seen);
                }
            }
            Fate::Ignored => {
                let stopped = self
                    .machine
                    .thread(tid)
                    .is_some_and(|known| known.after_group_stop());
                if !stopped {
                    repair(&thread);
                }
            }
        }
        self.machine.resumed(tid);
        self.note(tid, thread.cont(Some(signal)));
        None
    }

    /// What the signal would do to the process of `tid`. None: the process is gone.
    fn fate(&mut self, tid: Tid, signal: SigNo, forced: bool, now: Instant) -> Option<(Pid, Fate)> {
        let known = self.machine.thread(tid).and_then(|thread| thread.process);
        let cached = known
            .and_then(|pid| Some((pid, self.processes.get(&pid)?.dispositions?)))
            .filter(|(_, dispositions)| dispositions.serve(signal, now));
        if let Some((process, dispositions)) = cached {
            return Some((process, dispositions.fate(signal, forced)));
        }
        let status = Status::read(tid).ok()?;
        let process = status.process();
        let dispositions = Dispositions::new(&status, now);
        self.machine.belongs(tid, process);
        self.register(process)?.dispositions = Some(dispositions);
        Some((process, dispositions.fate(signal, forced)))
    }

    fn remember(&mut self, process: Pid, thread: &Stopped, signal: SigNo, siginfo: SigInfo, seen: Instant) {
        if let (Some(known), Ok(registers)) = (self.processes.get_mut(&process), thread.registers()) {
            known.handled = Some(HandledFault {
                tid: thread.tid(),
                signal,
                siginfo,
                registers,
                seen,
            });
        }
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
        self.drop_thread(tid);
        None
    }

    /// Takes note of a child whose parent is let go before it was answered.
    fn claim_child(&mut self, parent: &Stopped, stop: Stop) {
        let message = parent.event_message().ok().map(|message| Tid(message as i32));
        match self.machine.stopped(parent.tid(), stop, message).1 {
            Notice::Thread(child) => self.waiting.add(child),
            Notice::Process(child) => {
                self.waiting.add(child.leader());
                self.register(child);
            }
            Notice::None | Notice::Exec(_) => {}
        }
    }

    /// Lets a thread go for good. One that died instead stays known: its end is still to be reaped.
    fn detach(&mut self, thread: Stopped, signal: Option<SigNo>) {
        let tid = thread.tid();
        match thread.detach(signal) {
            Ok(()) => self.drop_thread(tid),
            Err(PtraceError::Died(_)) => self.machine.resumed(tid),
            Err(error) => log::warn!("{error}"),
        }
    }

    fn drop_thread(&mut self, tid: Tid) {
        self.machine.ended(tid);
        self.waiting.remove(tid);
    }

    /// A thread that died before its answer came is news that its end will bring; a refusal is not expected.
    fn note(&self, tid: Tid, outcome: Result<(), PtraceError>) {
        if let Err(PtraceError::Refused { .. }) = &outcome {
            log::warn!("thread {tid}: {outcome:?}");
        }
    }
}

/// Makes a system call that the stop of an ignored signal interrupted restart.
fn repair(thread: &Stopped) {
    if let Ok(mut registers) = thread.registers()
        && registers.restart_interrupted_call()
    {
        // Failure means that the thread died.
        let _ = thread.set_registers(&registers);
    }
}

fn is_alive(pid: Pid, start: StartTime) -> bool {
    attach::start_time(pid.leader()) == Some(start)
        && !attach::is_exiting(pid.leader())
        && Status::read(pid.leader()).is_ok_and(|status| !status.is_dead() && !status.dumping)
}

fn is_dumping(pid: Pid, start: StartTime) -> bool {
    attach::start_time(pid.leader()) == Some(start)
        && Status::read(pid.leader()).is_ok_and(|status| status.dumping)
}
