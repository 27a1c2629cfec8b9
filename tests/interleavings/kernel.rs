//! A small kernel: as much of tasks, signals and ptrace(2) as a tracer can notice.
//!
//! Modelled on kernel/signal.c, ptrace.c, exit.c and fork.c (6.x), for tasks that are all seized: signals that stop their
//! thread before they are delivered, group-stops that each thread joins by a stop of its own, SIGCONT that stops every
//! thread once more, children that stop before or after their parent, exec that waits until every other thread is reaped
//! and renames the survivor, SIGKILL that ends any stop, leaders that are reported last.
//!
//! Each thread is always inside a system call that returns `EINTR` when anything interrupts it.

use std::collections::{BTreeMap, VecDeque};

use sickbay::sys::wait::{Birth, Stop};
use sickbay::sys::{Pid, SigNo, Tid};

/// A signal that was sent; the number tells one from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sent {
    pub(crate) signal: SigNo,
    pub(crate) number: usize,
}

/// What a wait for one task tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Report {
    /// It stopped. The number tells this stop from the next one of the same task.
    Stopped {
        stop: Stop,
        message: Option<Tid>,
        number: usize,
    },
    /// It ended.
    Ended,
}

/// How a stop is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    Continue { signal: Option<SigNo>, restart: bool },
    Listen,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Running,
    Stopped {
        stop: Stop,
        message: Option<Tid>,
        number: usize,
    },
    Listening,
    Dead,
}

/// The system call that a thread is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Call {
    Blocked,
    /// It will return `EINTR`, with good reason or because of a stop that nobody sees untraced.
    Interrupted {
        with_reason: bool,
    },
    /// It will be made again (`-ERESTARTNOHAND`), unless a handler runs.
    Restarting,
}

#[derive(Clone, Debug)]
struct Task {
    process: Pid,
    state: State,
    call: Call,
    pending: VecDeque<Sent>,
    /// The signal it has stopped for.
    taken: Option<Sent>,
    /// A stop for the group, or for news of it, is due (`JOBCTL_TRAP_STOP`, `JOBCTL_TRAP_NOTIFY`).
    trap: bool,
    /// SIGCONT came after it had taken a stop signal, which has no effect then.
    stop_is_void: bool,
    /// It waits in exec for the end of all others.
    in_exec: bool,
}

/// The tasks of one service, and what went wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kernel {
    tasks: BTreeMap<Tid, Task>,
    stopped_groups: BTreeMap<Pid, SigNo>,
    last_id: i32,
    numbers: usize,
    /// What became of each signal, by number.
    fates: Vec<SignalFate>,
    pub(crate) violations: Vec<String>,
}

/// What became of a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SignalFate {
    Pending,
    Delivered,
    /// Its thread ended, or SIGCONT and a stop signal cancelled each other.
    Void,
}

impl Kernel {
    /// A process with so many threads, all seized while they ran.
    pub(crate) fn with_threads(count: i32) -> Self {
        let mut kernel = Self {
            last_id: 99,
            ..Self::default()
        };
        let leader = kernel.fresh_id();
        for index in 0..count {
            let tid = if index == 0 { leader } else { kernel.fresh_id() };
            kernel.tasks.insert(tid, Task::new(leader.as_process()));
        }
        kernel
    }

    // ---- what programs do; requests that make no sense at the moment do nothing ----

    /// Another process sends a signal to one thread.
    pub(crate) fn send(&mut self, tid: Tid, signal: SigNo) {
        let Some(process) = self.living(tid).map(|task| task.process) else {
            return;
        };
        let number = self.fates.len();
        self.fates.push(SignalFate::Pending);
        match signal {
            SigNo::CONT => self.continue_group(process),
            SigNo::STOP => self.discard(process, SigNo::CONT),
            _ => {}
        }
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.pending.push_back(Sent { signal, number });
        }
        self.run_all();
    }

    /// A running thread starts another one, or a process.
    pub(crate) fn start(&mut self, parent: Tid, birth: Birth) {
        let Some(process) = self.running(parent) else {
            return;
        };
        let child = self.fresh_id();
        let process = if birth == Birth::Clone {
            process
        } else {
            child.as_process()
        };
        let mut task = Task::new(process);
        task.trap = true;
        self.tasks.insert(child, task);
        self.stop(parent, Stop::NewTask(birth), Some(child));
        // It never was in a call that this could interrupt.
        self.tasks.get_mut(&parent).expect("it runs").call = Call::Blocked;
        self.run_all();
        self.tasks.get_mut(&child).expect("just made").call = Call::Blocked;
    }

    /// A running thread ends by itself.
    pub(crate) fn exit(&mut self, tid: Tid) {
        if self.running(tid).is_some() {
            self.die(tid);
        }
    }

    /// SIGKILL, whatever the threads are at.
    pub(crate) fn kill(&mut self, process: Pid) {
        for tid in self.threads_of(process) {
            self.die(tid);
        }
        self.stopped_groups.remove(&process);
    }

    /// A running thread executes another program.
    pub(crate) fn exec(&mut self, tid: Tid) {
        let Some(process) = self.running(tid) else { return };
        if self
            .threads_of(process)
            .iter()
            .any(|other| self.tasks[other].in_exec)
        {
            return;
        }
        for other in self.threads_of(process).into_iter().filter(|other| *other != tid) {
            self.die(other);
        }
        self.tasks.get_mut(&tid).expect("it runs").in_exec = true;
        self.finish_exec(process);
    }

    // ---- what a tracer asks ----

    /// What a wait for that task reports, without consuming it.
    pub(crate) fn peek(&self, tid: Tid) -> Option<Report> {
        let task = self.tasks.get(&tid)?;
        match task.state {
            State::Stopped {
                stop,
                message,
                number,
            } => Some(Report::Stopped {
                stop,
                message,
                number,
            }),
            State::Dead if !self.is_delayed(tid) => Some(Report::Ended),
            _ => None,
        }
    }

    /// Every task that has something to report.
    pub(crate) fn reporting(&self) -> Vec<Tid> {
        let all = self.tasks.keys().copied();
        all.filter(|tid| self.peek(*tid).is_some()).collect()
    }

    /// Answers the stop of that number; false if the thread is no longer in it (`ESRCH`).
    pub(crate) fn answer(&mut self, tid: Tid, number: usize, request: Request) -> bool {
        let Some(task) = self.tasks.get_mut(&tid) else {
            return false;
        };
        let State::Stopped {
            stop,
            number: current,
            ..
        } = task.state
        else {
            return false;
        };
        if current != number {
            return false;
        }
        let process = task.process;
        let fits = match (stop, request) {
            (Stop::Group(_), Request::Listen) => true,
            (Stop::Group(_), Request::Continue { .. }) | (_, Request::Listen) => false,
            (Stop::Signal(taken), Request::Continue { signal, .. }) => signal == Some(taken),
            (_, Request::Continue { signal, .. }) => signal.is_none(),
        };
        if !fits {
            self.violations
                .push(format!("{tid} in {stop:?} was answered by {request:?}"));
        }
        task.state = if request == Request::Listen {
            State::Listening
        } else {
            State::Running
        };
        if let (Request::Continue { restart: true, .. }, Call::Interrupted { .. }) = (request, task.call) {
            task.call = Call::Restarting;
        }
        if let Some(taken) = task.taken.take() {
            let is_delivered = matches!(request, Request::Continue { signal: Some(_), .. });
            if is_delivered {
                self.deliver(tid, process, taken);
            } else {
                self.violations.push(format!("{taken:?} to {tid} was swallowed"));
            }
        }
        self.run_all();
        true
    }

    /// Consumes the end of a task.
    pub(crate) fn reap(&mut self, tid: Tid) {
        if self.peek(tid) != Some(Report::Ended) {
            self.violations
                .push(format!("{tid} was reaped and has not ended"));
            return;
        }
        let process = self.forget(tid);
        self.finish_exec(process);
    }

    // ---- what an observer may know ----

    /// Every task that is not reaped, with its process.
    pub(crate) fn tasks(&self) -> BTreeMap<Tid, Pid> {
        let tasks = self.tasks.iter();
        tasks.map(|(tid, task)| (*tid, task.process)).collect()
    }

    /// The tasks that are in a stop that nobody has answered.
    pub(crate) fn stopped(&self) -> Vec<Tid> {
        let stopped = self
            .tasks
            .iter()
            .filter(|(_, task)| matches!(task.state, State::Stopped { .. }));
        stopped.map(|(tid, _)| *tid).collect()
    }

    /// The tasks that listen though their group is not stopped, or run though it is.
    pub(crate) fn out_of_step(&self) -> Vec<Tid> {
        let is_out = |task: &Task| match task.state {
            State::Listening => !self.stopped_groups.contains_key(&task.process),
            State::Running => self.stopped_groups.contains_key(&task.process) && !task.in_exec,
            _ => false,
        };
        let tasks = self.tasks.iter().filter(|(_, task)| is_out(task));
        tasks.map(|(tid, _)| *tid).collect()
    }

    /// What became of the signals, in the order in which they were sent.
    pub(crate) fn fates(&self) -> &[SignalFate] {
        &self.fates
    }

    // ---- inside ----

    fn fresh_id(&mut self) -> Tid {
        self.last_id += 1;
        Tid(self.last_id)
    }

    fn living(&self, tid: Tid) -> Option<&Task> {
        self.tasks.get(&tid).filter(|task| task.state != State::Dead)
    }

    fn running(&self, tid: Tid) -> Option<Pid> {
        let task = self
            .tasks
            .get(&tid)
            .filter(|task| task.state == State::Running && !task.in_exec)?;
        Some(task.process)
    }

    fn threads_of(&self, process: Pid) -> Vec<Tid> {
        let threads = self.tasks.iter().filter(|(_, task)| task.process == process);
        threads.map(|(tid, _)| *tid).collect()
    }

    /// A dead leader is reported when it is the last of its process, and not at all while another thread is in exec.
    fn is_delayed(&self, tid: Tid) -> bool {
        let process = self.tasks[&tid].process;
        tid == process.leader() && self.threads_of(process).len() > 1
    }

    fn die(&mut self, tid: Tid) {
        let task = self.tasks.get_mut(&tid).expect("a known task");
        task.state = State::Dead;
        let lost: Vec<Sent> = task.pending.drain(..).chain(task.taken.take()).collect();
        for sent in lost {
            self.conclude(sent, SignalFate::Void);
        }
    }

    fn forget(&mut self, tid: Tid) -> Pid {
        let process = self.tasks.remove(&tid).expect("a known task").process;
        if self.threads_of(process).is_empty() {
            self.stopped_groups.remove(&process);
        }
        process
    }

    /// The exec of a thread is complete when all others are gone; a leader is not reported, its id is taken over.
    fn finish_exec(&mut self, process: Pid) {
        let threads = self.threads_of(process);
        let Some(former) = threads.iter().copied().find(|tid| {
            let task = &self.tasks[tid];
            task.in_exec && task.state == State::Running
        }) else {
            return;
        };
        let leader = process.leader();
        if threads.iter().any(|tid| *tid != former && *tid != leader) {
            return;
        }
        let mut task = self.tasks.remove(&former).expect("it is in exec");
        task.in_exec = false;
        self.tasks.insert(leader, task);
        self.stop(leader, Stop::Exec, Some(former));
        self.tasks.get_mut(&leader).expect("just renamed").call = Call::Blocked;
    }

    fn continue_group(&mut self, process: Pid) {
        self.discard(process, SigNo::STOP);
        self.stopped_groups.remove(&process);
        for tid in self.threads_of(process) {
            let task = self.tasks.get_mut(&tid).expect("a known task");
            task.trap = true;
            task.stop_is_void = true;
        }
    }

    /// SIGCONT and stop signals that are pending cancel each other (`prepare_signal`).
    fn discard(&mut self, process: Pid, signal: SigNo) {
        for tid in self.threads_of(process) {
            let pending = &mut self.tasks.get_mut(&tid).expect("a known task").pending;
            let gone: Vec<Sent> = pending
                .iter()
                .copied()
                .filter(|sent| sent.signal == signal)
                .collect();
            pending.retain(|sent| sent.signal != signal);
            for sent in gone {
                self.conclude(sent, SignalFate::Void);
            }
        }
    }

    fn deliver(&mut self, tid: Tid, process: Pid, sent: Sent) {
        self.conclude(sent, SignalFate::Delivered);
        let task = self.tasks.get_mut(&tid).expect("it was answered");
        let void = std::mem::take(&mut task.stop_is_void);
        match sent.signal {
            SigNo::STOP if !void => {
                self.stopped_groups.insert(process, SigNo::STOP);
                for other in self.threads_of(process) {
                    self.tasks.get_mut(&other).expect("a known task").trap = true;
                }
            }
            // Stopped and continued before it came to a stop.
            SigNo::STOP => excuse(task),
            SigNo::CONT | SigNo::CHLD => {}
            // A handler runs.
            _ => excuse(task),
        }
    }

    fn conclude(&mut self, sent: Sent, fate: SignalFate) {
        let before = std::mem::replace(&mut self.fates[sent.number], fate);
        if before != SignalFate::Pending {
            self.violations
                .push(format!("{sent:?} was {before:?}, then {fate:?}"));
        }
    }

    fn stop(&mut self, tid: Tid, stop: Stop, message: Option<Tid>) {
        self.numbers += 1;
        let number = self.numbers;
        let task = self.tasks.get_mut(&tid).expect("a known task");
        task.state = State::Stopped {
            stop,
            message,
            number,
        };
        if task.call == Call::Blocked {
            task.call = Call::Interrupted { with_reason: false };
        }
    }

    /// Lets every thread run until something stops it (`get_signal`).
    fn run_all(&mut self) {
        for tid in self.tasks.keys().copied().collect::<Vec<_>>() {
            let task = self.tasks.get_mut(&tid).expect("a known task");
            let group = self.stopped_groups.get(&task.process).copied();
            match task.state {
                // A thread that waits in exec takes no notice before the new program runs.
                State::Running if task.in_exec => {}
                State::Running | State::Listening if task.trap => {
                    task.trap = false;
                    self.stop(tid, group.map_or(Stop::Trap, Stop::Group), None);
                    if group.is_some() {
                        excuse(self.tasks.get_mut(&tid).expect("it stopped"));
                    }
                }
                State::Running => {
                    if let Some(sent) = task.pending.pop_front() {
                        task.taken = Some(sent);
                        task.stop_is_void = false;
                        self.stop(tid, Stop::Signal(sent.signal), None);
                    } else {
                        self.return_to_program(tid);
                    }
                }
                _ => {}
            }
        }
    }

    fn return_to_program(&mut self, tid: Tid) {
        let task = self.tasks.get_mut(&tid).expect("a known task");
        if task.call == (Call::Interrupted { with_reason: false }) {
            self.violations
                .push(format!("a call of {tid} returned EINTR for nothing"));
        }
        task.call = Call::Blocked;
    }
}

impl Task {
    fn new(process: Pid) -> Self {
        Self {
            process,
            state: State::Running,
            call: Call::Blocked,
            pending: VecDeque::new(),
            taken: None,
            trap: false,
            stop_is_void: false,
            in_exec: false,
        }
    }
}

/// The call returns `EINTR` untraced as well.
fn excuse(task: &mut Task) {
    if let Call::Interrupted { with_reason } = &mut task.call {
        *with_reason = true;
    }
}
