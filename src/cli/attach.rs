//! `sickbay attach`: supervision of what already runs, until it ends or somebody asks to let go.

use std::path::Path;
use std::process::ExitCode;

use crate::config::Target;
use crate::service::Finder;
use crate::supervisor::Front;
use crate::sys::{Pid, tasks};

use super::watch::WatchOptions;

/// Supervise running processes in the foreground; SIGINT or SIGTERM lets them go
#[derive(Debug, clap::Args)]
pub struct Attach {
    #[command(flatten)]
    pub(super) options: WatchOptions,
    #[command(flatten)]
    target: Named,
}

/// What to attach to.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Named {
    /// A process and its children, until it ends
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,
    /// A systemd unit, through its restarts
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
    /// A control group and those below it, by its path from the root of the cgroup file system
    #[arg(long, value_name = "PATH")]
    cgroup: Option<String>,
}

impl Attach {
    /// Watches until the process ends, or SIGINT or SIGTERM asks to let go.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Named { pid, unit, cgroup } = self.target;
        if let Some(pid) = pid {
            let comm = tasks::name(Pid(pid).leader()).unwrap_or_default();
            Front::attach(self.options.front(&comm)?, &[Pid(pid)])?;
            return Ok(ExitCode::SUCCESS);
        }
        let named = unit.clone().or(cgroup.clone()).unwrap_or_default();
        let target = unit.map(Target::Unit).or(cgroup.map(Target::Cgroup));
        let finder = target.as_ref().map(Finder::new).transpose()?;
        if let Some(finder) = finder {
            Front::follow(self.options.front(&service_name(&named))?, finder)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The name of a service that is called after its unit or control group.
fn service_name(named: &str) -> String {
    let last = Path::new(named).file_name().and_then(|name| name.to_str());
    let last = last.unwrap_or(named);
    last.strip_suffix(".service").unwrap_or(last).to_owned()
}
