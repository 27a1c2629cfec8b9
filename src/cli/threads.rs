//! `sickbay threads`: the threads of a service, as the kernel shows them, and what became of those that faulted.
//!
//! Whoever supervises them says which processes there are, and which threads are isolated; the rest is read here, so that
//! a long list costs the supervisor nothing.

use std::collections::HashMap;
use std::fs;
use std::process::ExitCode;

use anyhow::bail;
use jiff::Timestamp;
use serde::Serialize;

use super::output::Output;
use super::socket::Socket;
use super::status;
use super::table::Table;
use crate::config::Action;
use crate::ipc::{IsolatedState, IsolatedThread};
use crate::supervisor::control::{Answer, Request};
use crate::sys::status::Status;
use crate::sys::{Pid, Tid};

/// What `state` is of a thread that is no more, beside the letters of proc(5).
const ENDED: char = 'X';

/// Show the threads of a supervised service, and which are isolated
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whose").required(true))]
pub struct Threads {
    /// The service, as the daemon's configuration names it
    #[arg(group = "whose")]
    service: Option<String>,
    /// Those of a process that 'run', 'attach' or the daemon supervises
    #[arg(long, group = "whose", value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,
    /// Print an array of JSON objects
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

#[derive(Serialize)]
struct Thread {
    process: Pid,
    tid: Tid,
    name: String,
    /// The state letter of proc(5).
    state: char,
    /// Where it waits in the kernel, if it does and the kernel tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<String>,
    held: bool,
    /// What became of it after its fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    isolated: Option<IsolatedThread>,
}

impl Threads {
    /// Prints every thread of the processes that were found, and those that have ended after a fault.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let (processes, isolated) = self.ask()?;
        let threads = with_isolated(processes.iter().flat_map(|pid| threads_of(*pid)), isolated);
        let mut output = Output::stdout();
        if self.json {
            output.json(&threads)?;
        } else {
            let mut table = Table::new(["PROCESS", "THREAD", "NAME", "STATE", "WAITS IN", "ISOLATED"]);
            let now = Timestamp::now();
            for thread in &threads {
                let isolated = thread.isolated.as_ref();
                table.row([
                    thread.process.to_string(),
                    thread.tid.to_string(),
                    thread.name.clone(),
                    thread.state.to_string(),
                    thread.waiting.clone().unwrap_or_default(),
                    isolated
                        .map(|isolated| state(isolated).to_owned())
                        .unwrap_or_default(),
                ]);
            }
            for thread in threads.iter().filter_map(|thread| thread.isolated.as_ref()) {
                let Tid(tid) = thread.tid;
                table.note(&format!("{} ({tid})", thread.name), &sentence(thread, now));
            }
            output.text(&table.render(output.colour()))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The processes in question, and the threads that are isolated.
    fn ask(&self) -> anyhow::Result<(Vec<Pid>, Vec<IsolatedThread>)> {
        let (processes, answer) = match self.pid {
            Some(pid) => {
                let service = None;
                let answer = self.socket.of_thread(Tid(pid))?.ask(&Request::Isolated {
                    service,
                    process: Some(Pid(pid)),
                })?;
                (vec![Pid(pid)], answer)
            }
            None => {
                let service = self.service.clone();
                let daemon = status::ask(&self.socket, service.clone())?;
                let services = daemon.services.into_iter();
                let answer = self.socket.ask(&Request::Isolated {
                    service,
                    process: None,
                })?;
                (services.flat_map(|service| service.pids).collect(), answer)
            }
        };
        let Answer::Isolated(mut isolated) = answer else {
            bail!("something else was answered: {answer:?}");
        };
        if self.pid.is_some() {
            isolated.retain(|thread| processes.contains(&thread.process));
        }
        Ok((processes, isolated))
    }
}

/// Puts threads and isolated threads together: one that has ended is in the second list alone.
fn with_isolated(threads: impl Iterator<Item = Thread>, isolated: Vec<IsolatedThread>) -> Vec<Thread> {
    let of = |thread: IsolatedThread| ((thread.process, thread.tid), thread);
    let (gone, here): (Vec<_>, Vec<_>) = isolated
        .into_iter()
        .partition(|thread| thread.state == IsolatedState::Ended);
    let mut here: HashMap<_, _> = here.into_iter().map(of).collect();
    let mut all: Vec<Thread> = threads
        .map(|mut thread| {
            thread.isolated = here.remove(&(thread.process, thread.tid));
            thread
        })
        .collect();
    all.extend(gone.into_iter().chain(here.into_values()).map(|thread| Thread {
        process: thread.process,
        tid: thread.tid,
        name: thread.name.clone(),
        state: ENDED,
        waiting: None,
        held: false,
        isolated: Some(thread),
    }));
    all
}

fn state(thread: &IsolatedThread) -> &'static str {
    match thread.state {
        IsolatedState::Held => "held",
        IsolatedState::Parked => "parked",
        IsolatedState::Ended => "ended",
    }
}

/// "held since SIGSEGV 3.0 s ago, exit in 2.0 s; holds no lock that was found; nobody is seen to wait for it".
fn sentence(thread: &IsolatedThread, now: Timestamp) -> String {
    let IsolatedThread {
        state,
        action,
        signal,
        since,
        until,
        locks,
        waiters,
        ..
    } = thread;
    let seconds = |span: jiff::SignedDuration| format!("{:.1} s", span.as_secs_f64().max(0.0));
    let ago = seconds(now.duration_since(*since));
    if *state == IsolatedState::Ended {
        return format!("ended by {action}, {signal} {ago} ago");
    }
    let mut text = match (state, until) {
        (IsolatedState::Held, Some(until)) => {
            let left = seconds(until.duration_since(now));
            let next = match action {
                Action::Hold => format!("which it takes in {left}"),
                action => format!("{action} in {left}"),
            };
            format!("held since {signal} {ago} ago, {next}")
        }
        _ => format!("asleep by {action}, {signal} {ago} ago"),
    };
    text.push_str("; ");
    match locks.as_slice() {
        [] => text.push_str("holds no lock that was found"),
        locks => text.push_str(&locks.join(", ")),
    }
    text.push_str("; ");
    match waiters.as_slice() {
        [] => text.push_str("nobody is seen to wait for it"),
        waiters => text.push_str(&waiters.join(", ")),
    }
    text
}

fn threads_of(process: Pid) -> Vec<Thread> {
    let thread = |tid: Tid| {
        let status = Status::read(tid).ok()?;
        let waiting = fs::read_to_string(format!("/proc/{process}/task/{tid}/wchan")).ok();
        Some(Thread {
            process,
            tid,
            name: status.name,
            state: status.state,
            waiting: waiting.filter(|place| !place.is_empty() && place != "0"),
            held: status.tracer != 0,
            isolated: None,
        })
    };
    let entries = fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten();
    let tids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    tids.map(Tid).filter_map(thread).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn isolated(tid: i32, state: IsolatedState) -> IsolatedThread {
        IsolatedThread::sample(Pid(1), Tid(tid), state, Action::Exit)
    }

    #[test]
    fn what_became_of_a_thread_is_said_in_a_sentence() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut thread = isolated(2, IsolatedState::Held);
        thread.until = Some(at(5));
        assert_eq!(
            sentence(&thread, at(3)),
            "held since SIGSEGV 3.0 s ago, exit in 2.0 s; holds no lock that was found; nobody is seen to wait for it"
        );
        thread.locks = vec!["it holds the mutex at 0x10".to_owned()];
        thread.waiters = vec!["'a' (3) waits for the mutex at 0x10, which it holds".to_owned()];
        thread.state = IsolatedState::Parked;
        assert_eq!(
            sentence(&thread, at(3)),
            "asleep by exit, SIGSEGV 3.0 s ago; it holds the mutex at 0x10; 'a' (3) waits for the mutex at 0x10, which it holds"
        );
        thread.state = IsolatedState::Ended;
        assert_eq!(sentence(&thread, at(4)), "ended by exit, SIGSEGV 4.0 s ago");
    }

    #[test]
    fn a_thread_that_has_ended_is_listed_too() {
        let running = |tid| Thread {
            process: Pid(1),
            tid: Tid(tid),
            name: "worker".to_owned(),
            state: 'S',
            waiting: None,
            held: true,
            isolated: None,
        };
        let isolated = vec![
            isolated(2, IsolatedState::Held),
            isolated(3, IsolatedState::Ended),
        ];
        let all = with_isolated([running(1), running(2)].into_iter(), isolated);
        let told: Vec<(i32, char, bool)> = all
            .iter()
            .map(|thread| (thread.tid.0, thread.state, thread.isolated.is_some()))
            .collect();
        assert_eq!(told, [(1, 'S', false), (2, 'S', true), (3, ENDED, true)]);
    }
}
