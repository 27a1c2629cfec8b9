//! What the service manager calls a process: its unit, the unit's invocation, its control group.

use std::fs;
use std::path::{Component, Path};

use crate::config::Target;
use crate::sys::Pid;

use super::cgroups::{Cgroups, is_slice, unescaped};
use super::finder::unit_name;

/// Where systemd keeps, as links, the invocation ids of units that run (systemd.exec(5), `$INVOCATION_ID`).
const INVOCATIONS: &str = "/run/systemd/units";
/// Suffixes of units that hold processes.
const SUFFIXES: [&str; 2] = ["service", "scope"];

/// As far as it is known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// The unit.
    pub unit: Option<String>,
    /// The id of the unit's present run.
    pub invocation_id: Option<String>,
    /// The control group, from the root of the hierarchy.
    pub cgroup: Option<String>,
}

impl Identity {
    /// What is known of a process; of one that is gone, what the target says.
    pub fn of(process: Pid, target: Option<&Target>) -> Self {
        let cgroup = Cgroups::mounted().and_then(|cgroups| cgroups.of_process(process));
        let configured = match target {
            Some(Target::Unit(unit)) => Some(unit_name(unit)),
            _ => None,
        };
        let unit = cgroup.as_deref().and_then(unit_of).or(configured);
        Self {
            invocation_id: unit
                .as_deref()
                .and_then(|unit| invocation(Path::new(INVOCATIONS), unit)),
            unit,
            cgroup: cgroup.map(|path| path.to_string_lossy().into_owned()),
        }
    }
}

/// The unit that a control group belongs to: the first part of its path that is no slice, if it is named like one.
fn unit_of(cgroup: &Path) -> Option<String> {
    let mut parts = cgroup.components().filter_map(|part| match part {
        Component::Normal(name) => Some(Path::new(name)),
        _ => None,
    });
    let unit = parts.find(|part| !is_slice(part))?;
    let suffix = unit.extension()?.to_str()?;
    SUFFIXES
        .contains(&suffix)
        .then(|| unit.to_str().map(|unit| unescaped(unit).to_owned()))?
}

/// The id of a unit's present run, 32 hexadecimal digits.
fn invocation(directory: &Path, unit: &str) -> Option<String> {
    let id = fs::read_link(directory.join(format!("invocation:{unit}"))).ok()?;
    let id = id.to_str()?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_first_part_that_is_no_slice() {
        for (path, unit) in [
            ("/system.slice/api.service", Some("api.service")),
            (
                "/system.slice/system-db.slice/db@1.service/worker",
                Some("db@1.service"),
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service",
                Some("user@1000.service"),
            ),
            (
                "/user.slice/user-0.slice/session-1.scope",
                Some("session-1.scope"),
            ),
            ("/system.slice/_memory.service", Some("memory.service")),
            ("/docker/0123456789ab", None),
            ("/", None),
        ] {
            assert_eq!(unit_of(Path::new(path)).as_deref(), unit, "{path}");
        }
    }

    #[test]
    fn an_invocation_is_what_the_link_says() {
        let directory = tempfile::tempdir().unwrap();
        let link = |unit: &str, target: &str| {
            std::os::unix::fs::symlink(target, directory.path().join(format!("invocation:{unit}"))).unwrap();
        };
        link("a.service", "0123456789abcdef0123456789abcdef");
        link("b.service", "../etc/passwd");
        let of = |unit| invocation(directory.path(), unit);
        assert_eq!(
            of("a.service").as_deref(),
            Some("0123456789abcdef0123456789abcdef")
        );
        assert_eq!((of("b.service"), of("c.service")), (None, None));
    }
}
