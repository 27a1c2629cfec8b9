//! `sickbay threads`: the threads of a service, as the kernel shows them.
//!
//! The daemon says which processes there are; the rest is read here, so that a long list costs the daemon nothing.

use std::fs;
use std::process::ExitCode;

use serde::Serialize;

use super::output::Output;
use super::socket::Socket;
use super::status;
use super::table::Table;
use crate::sys::{Pid, Tid};
use crate::trace::status::Status;

/// Show the threads of a supervised service
#[derive(Debug, clap::Args)]
pub struct Threads {
    /// The service, as it is configured
    service: String,
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
}

impl Threads {
    /// Prints every thread of the processes that were found.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let daemon = status::ask(&self.socket, Some(self.service))?;
        let processes = daemon.services.iter().flat_map(|service| &service.pids);
        let threads: Vec<Thread> = processes.flat_map(|pid| threads_of(*pid)).collect();
        let mut output = Output::stdout();
        if self.json {
            output.json(&threads)?;
        } else {
            let mut table = Table::new(["PROCESS", "THREAD", "NAME", "STATE", "WAITS IN"]);
            for thread in threads {
                table.row([
                    thread.process.to_string(),
                    thread.tid.to_string(),
                    thread.name,
                    thread.state.to_string(),
                    thread.waiting.unwrap_or_default(),
                ]);
            }
            output.text(&table.render(output.colour()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
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
        })
    };
    let entries = fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten();
    let tids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    tids.map(Tid).filter_map(thread).collect()
}
