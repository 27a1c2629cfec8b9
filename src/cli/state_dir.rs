//! `--state-dir`, for every verb that touches reports.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::config;
use crate::store::{NoStateDir, SYSTEM_STATE_DIR, Store, default_state_dir};

/// Where reports are kept.
#[derive(Clone, Debug, Default, Args)]
pub struct StateDir {
    /// Where reports are kept [default: what the configuration says, else $STATE_DIRECTORY, else /var/lib/sickbay as
    /// root, else $XDG_STATE_HOME/sickbay, else ~/.local/state/sickbay]
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

    /// Where to look for reports: as [`resolve`](Self::resolve), behind what the machine's configuration says; and for a
    /// user without reports of its own, where the machine's are.
    pub(super) fn resolve_reading(self) -> Result<PathBuf, NoStateDir> {
        let state_dir = self.state_dir.or_else(|| configured(Path::new("/")));
        if let Some(state_dir) = state_dir {
            return Ok(state_dir);
        }
        let own = Self::default().resolve();
        let has_own = own.as_ref().is_ok_and(|own| has_reports(own));
        let system = Path::new(SYSTEM_STATE_DIR);
        if !has_own && has_reports(system) {
            Ok(system.to_owned())
        } else {
            own
        }
    }
}

/// `[store] state_dir`. Nobody is kept from reports by a configuration that is broken.
fn configured(root: &Path) -> Option<PathBuf> {
    match config::load_default(root) {
        Ok(loaded) => loaded.config.store.state_dir,
        Err(error) => {
            if !error.is_permission_denied() {
                log::warn!("{error}; looking for reports where they are by default");
            }
            None
        }
    }
}

fn has_reports(state_dir: &Path) -> bool {
    matches!(Store::open_existing(state_dir), Ok(Some(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_where_even_if_it_is_broken_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(configured(root.path()), None);
        std::fs::create_dir_all(root.path().join("etc/sickbay")).unwrap();
        let text = "[store]\nstate_dir = \"/srv/x\"\n[[service]]\nname = 1\n";
        std::fs::write(root.path().join("etc/sickbay/sickbay.toml"), text).unwrap();
        assert_eq!(configured(root.path()), Some("/srv/x".into()));
    }
}
