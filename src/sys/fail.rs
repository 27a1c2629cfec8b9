//! Named places where tests end a process, to prove that the other processes and the service go on.
//!
//! With the feature `fail-points`, the process that reaches the point named in `SICKBAY_FAIL` kills itself
//! with SIGKILL; `SICKBAY_FAIL_MARK` names a file that makes it happen once. Without the feature a point is
//! nothing.

/// A place with a name. See the module.
#[inline]
pub fn point(_name: &str) {
    #[cfg(feature = "fail-points")]
    enabled::reach(_name);
}

#[cfg(feature = "fail-points")]
mod enabled {
    use std::fs::OpenOptions;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    pub(super) fn reach(name: &str) {
        if std::env::var("SICKBAY_FAIL").ok().as_deref() != Some(name) {
            return;
        }
        if let Some(mark) = std::env::var_os("SICKBAY_FAIL_MARK")
            && OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(mark)
                .is_err()
        {
            return;
        }
        let _ = kill(Pid::this(), Signal::SIGKILL);
    }
}
