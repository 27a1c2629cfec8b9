//! A tracer around the pure machine: looks at one task after another, in any order, and does what the machine says.

use std::collections::BTreeSet;

use sickbay::sys::wait::Stop;
use sickbay::sys::{SigNo, Tid};
use sickbay::trace::machine::{Answer, Machine, Notice};

use super::kernel::{Kernel, Report, Request};

/// A deliberate mistake of the tracer or, as it were, of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mistake {
    /// A group-stop is continued, not listened to.
    ContinueGroupStops,
    /// A signal is not delivered.
    SwallowSignals,
    /// Another signal is delivered.
    ConfuseSignals,
    /// A stop that is no signal's delivers the last one once more.
    DoubleSignals,
    /// A call that a signal without effect interrupted is not made to restart.
    LeaveSignalsUnrepaired,
    /// A call that SIGCONT interrupted is not made to restart.
    LeaveTrapsUnrepaired,
    /// A thread that was ever in a group-stop is taken to come out of one.
    RememberGroupStops,
    /// A judged stop is never answered.
    HoldForEver,
    /// Ends are not reaped.
    ReapNothing,
    /// Ends are reaped, and the thread stays known.
    ForgetNobody,
    /// A child that its parent names is not looked at before somebody looks at all.
    MissChildren,
    /// Threads that are gone without a word stay known.
    NeverAudit,
}

impl Mistake {
    pub(crate) const ALL: [Self; 12] = [
        Self::ContinueGroupStops,
        Self::SwallowSignals,
        Self::ConfuseSignals,
        Self::DoubleSignals,
        Self::LeaveSignalsUnrepaired,
        Self::LeaveTrapsUnrepaired,
        Self::RememberGroupStops,
        Self::HoldForEver,
        Self::ReapNothing,
        Self::ForgetNobody,
        Self::MissChildren,
        Self::NeverAudit,
    ];
}

/// A stop that waits for a decision.
#[derive(Clone, Copy, Debug)]
struct Held {
    tid: Tid,
    number: usize,
    signal: SigNo,
}

/// The tracer. It knows of the kernel only what wait and ptrace tell.
#[derive(Debug)]
pub(crate) struct Tracer {
    machine: Machine,
    waiting: BTreeSet<Tid>,
    held: Vec<Held>,
    /// A report that was looked at and is not acted upon yet.
    in_hand: Option<(Tid, Report)>,
    mistake: Option<Mistake>,
    once_in_group_stop: BTreeSet<Tid>,
    last_signal: Option<SigNo>,
}

impl Tracer {
    /// A tracer that has seized every task.
    pub(crate) fn of(kernel: &Kernel, mistake: Option<Mistake>) -> Self {
        let mut machine = Machine::default();
        for (tid, process) in kernel.tasks() {
            machine.seized(tid, process);
        }
        Self {
            machine,
            waiting: kernel.tasks().into_keys().collect(),
            held: Vec::new(),
            in_hand: None,
            mistake,
            once_in_group_stop: BTreeSet::new(),
            last_signal: None,
        }
    }

    /// Looks at one task that has something to report: at one it knows of, or else at any.
    pub(crate) fn look(&mut self, kernel: &Kernel, choice: usize) {
        if self.in_hand.is_some() {
            return;
        }
        let (known, unknown): (Vec<Tid>, Vec<Tid>) = kernel
            .reporting()
            .into_iter()
            .filter(|tid| !self.is_held(kernel, *tid))
            .partition(|tid| self.waiting.contains(tid));
        let among = if known.is_empty() { unknown } else { known };
        if !among.is_empty() {
            let tid = among[choice % among.len()];
            self.in_hand = kernel.peek(tid).map(|report| (tid, report));
        }
    }

    /// Acts upon what was looked at, which may be long ago.
    pub(crate) fn act(&mut self, kernel: &mut Kernel) {
        match self.in_hand.take() {
            Some((
                tid,
                Report::Stopped {
                    stop,
                    message,
                    number,
                },
            )) => {
                let is_current =
                    matches!(kernel.peek(tid), Some(Report::Stopped { number: now, .. }) if now == number);
                let message = message
                    .filter(|task| is_current && (stop == Stop::Exec || kernel.tasks().contains_key(task)));
                self.stopped(kernel, tid, stop, message, number);
            }
            Some((tid, Report::Ended)) => self.ended(kernel, tid),
            None => {}
        }
    }

    /// Decides about one of the judged stops.
    pub(crate) fn decide(&mut self, kernel: &mut Kernel, choice: usize) {
        if self.held.is_empty() || self.mistake == Some(Mistake::HoldForEver) {
            return;
        }
        let Held { tid, number, signal } = self.held.swap_remove(choice % self.held.len());
        let comes_out_of_stop = self.machine.is_continued(tid)
            || self.mistake == Some(Mistake::RememberGroupStops) && self.once_in_group_stop.contains(&tid);
        let is_without_effect = matches!(signal, SigNo::CHLD | SigNo::CONT);
        let restart =
            is_without_effect && !comes_out_of_stop && self.mistake != Some(Mistake::LeaveSignalsUnrepaired);
        let signal = match self.mistake {
            Some(Mistake::SwallowSignals) => None,
            Some(Mistake::ConfuseSignals) => Some(SigNo(signal.0 + 1)),
            _ => Some(signal),
        };
        self.machine.resumed(tid);
        kernel.answer(tid, number, Request::Continue { signal, restart });
    }

    /// Works until nothing is left to do.
    pub(crate) fn drain(&mut self, kernel: &mut Kernel) {
        for _ in 0..10_000 {
            self.act(kernel);
            self.look(kernel, 0);
            if self.in_hand.is_none() {
                if self.held.is_empty() || self.mistake == Some(Mistake::HoldForEver) {
                    return;
                }
                self.decide(kernel, 0);
            }
        }
        kernel.violations.push("the tracer never comes to rest".into());
    }

    /// Forgets threads that are gone under an id that nobody reports, as the engine's audit does.
    pub(crate) fn audit(&mut self, kernel: &Kernel) {
        if self.mistake == Some(Mistake::NeverAudit) {
            return;
        }
        let tasks = kernel.tasks();
        for tid in self
            .waiting
            .clone()
            .into_iter()
            .filter(|tid| !tasks.contains_key(tid))
        {
            self.machine.ended(tid);
            self.waiting.remove(&tid);
        }
    }

    /// What the tracer knows that is not so.
    pub(crate) fn delusions(&self, kernel: &Kernel) -> Vec<String> {
        let mut found = Vec::new();
        let tasks = kernel.tasks();
        let known: BTreeSet<Tid> = self.machine.threads().map(|(tid, _)| tid).collect();
        let existing: BTreeSet<Tid> = tasks.keys().copied().collect();
        if known != existing {
            found.push(format!("the machine knows {known:?}, there are {existing:?}"));
        }
        if self.waiting != existing {
            found.push(format!(
                "looked at are {:?}, there are {existing:?}",
                self.waiting
            ));
        }
        for (tid, thread) in self.machine.threads() {
            if thread
                .process
                .is_some_and(|process| Some(&process) != tasks.get(&tid))
            {
                found.push(format!("{tid} is taken to be of {:?}", thread.process));
            }
        }
        if self.machine.judged() != self.held.len() {
            found.push(format!(
                "{} are judged, {} held",
                self.machine.judged(),
                self.held.len()
            ));
        }
        found
    }

    fn is_held(&self, kernel: &Kernel, tid: Tid) -> bool {
        self.held.iter().any(|held| {
            held.tid == tid
                && matches!(kernel.peek(tid), Some(Report::Stopped { number, .. }) if number == held.number)
        })
    }

    fn stopped(&mut self, kernel: &mut Kernel, tid: Tid, stop: Stop, message: Option<Tid>, number: usize) {
        self.held.retain(|held| held.tid != tid);
        let (answer, notice) = self.machine.stopped(tid, stop, message);
        match notice {
            Notice::Thread(child) if child != tid && self.mistake == Some(Mistake::MissChildren) => {}
            Notice::Thread(new) => drop(self.waiting.insert(new)),
            Notice::Process(new) => drop(self.waiting.insert(new.leader())),
            Notice::Exec(process) => {
                if let Some(former) = message {
                    self.waiting.remove(&former);
                    self.held.retain(|held| held.tid != former);
                }
                self.waiting.insert(process.leader());
            }
            Notice::None => {}
        }
        let go_on = |signal, restart| Request::Continue { signal, restart };
        let request = match answer {
            Answer::Judge(signal) => {
                self.last_signal = Some(signal);
                self.held.push(Held { tid, number, signal });
                // As the engine does, which reads it from /proc.
                if let Some(process) = kernel.tasks().get(&tid) {
                    self.machine.belongs(tid, *process);
                }
                return;
            }
            Answer::Listen if self.mistake == Some(Mistake::ContinueGroupStops) => go_on(None, false),
            Answer::Listen => {
                self.once_in_group_stop.insert(tid);
                Request::Listen
            }
            Answer::Continue(None) if self.mistake == Some(Mistake::DoubleSignals) => {
                go_on(self.last_signal, false)
            }
            Answer::Continue(signal) => go_on(signal, false),
            Answer::Restart => go_on(None, self.mistake != Some(Mistake::LeaveTrapsUnrepaired)),
        };
        kernel.answer(tid, number, request);
    }

    fn ended(&mut self, kernel: &mut Kernel, tid: Tid) {
        if self.mistake == Some(Mistake::ReapNothing) {
            return;
        }
        kernel.reap(tid);
        self.held.retain(|held| held.tid != tid);
        self.waiting.remove(&tid);
        if self.mistake != Some(Mistake::ForgetNobody) {
            self.machine.ended(tid);
        }
    }
}
