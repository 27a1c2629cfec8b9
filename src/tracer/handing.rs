//! Handing a copy over to the front: the capture in a sealed memory file, then the files of its modules.

use std::os::fd::OwnedFd;

use crate::capture::fault::Copied;
use crate::ipc::{FromTracer, seal_capture};
use crate::sys::deadline::Deadline;

use super::{HOLD, Tracer, TracerError};

/// Module descriptors in one message.
const DESCRIPTORS: usize = 200;

/// How many [`FromTracer::Modules`] messages a copy needs after the one that announces it.
pub(super) fn messages_after_the_first(copied: &Copied) -> usize {
    copied
        .open_files()
        .saturating_sub(DESCRIPTORS)
        .div_ceil(DESCRIPTORS)
}

impl Tracer {
    /// Sends the message about a copy, and the copy beside it. Without memory for it the message goes alone.
    pub(super) fn hand_over(
        &mut self,
        message: FromTracer,
        number: u64,
        mut copied: Copied,
    ) -> Result<(), TracerError> {
        let look = Deadline::after(HOLD);
        copied.complete();
        drop(look);
        let memory = match seal_capture(&copied.capture) {
            Ok(memory) => memory,
            Err(error) => {
                log::error!("{}: {error}", copied.capture.pid());
                return self.say(message);
            }
        };
        let whole = copied.whole.take().into_iter().flat_map(|whole| whole.files);
        let mut descriptors: Vec<OwnedFd> = [memory].into_iter().chain(whole).collect();
        let mut files = copied.into_files().map(OwnedFd::from);
        descriptors.extend(files.by_ref().take(DESCRIPTORS));
        self.say_with(message, descriptors)?;
        loop {
            let more: Vec<OwnedFd> = files.by_ref().take(DESCRIPTORS).collect();
            if more.is_empty() {
                return Ok(());
            }
            self.say_with(FromTracer::Modules { number }, more)?;
        }
    }
}
