//! `sickbay settle`: an operator's decision on a thread that is held or parked, carried out by whoever supervises it.

use std::process::ExitCode;

use anyhow::bail;

use super::output::message;
use super::socket::Socket;
use crate::config::Ladder;
use crate::supervisor::control::{Answer, Request};
use crate::sys::Tid;

/// Decide about a thread that is held or parked after a fault; 'threads' shows which are
#[derive(Debug, clap::Args)]
pub struct Settle {
    /// The thread, by its id
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    tid: i32,
    /// What to do with it: deliver, throw, exit, park and so on, or several in order, separated by commas; exit or
    /// deliver if it is parked
    #[arg(long, value_name = "ACTION")]
    action: Ladder,
    #[command(flatten)]
    socket: Socket,
}

impl Settle {
    /// Returns once it is done.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let tid = Tid(self.tid);
        let request = Request::Settle {
            tid,
            actions: self.action,
        };
        match self.socket.of_thread(tid)?.ask(&request)? {
            Answer::Settled(action) => {
                message(format_args!("thread {tid} is settled by {action}"));
                Ok(ExitCode::SUCCESS)
            }
            other => bail!("something else was answered: {other:?}"),
        }
    }
}
