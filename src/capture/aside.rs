//! Reading on another CPU while the thread that traces copies what only a stopped thread has.
//!
//! ptrace requests belong to the thread that traces; /proc belongs to nobody. What it says of threads and mappings takes
//! longer for a thousand threads than their registers and stacks together, so a second thread reads it meanwhile. It
//! lives for one reading, takes no signal, and ends with the process like every other thread.

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::sys::aside;

/// Paths and lines of /proc need little.
const STACK: usize = 128 << 10;

/// A reading under way.
pub(super) struct Aside<T> {
    read: Arc<dyn Fn() -> T + Send + Sync>,
    thread: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Aside<T> {
    /// Begins to read.
    pub(super) fn begin(read: impl Fn() -> T + Send + Sync + 'static) -> Self {
        let read: Arc<dyn Fn() -> T + Send + Sync> = Arc::new(read);
        let theirs = Arc::clone(&read);
        let thread = aside::spawn(STACK, move || theirs());
        Self {
            read,
            thread: thread.ok(),
        }
    }

    /// What was read; read now where no thread could be had, or it failed.
    pub(super) fn finish(self) -> T {
        let found = self.thread.and_then(|thread| thread.join().ok());
        found.unwrap_or_else(|| (self.read)())
    }
}

impl<T> std::fmt::Debug for Aside<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Aside").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_had_from_another_thread() {
        let ours = std::thread::current().id();
        assert_ne!(Aside::begin(|| std::thread::current().id()).finish(), ours);
    }

    #[test]
    fn a_reading_that_fails_aside_is_done_here() {
        let ours = std::thread::current().id();
        let aside = Aside::begin(move || {
            assert_eq!(std::thread::current().id(), ours, "aside");
            7
        });
        assert_eq!(aside.finish(), 7);
    }
}
