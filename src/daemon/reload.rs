//! Another configuration, without letting go of what stays configured.
//!
//! All of it is read and checked before anything changes. A service that keeps its name and its target keeps its
//! tracer, which goes by the new rules from then on. One with another target is another service under the same name.

use crate::report::words::count;
use crate::supervisor::follow::Followed;

use super::settings::{Settings, SettingsError};
use super::{Daemon, followed};

impl Daemon {
    /// Reads the configuration again and goes by it; one that cannot be used changes nothing.
    pub(super) fn reload(&mut self) -> Result<(), SettingsError> {
        self.notifier.reloading();
        let read = self.settings.read_again().map(|settings| self.adopt(settings));
        if let Err(error) = &read {
            for line in error.to_string().lines() {
                log::error!("{line}");
            }
            log::error!("the configuration stays as it was");
        }
        self.notifier.ready();
        read
    }

    fn adopt(&mut self, settings: Settings) {
        let (store, before) = (&settings.config().store, &self.settings.config().store);
        if store.state_dir != before.state_dir {
            log::warn!("[store] state_dir changes with the next start");
        }
        if store.retention != before.retention {
            self.recording.retain(store.retention);
        }
        let mut before: Vec<Followed> = self.services.drain(..).collect();
        for (service, finder) in settings.services() {
            let same = |known: &Followed| {
                let known = known.watch.service();
                known.name == service.name && known.target == service.target
            };
            match before.iter().position(same) {
                Some(place) => {
                    let mut kept = before.swap_remove(place);
                    if *kept.watch.service() != service {
                        kept.watch.configure(service);
                    }
                    self.services.push(kept);
                }
                None => self.services.push(followed((service, finder))),
            }
        }
        for gone in before {
            log::info!("{}: not configured any longer; let go", gone.name());
            for (client, answer) in self.orders.abandon(gone.name()) {
                self.reply(client, &answer);
            }
            let mut watch = gone.watch;
            watch.let_go();
            self.leaving.push(watch);
        }
        log::info!("configuration read: {}", count(self.services.len(), "service"));
        self.settings = settings;
    }
}
