//! Where reports are kept when nobody says where.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Where the machine's reports are.
pub const SYSTEM_STATE_DIR: &str = "/var/lib/sickbay";

/// The environment names no place for reports.
#[derive(Debug, PartialEq, Eq, Error)]
#[error(
    "cannot tell where reports are kept: none of STATE_DIRECTORY, XDG_STATE_HOME and HOME is set; use --state-dir"
)]
pub struct NoStateDir;

/// The state directory: the first entry of `$STATE_DIRECTORY` (systemd.exec(5)), else `/var/lib/sickbay` as root,
/// else `$XDG_STATE_HOME/sickbay`, else `~/.local/state/sickbay`.
///
/// Relative paths are ignored, as the XDG base directory specification asks: they would depend on where one stands.
pub fn default_state_dir(
    is_root: bool,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, NoStateDir> {
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if let Some(path) = variable("STATE_DIRECTORY").and_then(|list| first_entry(&list)) {
        Ok(path)
    } else if is_root {
        Ok(PathBuf::from(SYSTEM_STATE_DIR))
    } else if let Some(path) = absolute("XDG_STATE_HOME") {
        Ok(path.join("sickbay"))
    } else if let Some(path) = absolute("HOME") {
        Ok(path.join(".local/state/sickbay"))
    } else {
        Err(NoStateDir)
    }
}

/// systemd separates several state directories by colons.
fn first_entry(list: &OsStr) -> Option<PathBuf> {
    let first = list.as_bytes().split(|byte| *byte == b':').next()?;
    let path = Path::new(OsStr::from_bytes(first));
    path.is_absolute().then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(is_root: bool, variables: &[(&str, &str)]) -> Option<PathBuf> {
        let lookup = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| OsString::from(value))
        };
        default_state_dir(is_root, lookup).ok()
    }

    #[test]
    fn the_most_particular_place_wins() {
        let all = [
            ("STATE_DIRECTORY", "/s/a:/s/b"),
            ("XDG_STATE_HOME", "/x"),
            ("HOME", "/h"),
        ];
        assert_eq!(located(true, &all), Some("/s/a".into()));
        assert_eq!(located(true, &all[1..]), Some("/var/lib/sickbay".into()));
        assert_eq!(located(false, &all[1..]), Some("/x/sickbay".into()));
        assert_eq!(located(false, &all[2..]), Some("/h/.local/state/sickbay".into()));
        assert_eq!(located(false, &[]), None);
    }

    #[test]
    fn relative_and_empty_values_are_ignored() {
        let odd = [("STATE_DIRECTORY", ""), ("XDG_STATE_HOME", "x"), ("HOME", "/h")];
        assert_eq!(located(false, &odd), Some("/h/.local/state/sickbay".into()));
    }
}
