//! What a stop means, without touching a thread: decoded wait events in, one answer out.
//!
//! The order in which events arrive is not the order in which things happened. A child's first stop comes
//! before or after its parent's event; a parent may die before it reports; an exec by a thread makes all others
//! vanish and gives the survivor another id. So a thread is known by its id alone, from whichever event names
//! it first, and every rule here holds for any interleaving.
//!
//! Each stop gets exactly one [`Answer`]. Only [`Answer::Judge`] leaves the thread stopped, until
//! [`Machine::resumed`] says that the caller has let it go on.

use fnv::{FnvHashMap, FnvHashSet};

use crate::sys::wait::{Birth, Stop};
use crate::sys::{Pid, SigNo, Tid};

/// The request that answers a stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Let it run on, delivering this signal if there is one.
    Continue(Option<SigNo>),
    /// Let it run on as if it had not stopped: a system call that the stop interrupted is made to restart.
    Restart,
    /// Let it stay stopped with its group and report what follows.
    Listen,
    /// A signal is about to be delivered; somebody who knows its disposition must say what happens.
    Judge(SigNo),
}

/// What else a stop told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// Nothing.
    None,
    /// A task was named for the first time; it is traced from birth.
    Thread(Tid),
    /// A process was born; it is traced from birth.
    Process(Pid),
    /// The process runs another program now, with this one thread.
    Exec(Pid),
}

/// What an end told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Departure {
    /// The process that the thread belonged to, where that was known.
    pub process: Option<Pid>,
    /// Whether it was the leader, so that the process is at its end: the kernel reports a leader last.
    pub was_leader: bool,
}

/// A thread as far as events have told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thread {
    /// The process it belongs to, once that is known.
    pub process: Option<Pid>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Named by its parent's event, not yet seen itself.
    Expected,
    Running,
    Judged,
    Listening,
}

/// The threads of one service.
#[derive(Debug, Default)]
pub struct Machine {
    threads: FnvHashMap<Tid, Thread>,
    judged: usize,
    /// Threads that are in a group-stop, or come out of one.
    after_group_stop: FnvHashSet<Tid>,
}

impl Machine {
    /// A thread was seized while it ran.
    pub fn seized(&mut self, tid: Tid, process: Pid) {
        self.threads.insert(
            tid,
            Thread {
                process: Some(process),
                state: State::Running,
            },
        );
    }

    /// A thread stopped. `message` is the event message of a [`Stop::NewTask`] or [`Stop::Exec`].
    pub fn stopped(&mut self, tid: Tid, stop: Stop, message: Option<Tid>) -> (Answer, Notice) {
        let first_seen = !self.threads.contains_key(&tid);
        let thread = self.threads.entry(tid).or_insert(Thread::unknown());
        let before = if first_seen { State::Expected } else { thread.state };
        if before == State::Judged {
            self.judged -= 1;
        }
        thread.state = State::Running;
        let group = self.after_group_stop.remove(&tid);
        let seen = if first_seen {
            Notice::Thread(tid)
        } else {
            Notice::None
        };
        match stop {
            Stop::Signal(SigNo::STOP) => (Answer::Continue(Some(SigNo::STOP)), seen),
            Stop::Signal(signal) => {
                thread.state = State::Judged;
                self.judged += 1;
                if signal == SigNo::CONT && group {
                    self.continued(tid);
                }
                (Answer::Judge(signal), seen)
            }
            Stop::Group(_) => {
                thread.state = State::Listening;
                self.after_group_stop.insert(tid);
                (Answer::Listen, seen)
            }
            Stop::Trap => {
                if group {
                    self.after_group_stop.insert(tid);
                }
                let answer = match before {
                    State::Expected | State::Listening => Answer::Continue(None),
                    // We asked for it, or SIGCONT: that stops every traced thread, whether or not its process was stopped.
                    State::Running | State::Judged => Answer::Restart,
                };
                (answer, seen)
            }
            Stop::NewTask(birth) => {
                let process = thread.process;
                (
                    Answer::Continue(None),
                    message.map_or(seen, |child| self.born(child, birth, process)),
                )
            }
            Stop::Exec => {
                self.executed(tid, message);
                (Answer::Continue(None), Notice::Exec(tid.as_process()))
            }
            Stop::Other(_) => (Answer::Continue(None), seen),
        }
    }

    /// The caller has let a judged thread go on.
    pub fn resumed(&mut self, tid: Tid) {
        if let Some(thread) = self.threads.get_mut(&tid)
            && thread.state == State::Judged
        {
            thread.state = State::Running;
            self.judged -= 1;
            self.after_group_stop.remove(&tid);
        }
    }

    /// A thread ended and was reaped.
    pub fn ended(&mut self, tid: Tid) -> Departure {
        let process = self.remove(tid).and_then(|thread| thread.process);
        Departure {
            process,
            was_leader: process.is_none_or(|process| process.leader() == tid),
        }
    }

    /// Forgets a process whose threads are no longer traced.
    pub fn forget(&mut self, process: Pid) {
        let judged = &mut self.judged;
        self.threads.retain(|_, thread| {
            let keep = thread.process != Some(process);
            *judged -= usize::from(!keep && thread.state == State::Judged);
            keep
        });
    }

    /// Forgets one thread that turned out not to be traced; returns whether it was known.
    pub fn remove(&mut self, tid: Tid) -> Option<Thread> {
        let thread = self.threads.remove(&tid)?;
        self.after_group_stop.remove(&tid);
        self.judged -= usize::from(thread.state == State::Judged);
        Some(thread)
    }

    /// Notes which process a thread belongs to.
    pub fn belongs(&mut self, tid: Tid, process: Pid) {
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.process = Some(process);
        }
    }

    /// What is known of a thread.
    pub fn thread(&self, tid: Tid) -> Option<&Thread> {
        self.threads.get(&tid)
    }

    /// Every thread.
    pub fn threads(&self) -> impl Iterator<Item = (Tid, &Thread)> {
        self.threads.iter().map(|(tid, thread)| (*tid, thread))
    }

    /// How many threads there are.
    pub fn len(&self) -> usize {
        self.threads.len()
    }

    /// Whether there is no thread.
    pub fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// Whether a thread is stopped with its process.
    pub fn listens(&self, tid: Tid) -> bool {
        self.thread(tid)
            .is_some_and(|thread| thread.state == State::Listening)
    }

    /// Whether the signal that a thread takes is the SIGCONT that ended its group-stop: a system call that the stop
    /// interrupted returns `EINTR` untraced as well (signal(7)). Any signal that comes later interrupts a call of its own.
    pub fn is_continued(&self, tid: Tid) -> bool {
        self.after_group_stop.contains(&tid)
    }

    /// How many threads are stopped and wait for a judgement.
    pub fn judged(&self) -> usize {
        self.judged
    }

    /// One thread takes the SIGCONT that ended the group-stop of its process; no other will.
    fn continued(&mut self, tid: Tid) {
        let process_of = |tid: &Tid| self.threads.get(tid).map(|thread| thread.process);
        let process = process_of(&tid);
        self.after_group_stop.retain(|other| process_of(other) != process);
        self.after_group_stop.insert(tid);
    }

    fn born(&mut self, child: Tid, birth: Birth, parent: Option<Pid>) -> Notice {
        let known = self.threads.contains_key(&child);
        let thread = self.threads.entry(child).or_insert(Thread {
            state: State::Expected,
            ..Thread::unknown()
        });
        match birth {
            Birth::Clone => {
                thread.process = thread.process.or(parent);
                if known {
                    Notice::None
                } else {
                    Notice::Thread(child)
                }
            }
            Birth::Fork | Birth::Vfork => {
                thread.process = Some(child.as_process());
                Notice::Process(child.as_process())
            }
        }
    }

    /// The thread `former` became the leader `tid`; all others of the process are gone, and have been reaped
    /// (`de_thread` waits for that).
    fn executed(&mut self, tid: Tid, former: Option<Tid>) {
        let process = tid.as_process();
        let judged = &mut self.judged;
        self.threads.retain(|&other, thread| {
            let gone = other != tid && (thread.process == Some(process) || Some(other) == former);
            *judged -= usize::from(gone && thread.state == State::Judged);
            !gone
        });
        self.belongs(tid, process);
    }
}

impl Thread {
    fn unknown() -> Self {
        Self {
            process: None,
            state: State::Running,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: Tid = Tid(100);
    const WORKER: Tid = Tid(101);
    const PROCESS: Pid = Pid(100);

    fn traced() -> Machine {
        let mut machine = Machine::default();
        machine.seized(LEADER, PROCESS);
        machine.seized(WORKER, PROCESS);
        machine
    }

    #[test]
    fn a_group_stop_is_listened_to_and_never_continued() {
        let mut machine = traced();
        assert_eq!(
            machine.stopped(LEADER, Stop::Signal(SigNo::STOP), None).0,
            Answer::Continue(Some(SigNo::STOP))
        );
        assert_eq!(
            machine.stopped(LEADER, Stop::Group(SigNo::STOP), None).0,
            Answer::Listen
        );
        assert_eq!(
            machine.stopped(WORKER, Stop::Group(SigNo::STOP), None).0,
            Answer::Listen
        );
        assert_eq!(
            machine.stopped(LEADER, Stop::Trap, None).0,
            Answer::Continue(None)
        );
        assert_eq!(
            machine.stopped(LEADER, Stop::Signal(SigNo::CONT), None).0,
            Answer::Judge(SigNo::CONT)
        );
        assert!(machine.is_continued(LEADER));
        machine.resumed(LEADER);
        assert!(!machine.is_continued(LEADER));
    }

    #[test]
    fn after_a_group_stop_only_its_own_continuation_counts() {
        let mut machine = traced();
        for tid in [LEADER, WORKER] {
            machine.stopped(tid, Stop::Group(SigNo::STOP), None);
            machine.stopped(tid, Stop::Trap, None);
        }
        machine.stopped(LEADER, Stop::Signal(SigNo::CONT), None);
        machine.resumed(LEADER);
        for signal in [SigNo::CONT, SigNo::CHLD] {
            machine.stopped(WORKER, Stop::Signal(signal), None);
            assert!(!machine.is_continued(WORKER), "{signal}");
            machine.resumed(WORKER);
        }
    }

    #[test]
    fn a_child_is_claimed_in_either_order() {
        for child_first in [true, false] {
            let mut machine = traced();
            let child = Tid(102);
            let first = |machine: &mut Machine| {
                assert_eq!(machine.stopped(child, Stop::Trap, None).0, Answer::Continue(None))
            };
            if child_first {
                first(&mut machine);
            }
            let (answer, notice) = machine.stopped(WORKER, Stop::NewTask(Birth::Clone), Some(child));
            assert_eq!(answer, Answer::Continue(None));
            assert_eq!(
                notice,
                if child_first {
                    Notice::None
                } else {
                    Notice::Thread(child)
                }
            );
            if !child_first {
                first(&mut machine);
            }
            assert_eq!(machine.thread(child).unwrap().process, Some(PROCESS));
        }
    }

    #[test]
    fn a_forked_child_is_a_process_of_its_own() {
        let mut machine = traced();
        let (_, notice) = machine.stopped(WORKER, Stop::NewTask(Birth::Vfork), Some(Tid(300)));
        assert_eq!(notice, Notice::Process(Pid(300)));
        assert_eq!(machine.thread(Tid(300)).unwrap().process, Some(Pid(300)));
        assert!(machine.ended(Tid(300)).was_leader);
    }

    #[test]
    fn after_exec_by_a_thread_only_the_leaders_id_is_left() {
        let mut machine = traced();
        machine.seized(Tid(102), PROCESS);
        let (answer, notice) = machine.stopped(LEADER, Stop::Exec, Some(WORKER));
        assert_eq!((answer, notice), (Answer::Continue(None), Notice::Exec(PROCESS)));
        assert_eq!(
            machine.threads().map(|(tid, _)| tid).collect::<Vec<_>>(),
            [LEADER]
        );
    }

    #[test]
    fn a_judged_thread_that_dies_is_no_longer_waited_for() {
        let mut machine = traced();
        machine.stopped(WORKER, Stop::Signal(SigNo::SEGV), None);
        assert_eq!(machine.judged(), 1);
        let departure = machine.ended(WORKER);
        assert_eq!((machine.judged(), departure.was_leader), (0, false));
    }
}
