//! Access control lists of files (acl(5)): one more user beside the owner, the group and the others.
//!
//! The kernel takes a list as the extended attribute `system.posix_acl_access`: a version, then entries of tag,
//! permissions and id, little-endian, in the order of their tags (`include/uapi/linux/posix_acl_xattr.h`).

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// The name of the attribute.
const ATTRIBUTE: &std::ffi::CStr = c"system.posix_acl_access";
/// `POSIX_ACL_XATTR_VERSION`.
const VERSION: u32 = 2;
/// Tags of entries (`include/uapi/linux/posix_acl.h`).
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// The id of an entry that is about nobody in particular.
const NO_ID: u32 = u32::MAX;

/// Reading, writing and executing, as one digit of a mode.
pub type Permissions = u16;

/// What who may do with a file; the others may do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Its owner.
    pub owner: Permissions,
    /// Its group.
    pub group: Permissions,
    /// One user more, by id.
    pub user: (u32, Permissions),
}

/// Gives a file that list in place of its mode.
///
/// # Errors
///
/// `EOPNOTSUPP` on a file system without lists, `EPERM` for who does not own the file.
pub fn set(file: impl AsFd, access: Access) -> nix::Result<()> {
    let list = encoded(access);
    let descriptor = file.as_fd().as_raw_fd();
    // SAFETY: the name ends with a zero byte and the value is as long as is said; both outlive the call.
    let outcome = unsafe {
        libc::fsetxattr(
            descriptor,
            ATTRIBUTE.as_ptr(),
            list.as_ptr().cast(),
            list.len(),
            0,
        )
    };
    Errno::result(outcome).map(drop)
}

fn encoded(access: Access) -> Vec<u8> {
    let Access { owner, group, user } = access;
    let entries = [
        (USER_OBJ, owner, NO_ID),
        (USER, user.1, user.0),
        (GROUP_OBJ, group, NO_ID),
        (MASK, group | user.1, NO_ID),
        (OTHER, 0, NO_ID),
    ];
    let mut list = VERSION.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions as Mode};
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    /// Whether that user, in no group but its own, can read a file.
    fn can_read(user: u32, file: &std::path::Path) -> bool {
        let user = user.to_string();
        let mut reading = Command::new("setpriv");
        reading
            .args(["--reuid", &user, "--regid", &user, "--clear-groups", "cat"])
            .arg(file);
        reading.output().unwrap().status.success()
    }

    #[test]
    fn one_user_more_may_read() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: root is needed to become another user");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Mode::from_mode(0o755)).unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "text").unwrap();
        fs::set_permissions(&path, Mode::from_mode(0o600)).unwrap();
        assert!(!can_read(12_345, &path));
        let access = Access {
            owner: 6,
            group: 0,
            user: (12_345, 4),
        };
        match set(fs::File::open(&path).unwrap(), access) {
            Err(Errno::EOPNOTSUPP) => return eprintln!("skipped: no access control lists here"),
            set => set.unwrap(),
        }
        assert!(can_read(12_345, &path));
        assert!(!can_read(12_346, &path));
    }
}
