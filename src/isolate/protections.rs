//! What the kernel enforces on a thread, and what sending it elsewhere would violate.

use std::fs;

use crate::sys::Tid;

/// Protections of one thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Protections {
    /// Returns are checked against a second stack (CET; Linux 6.6 for programs).
    pub(super) shadow_stack: bool,
    /// A seccomp filter judges its system calls.
    pub(super) seccomp_filter: bool,
    /// Signals that its process ignores, bit n - 1 for signal n.
    pub(super) ignored: u64,
}

impl Protections {
    /// Reads them from `/proc/TID/status`; what cannot be read is taken for absent. (The register set of the shadow
    /// stack would tell as well, but reading it of a thread without one made some kernels complain.)
    pub(super) fn read(tid: Tid) -> Self {
        let status = fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
        Self::parse(&status)
    }

    fn parse(status: &str) -> Self {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        Self {
            shadow_stack: field("x86_Thread_features:").is_some_and(|features| features.contains("shstk")),
            seccomp_filter: field("Seccomp:").is_some_and(|mode| mode.trim() != "0"),
            ignored: field("SigIgn:")
                .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
                .unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_found_by_name() {
        let with =
            Protections::parse("Seccomp:\t2\nx86_Thread_features:\tshstk wrss \nSigIgn:\t0000000000001010\n");
        assert!(with.shadow_stack && with.seccomp_filter);
        assert_eq!(with.ignored, 0x1010);
        let without = Protections::parse("Seccomp:\t0\nSeccomp_filters:\t0\nx86_Thread_features:\t\n");
        assert_eq!(without, Protections::default());
    }
}
