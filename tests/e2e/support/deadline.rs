//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// How long an event may take that takes milliseconds on an idle machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The pause between two looks at a condition nothing can be waited for with, such as a file under `/proc`.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// Returns what `condition` yields once it yields something; fails after [`DEADLINE`], naming `what`.
#[track_caller]
pub(crate) fn await_that<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    await_within(DEADLINE, what, condition)
}

/// [`await_that`] with a deadline of its own.
#[track_caller]
pub(crate) fn await_within<T>(deadline: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < deadline, "waited {deadline:?} for: {what}");
        std::thread::sleep(BETWEEN_LOOKS);
    }
}
