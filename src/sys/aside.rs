//! Threads beside the one that traces, which only read.

use std::io;
use std::thread::{Builder, JoinHandle};

use nix::sys::signal::SigSet;

/// Has a thread do something that needs little of a stack. It takes no signal: what comes for this process is for the thread
/// that traces.
pub fn spawn<T: Send + 'static>(
    stack: usize,
    read: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().stack_size(stack).spawn(move || {
        let _ = SigSet::all().thread_block();
        read()
    })
}
