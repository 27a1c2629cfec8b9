//! `--state-dir`, for every verb that touches reports.

use std::path::PathBuf;

use clap::Args;

use crate::store::{NoStateDir, default_state_dir};

/// Where reports are kept.
#[derive(Clone, Debug, Default, Args)]
pub struct StateDir {
    /// Where reports are kept [default: $STATE_DIRECTORY, else /var/lib/sickbay as root, else
    /// $XDG_STATE_HOME/sickbay, else ~/.local/state/sickbay]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

impl StateDir {
    /// The directory that was named, or else the default for this user and environment.
    pub fn resolve(self) -> Result<PathBuf, NoStateDir> {
        match self.state_dir {
            Some(path) => Ok(path),
            None => default_state_dir(nix::unistd::geteuid().is_root(), |name| std::env::var_os(name)),
        }
    }
}
