//! What `run`, `attach` and `capture` have in common: the options, and what errors mean for the exit status.

use std::path::{Path, PathBuf};

use crate::config::{self, Config, Format, Ladder, LoadError, Loaded, Service, UnknownFormat, Unusable};
use crate::daemon::SettingsError;
use crate::store::{Store, StoreError};
use crate::supervisor::control::ClientError;
use crate::supervisor::{FrontError, Options, Refusal};

use super::state_dir::StateDir;
use super::{exit, socket};

/// Options of every verb that examines a process.
#[derive(Debug, clap::Args)]
pub(super) struct ServiceOptions {
    /// Read this configuration file instead of the machine's
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) state_dir: StateDir,
    /// What to write for each report, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = format)]
    format: Option<Vec<Format>>,
    /// Name of the service, in reports and for its part of the configuration
    #[arg(long, value_name = "SERVICE")]
    name: Option<String>,
    /// Say nothing but errors
    #[arg(long)]
    quiet: bool,
}

/// Options of `run` and `attach`.
#[derive(Debug, clap::Args)]
pub(super) struct WatchOptions {
    #[command(flatten)]
    pub(super) service: ServiceOptions,
    /// What to do with a fault: deliver, isolate (which is throw,unwind,exit,park,deliver), or others in order, separated by commas:
    /// hold, rescue, skip, suppress, drain
    #[arg(long, value_name = "ACTION")]
    action: Option<Ladder>,
}

impl WatchOptions {
    /// Puts configuration and command line together; `fallback` names a service that has no other name.
    pub(super) fn front(self, fallback: &str) -> anyhow::Result<Options> {
        let mut options = self.service.front(fallback)?;
        if let Some(action) = self.action {
            options.service.on_fault = action;
            options.service.rules.clear();
        }
        Ok(options)
    }
}

impl ServiceOptions {
    /// Puts configuration and command line together; `fallback` names a service that has no other name.
    pub(super) fn front(self, fallback: &str) -> anyhow::Result<Options> {
        let config = load(self.config.as_deref())?;
        let name = self.name.unwrap_or_else(|| fallback.to_owned());
        let mut service = config
            .service(&name)
            .cloned()
            .unwrap_or_else(|| Service::for_run(&name));
        if let Some(formats) = self.format {
            service.report.formats = formats;
        }
        let state_dir = self.state_dir.state_dir.or(config.store.state_dir);
        let state_dir = StateDir { state_dir }.resolve().map_err(StoreError::from);
        Ok(Options {
            service,
            store: state_dir.and_then(|path| Store::open(&path)),
            retention: config.store.retention,
            quiet: self.quiet,
        })
    }
}

/// Reads that file or the machine's configuration, which may be unreadable for an ordinary user, who then has the
/// defaults. Warnings are logged.
pub(super) fn load(file: Option<&Path>) -> anyhow::Result<Config> {
    let loaded = match file {
        Some(file) => config::load(file)?,
        None => match config::load_default(Path::new("/")) {
            Err(error) if error.is_permission_denied() => Loaded::default(),
            loaded => loaded?,
        },
    };
    let (config, warnings) = loaded.accept()?;
    for warning in warnings {
        log::warn!("{warning}");
    }
    Ok(config)
}

/// A format by its name.
pub(super) fn format(name: &str) -> Result<Format, UnknownFormat> {
    name.trim().parse()
}

/// The exit status for an error, where it has one of its own.
pub(super) fn status_of(error: &anyhow::Error) -> Option<u8> {
    error.chain().find_map(|cause| {
        let bad_config = cause.is::<Unusable>() || cause.is::<LoadError>() || cause.is::<SettingsError>();
        let refused = cause.downcast_ref::<FrontError>();
        if let Some(error) = cause.downcast_ref::<ClientError>() {
            return Some(socket::status_of(error));
        }
        let of_store = cause.downcast_ref::<StoreError>();
        match refused {
            _ if of_store.is_some_and(StoreError::is_not_permitted) => Some(exit::NOT_PERMITTED),
            _ if bad_config => Some(exit::BAD_CONFIG),
            Some(FrontError::Refused(Refusal { permission: true, .. })) => Some(exit::NOT_PERMITTED),
            Some(FrontError::Absent(_)) => Some(exit::NOT_FOUND),
            _ => None,
        }
    })
}
