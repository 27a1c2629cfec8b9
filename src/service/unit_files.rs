//! The files that define units: which exist, and under which other names (systemd.unit(5), "Unit File Load Path").

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Where they are; the first ones count. Links among them are aliases.
const DIRECTORIES: [&str; 14] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
    "/usr/local/share/systemd/system",
];
/// The most names that are looked at for one that may have been meant.
const MAX_NAMES: usize = 10_000;
const SERVICE: &str = ".service";

/// The unit that this name is another name for.
pub(super) fn alias(unit: &str) -> Option<String> {
    alias_in(unit, &DIRECTORIES)
}

/// Whether nothing defines a service of that name. False where units of other kinds come without a file, and where there
/// is none of any kind: then we cannot see them.
pub(super) fn is_undefined(unit: &str) -> bool {
    is_undefined_in(unit, &DIRECTORIES)
}

/// The service whose name is nearly that.
pub(super) fn nearly(unit: &str) -> Option<String> {
    nearly_in(unit, &DIRECTORIES)
}

fn alias_in(unit: &str, directories: &[&str]) -> Option<String> {
    let link = directories
        .iter()
        .find_map(|directory| Path::new(directory).join(unit).read_link().ok())?;
    let name = link.file_name()?.to_str()?;
    (name != unit && name.ends_with(SERVICE)).then(|| name.to_owned())
}

fn is_undefined_in(unit: &str, directories: &[&str]) -> bool {
    // The unit of an instance `db@one.service` is `db@.service`.
    let template = unit
        .split_once('@')
        .map(|(template, _)| format!("{template}@{SERVICE}"));
    let is_in = |directory: &&str| {
        let defines = |name: &str| Path::new(directory).join(name).symlink_metadata().is_ok();
        defines(unit) || template.as_deref().is_some_and(defines)
    };
    unit.ends_with(SERVICE) && !directories.iter().any(is_in) && !names(directories).is_empty()
}

fn nearly_in(unit: &str, directories: &[&str]) -> Option<String> {
    let names = names(directories);
    crate::config::closest(unit, names.iter().map(String::as_str)).map(str::to_owned)
}

/// The services that can be started by their name.
fn names(directories: &[&str]) -> BTreeSet<String> {
    let entries = directories
        .iter()
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flatten();
    let names = entries
        .take(MAX_NAMES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter(|name| name.ends_with(SERVICE) && !name.ends_with("@.service"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn an_alias_is_a_link_to_another_unit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        symlink(
            "/lib/systemd/system/redis-server.service",
            path.join("redis.service"),
        )
        .unwrap();
        symlink("/dev/null", path.join("masked.service")).unwrap();
        let of = |unit| alias_in(unit, &["/nonexistent", path.to_str().unwrap()]);
        assert_eq!(of("redis.service").as_deref(), Some("redis-server.service"));
        assert_eq!((of("masked.service"), of("none.service")), (None, None));
    }

    #[test]
    fn a_name_that_nothing_defines_is_known_and_what_was_meant() {
        let directory = tempfile::tempdir().unwrap();
        let directories = ["/nonexistent", directory.path().to_str().unwrap()];
        let undefined = |unit| is_undefined_in(unit, &directories);
        assert!(!undefined("api.service"), "where no unit is to be seen");
        for name in ["api-server.service", "db@.service"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        symlink("/dev/null", directory.path().join("masked.service")).unwrap();
        for defined in [
            "api-server.service",
            "db@one.service",
            "masked.service",
            "session-1.scope",
        ] {
            assert!(!undefined(defined), "{defined}");
        }
        for unknown in ["api-sever.service", "dbb@one.service"] {
            assert!(undefined(unknown), "{unknown}");
        }
        let meant = |unit| nearly_in(unit, &directories);
        assert_eq!(meant("api-sever.service").as_deref(), Some("api-server.service"));
        assert_eq!(meant("something-else.service"), None);
    }
}
