//! Where the configuration comes from, and what of it the daemon uses.

use std::path::{Path, PathBuf};

use crate::config::{self, Config, LoadError, Service, Unusable};
use crate::service::Finder;

/// The configuration and where it is read again from.
#[derive(Debug)]
pub struct Settings {
    file: Option<PathBuf>,
    config: Config,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There are errors in it.
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

impl Settings {
    /// Reads the machine's configuration, or that file. Warnings are logged, unknown keys among them.
    ///
    /// # Errors
    ///
    /// [`SettingsError`], with every error that is not an unknown key.
    pub fn read(file: Option<PathBuf>) -> Result<Self, SettingsError> {
        let loaded = match &file {
            Some(file) => config::load(file)?,
            None => config::load_default(Path::new("/"))?,
        };
        let (config, warnings) = loaded.accept_known()?;
        for warning in warnings {
            log::warn!("{warning}");
        }
        Ok(Self { file, config })
    }

    /// Reads it again, from where it came.
    pub(super) fn read_again(&self) -> Result<Self, SettingsError> {
        Self::read(self.file.clone())
    }

    /// The configuration itself.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The services to follow: those with a target.
    pub(super) fn services(&self) -> impl Iterator<Item = (Service, Finder)> {
        self.config.services.iter().filter_map(|service| {
            let finder = Finder::new(service.target.as_ref()?);
            let finder = finder.inspect_err(|error| log::error!("{}: {error}", service.name));
            Some((service.clone(), finder.ok()?))
        })
    }
}
