//! Named places where tests end or hold a process, to prove that the other processes and the service go on.
//!
//! With the feature `fail-points`, the process that reaches the point named in `SICKBAY_FAIL` sends itself the signal
//! that `SICKBAY_FAIL_SIGNAL` names, SIGKILL where it names none; `SICKBAY_FAIL_MARK` names a file that makes it happen
//! once, and in which the process leaves its id. `SICKBAY_FAIL_PATIENCE`, in milliseconds, shortens what waits for a
//! process that is silent. Without the feature a point is nothing, and patience is what it is.

use std::time::Duration;

/// How long to wait for another process that does not answer.
#[inline]
pub fn patience(usual: Duration) -> Duration {
    #[cfg(feature = "fail-points")]
    return enabled::patience().map_or(usual, |shorter| shorter.min(usual));
    #[cfg(not(feature = "fail-points"))]
    usual
}

/// A place with a name. See the module.
#[inline]
pub fn point(_name: &str) {
    #[cfg(feature = "fail-points")]
    enabled::reach(_name);
}

#[cfg(feature = "fail-points")]
mod enabled {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::time::Duration;

    use nix::sys::signal::{Signal, raise};

    pub(super) fn patience() -> Option<Duration> {
        let milliseconds = std::env::var("SICKBAY_FAIL_PATIENCE").ok()?;
        milliseconds.parse().ok().map(Duration::from_millis)
    }

    pub(super) fn reach(name: &str) {
        if std::env::var("SICKBAY_FAIL").ok().as_deref() != Some(name) {
            return;
        }
        if let Some(mark) = std::env::var_os("SICKBAY_FAIL_MARK") {
            let Ok(mut mark) = OpenOptions::new().write(true).create_new(true).open(mark) else {
                return;
            };
            let _ = write!(mark, "{}", std::process::id());
        }
        let signal = std::env::var("SICKBAY_FAIL_SIGNAL").ok();
        let _ = raise(
            signal
                .and_then(|name| name.parse().ok())
                .unwrap_or(Signal::SIGKILL),
        );
    }
}
