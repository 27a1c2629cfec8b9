//! `sickbay capture`: a report of a live process: what is it doing?

use std::process::ExitCode;

use anyhow::bail;

use super::exit;
use super::output::Output;
use super::socket::Socket;
use super::watch::ServiceOptions;
use crate::supervisor::control::{Answer, Request};
use crate::supervisor::{Front, console};
use crate::sys::{Pid, tasks};

/// Write a report of a running process, which goes on
///
/// All its threads are stopped for a few milliseconds and copied; no system call of theirs returns early for it. The
/// report's directory is printed on stdout. A service is captured by the daemon that supervises it, each of its
/// processes by itself.
#[derive(Debug, clap::Args)]
pub struct Capture {
    #[command(flatten)]
    pub(super) options: ServiceOptions,
    /// The process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..), required_unless_present = "service")]
    pid: Option<i32>,
    /// A service that the daemon supervises
    #[arg(conflicts_with = "pid")]
    service: Option<String>,
    #[command(flatten)]
    socket: Socket,
}

impl Capture {
    /// Captures the process and prints where the report is.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Some(pid) = self.pid else {
            return of_service(&self.socket, self.service.unwrap_or_default());
        };
        let comm = tasks::name(Pid(pid).leader()).unwrap_or_default();
        let options = self.options.front(&comm)?;
        let Some(captured) = Front::capture(options, Pid(pid))? else {
            bail!("no report of {pid} was written");
        };
        console::finish();
        Output::stdout().text(&format!("{}\n", captured.path.display()))?;
        Ok(ExitCode::from(if captured.whole {
            exit::SUCCESS
        } else {
            exit::PARTIAL
        }))
    }
}

fn of_service(socket: &Socket, service: String) -> anyhow::Result<ExitCode> {
    let Answer::Captured(paths) = socket.ask(&Request::Capture { service })? else {
        bail!("the daemon answered something else");
    };
    if paths.is_empty() {
        bail!("no report was written in time");
    }
    for path in paths {
        Output::stdout().text(&format!("{}\n", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
