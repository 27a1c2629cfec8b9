//! `sickbay status`: what the daemon supervises, and how that is.

use std::process::ExitCode;

use anyhow::bail;

use super::output::{Output, message};
use super::socket::Socket;
use super::table::Table;
use crate::supervisor::control::message::{ServiceStatus, State, Status as Daemon};
use crate::supervisor::control::{Answer, Request};

/// What is said where there is nothing to show.
const UNCONFIGURED: &str = "the daemon runs and no service is configured; name one in /etc/sickbay/conf.d/NAME.toml \
    ('[[service]]', 'name = \"api\"', 'unit = \"api.service\"'), then 'systemctl reload sickbay'";

/// Show what the daemon supervises
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Only this service
    service: Option<String>,
    /// Print JSON: one object for a service, else an array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

impl Status {
    /// Asks the daemon and prints its answer.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let one = self.service.is_some();
        let status = ask(&self.socket, self.service)?;
        let mut output = Output::stdout();
        match (self.json, status.services.first().filter(|_| one)) {
            (true, Some(service)) => output.json(service)?,
            (true, None) => output.json(&status.services)?,
            (false, _) if status.services.is_empty() => message(UNCONFIGURED),
            (false, _) => {
                let table = table(&status).render(output.colour());
                output.text(&table)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// How things are, of all services or of one.
pub(super) fn ask(socket: &Socket, service: Option<String>) -> anyhow::Result<Daemon> {
    match socket.ask(&Request::Status { service })? {
        Answer::Status(status) => Ok(status),
        other => bail!("the daemon answered something else: {other:?}"),
    }
}

fn table(status: &Daemon) -> Table {
    let mut table = Table::new([
        "SERVICE",
        "STATE",
        "PROCESSES",
        "THREADS",
        "STOPS/S",
        "REPORTS",
        "FOUND BY",
    ]);
    for service in &status.services {
        let ServiceStatus {
            name,
            target,
            state,
            processes,
            threads,
            stops_per_second,
            reports,
            ..
        } = service;
        table.row([
            name.clone(),
            word(*state).to_owned(),
            processes.to_string(),
            threads.to_string(),
            stops_per_second.to_string(),
            reports.to_string(),
            target.clone(),
        ]);
        if let Some(note) = &service.note {
            table.note(name, note);
        }
        if service.lost > 0 {
            table.note(name, &tainted(service.lost, *threads));
        }
    }
    table
}

/// That a service has lost threads; parked ones are still there.
fn tainted(lost: usize, threads: usize) -> String {
    let (thread, were) = if lost == 1 {
        ("thread", "was")
    } else {
        ("threads", "were")
    };
    format!("tainted: {lost} {thread} {were} taken away after a fault, beside {threads} that are held")
}

fn word(state: State) -> &'static str {
    match state {
        State::Held => "held",
        State::Absent => "absent",
        State::Released => "released",
        State::GivenUp => "given up",
    }
}
