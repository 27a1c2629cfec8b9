//! Who may read reports beside their owner.
//!
//! | who | may | where |
//! |---|---|---|
//! | the group [`GROUP`] | list and read all | below a state directory that belongs to it and that it may read |
//! | the user whose process it was | read that report | there, too, if the recorder has proof (`Outcome::readable_by`) |
//! | others | see the names of reports | where the state directory lets them in |
//!
//! Everywhere else reports are their owner's alone. A user gets in by an access control list, and may enter the
//! report's directory but not open it: who can open a directory can lock it, and what is locked counts as being written
//! and is never deleted to make room.

use nix::sys::stat::{FileStat, Mode};
use nix::unistd::{Gid, Group};

use super::dir::Dir;
use crate::sys::acl::Access;

/// The group of those who operate the machine's Sickbay.
const GROUP: &str = "sickbay";
/// What a group needs to be let into a directory.
const ENTER: u32 = 0o050;
/// Users of services that come and go, whose ids are used again (systemd.exec(5), `DynamicUser=`).
const DYNAMIC: std::ops::RangeInclusive<u32> = 61_184..=65_519;
/// Who stands for a user that has no id here (user_namespaces(7)), and the invalid 16-bit id.
const NOBODY: std::ops::RangeInclusive<u32> = 65_534..=65_535;

/// Those who may read what a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Readers {
    /// The group of the state directory, where it may read.
    group: Option<Gid>,
    /// One user, of one report.
    user: Option<u32>,
}

impl Readers {
    /// Who may read below a state directory.
    pub(super) fn of(state: &Dir) -> Self {
        let group = Group::from_name(GROUP).ok().flatten().map(|group| group.gid);
        let group = state.own_stat().ok().and_then(|stat| shared(&stat, group?));
        Self { group, user: None }
    }

    /// The same and that user, where anybody but the owner may read at all, and the id is somebody's for good.
    pub(super) fn and(self, user: u32) -> Self {
        let lasting = user != 0 && !DYNAMIC.contains(&user) && !NOBODY.contains(&user);
        Self {
            user: (lasting && self.group.is_some()).then_some(user),
            ..self
        }
    }

    /// Lets others into the directory of reports as far as they may enter the state directory.
    pub(super) fn admit_to_reports(self, state: &Dir, reports: &Dir) {
        let Some(group) = self.group else { return };
        let others = state.own_stat().map_or(0, |stat| stat.st_mode & 0o005);
        said(reports.share(group, Mode::from_bits_truncate(0o750 | others)));
    }

    /// Lets them into the directory of one report.
    pub(super) fn admit_to_report(self, report: &Dir) {
        let Some(group) = self.group else { return };
        said(report.share(group, Mode::from_bits_truncate(0o750)));
        if let Some(user) = self.user {
            let access = Access {
                owner: 7,
                group: 5,
                user: (user, 1),
            };
            said(report.list(access));
        }
    }

    /// Lets them read a file of it.
    pub(super) fn admit_to_file(self, file: &std::fs::File) {
        let Some(group) = self.group else { return };
        let shared = nix::unistd::fchown(file, None, Some(group))
            .and_then(|()| nix::sys::stat::fchmod(file, Mode::from_bits_truncate(0o640)));
        said(shared);
        if let Some(user) = self.user {
            let access = Access {
                owner: 6,
                group: 4,
                user: (user, 4),
            };
            said(crate::sys::acl::set(file, access));
        }
    }
}

/// The group of a state directory if it is that one and may read; a directory that others may change is nobody's word.
fn shared(state: &FileStat, group: Gid) -> Option<Gid> {
    let enters = state.st_mode & ENTER == ENTER && state.st_mode & 0o022 == 0;
    (state.st_gid == group.as_raw() && enters).then_some(group)
}

/// A report that fewer may read is still a report.
fn said(admitted: nix::Result<()>) {
    if let Err(errno) = admitted {
        log::warn!(
            "cannot let others read a report: {}; its owner can",
            errno.desc().to_ascii_lowercase()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_admitted_by_the_state_directory_alone() {
        let directory = tempfile::tempdir().unwrap();
        let dir = Dir::open_path(directory.path()).unwrap();
        let own = Gid::from_raw(dir.own_stat().unwrap().st_gid);
        let admitted = |mode: u32, group| {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(directory.path(), permissions).unwrap();
            shared(&dir.own_stat().unwrap(), group).is_some()
        };
        assert!(admitted(0o750, own));
        assert!(admitted(0o755, own));
        for mode in [0o700, 0o710, 0o740, 0o770, 0o757] {
            assert!(!admitted(mode, own), "{mode:o}");
        }
        assert!(!admitted(0o750, Gid::from_raw(own.as_raw() + 1)));
    }

    #[test]
    fn a_user_is_admitted_whose_id_is_not_used_again() {
        let readers = Readers {
            group: Some(Gid::from_raw(1)),
            user: None,
        };
        assert_eq!(readers.and(1000).user, Some(1000));
        for user in [0, 61_184, 65_519, 65_534] {
            assert_eq!(readers.and(user).user, None, "{user}");
        }
        let nobody = Readers {
            group: None,
            user: None,
        };
        assert_eq!(
            nobody.and(1000).user,
            None,
            "where the store is its owner's alone"
        );
    }
}
