//! What follows when the service stops too often: it is said, and the service let go of where its policy says so.

use crate::config::OnStopRate;
use crate::ipc::FromTracer;
use crate::trace::stop_rate::TooManyStops;

use super::{Tracer, TracerError};

impl Tracer {
    /// Says that the service stops too often. True: it is to be let go of for that.
    pub(super) fn is_let_go_for(&mut self, excess: TooManyStops) -> Result<bool, TracerError> {
        let TooManyStops { per_second, time } = excess;
        let limit = self.service.stop_rate;
        let what = format!(
            "{per_second} stops a second for {} s, more than stop_rate = {limit}",
            time.as_secs()
        );
        let release = self.service.on_stop_rate == OnStopRate::Release;
        self.say(if release {
            FromTracer::LettingGo(format!(
                "{what}: letting go of it, as on_stop_rate says; it runs on unsupervised"
            ))
        } else {
            FromTracer::Warning(format!(
                "{what}: signals and short-lived threads are slower under supervision; \
                 on_stop_rate = \"release\" lets go of such a service"
            ))
        })?;
        Ok(release)
    }
}
