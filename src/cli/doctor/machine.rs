//! What the kernel and the file system offer.

use procfs_core::KernelVersion;

use super::facts::Facts;
use super::verdict::{Check, fail, ok, warn};

/// Descriptors that a tracer and its captures need besides one for each process and module file.
const ENOUGH_FILES: u64 = 1024;
/// What `run` and `attach` rest on: `pidfd_open(2)`.
const OLDEST_KERNEL: KernelVersion = KernelVersion {
    major: 5,
    minor: 3,
    patch: 0,
};
/// Since then waiting for one thread does not look at all the others.
const FLAT_WAIT_KERNEL: KernelVersion = KernelVersion {
    major: 5,
    minor: 13,
    patch: 0,
};
const NEED_KERNEL: &str = "use kernel 5.13 or later";

pub(super) fn kernel((release, version): &(String, Option<KernelVersion>)) -> Check {
    let name = "kernel";
    match version {
        None => warn(
            name,
            format!("kernel release '{}' is not understood", release.escape_debug()),
            NEED_KERNEL,
        ),
        Some(version) if *version < OLDEST_KERNEL => fail(
            name,
            format!("kernel {release} has no pidfd_open(2)"),
            NEED_KERNEL,
        ),
        Some(version) if *version < FLAT_WAIT_KERNEL => warn(
            name,
            format!("kernel {release} looks at every thread in each wait: slow with thousands of threads"),
            NEED_KERNEL,
        ),
        Some(_) => ok(name, format!("kernel {release} has all that is needed")),
    }
}

pub(super) fn state_dir(facts: &Facts) -> Check {
    let name = "state directory";
    let state = &facts.state_dir;
    let (path, existing) = (state.path.display(), state.existing.display());
    match &state.obstacle {
        Some(why) => fail(
            name,
            format!("no reports can be written to {path}: {existing}: {why}"),
            "use --state-dir with a directory of your own, or correct its owner and mode",
        ),
        None if state.path == state.existing => ok(name, format!("{path} is writable")),
        None => ok(name, format!("{path} does not exist yet; it can be created")),
    }
}

pub(super) fn open_files(facts: &Facts) -> Check {
    let name = "open files";
    match facts.file_limit {
        None => warn(
            name,
            "RLIMIT_NOFILE cannot be read".to_owned(),
            "see it with: prlimit --nofile",
        ),
        Some((soft, hard)) if soft < ENOUGH_FILES => {
            let fix = if hard < ENOUGH_FILES {
                "raise the hard limit: LimitNOFILE= of the unit, or /etc/security/limits.conf"
            } else {
                "ulimit -n 4096"
            };
            warn(
                name,
                format!("RLIMIT_NOFILE is {soft}: too few for services with many modules"),
                fix,
            )
        }
        Some((u64::MAX, _)) => ok(name, "RLIMIT_NOFILE is unlimited".to_owned()),
        Some((soft, _)) => ok(name, format!("RLIMIT_NOFILE is {soft}")),
    }
}

/// What becomes of the kernel's own cores. Reports do not depend on it.
pub(super) fn cores(facts: &Facts) -> Check {
    let name = "cores";
    let limit = facts.core_limit;
    let found = match facts.core_pattern.as_deref() {
        None => "kernel.core_pattern cannot be read".to_owned(),
        Some(pattern) if pattern.starts_with('|') => {
            let program = pattern
                .trim_start_matches('|')
                .split_whitespace()
                .next()
                .unwrap_or_default();
            format!("the kernel hands cores to {}", program.escape_debug())
        }
        Some(_) if limit == Some(0) => "the kernel writes no cores: RLIMIT_CORE is 0".to_owned(),
        Some("") => "the kernel writes no cores: kernel.core_pattern is empty".to_owned(),
        Some(pattern) => format!("the kernel writes cores to '{}'", pattern.escape_debug()),
    };
    ok(name, format!("{found}; reports do not depend on it"))
}

#[cfg(test)]
mod tests {
    use super::super::facts::StateDir;
    use super::super::facts::samples::{healthy, release};
    use super::super::verdict::Verdict;
    use super::*;

    #[test]
    fn kernels_are_told_apart_by_what_they_lack() {
        let verdict = |text| kernel(&release(text)).verdict;
        assert_eq!(verdict("4.19.0-26-amd64"), Verdict::Fail);
        assert_eq!(verdict("5.10.0-28-amd64"), Verdict::Warn);
        assert_eq!(verdict("5.13.0"), Verdict::Ok);
        assert_eq!(verdict("unknown"), Verdict::Warn);
    }

    #[test]
    fn a_state_directory_that_takes_no_reports_fails() {
        let state_dir = StateDir {
            path: "/var/lib/sickbay".into(),
            existing: "/var/lib".into(),
            obstacle: Some("permission denied".into()),
        };
        let check = super::state_dir(&Facts {
            state_dir,
            ..healthy()
        });
        assert_eq!(check.verdict, Verdict::Fail);
        assert!(check.found.contains("/var/lib: permission denied"), "{check}");
    }
}
