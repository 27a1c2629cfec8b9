//! Opening a log file on a path that others have a say in.
//!
//! The patterns are the administrator's, but whoever may write to a directory on the way chooses what the names in it stand
//! for. So a file is read only if it is a plain file with one name, and no symbolic link leads to it but root's own and
//! ours: else a service could have us quote files that it may not read itself. The path is walked name by name, each looked
//! up in the directory that was found before, so nothing that is exchanged meanwhile is followed either.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::Error;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::geteuid;

/// The most links of one path, as in path_resolution(7).
const MAX_LINKS: usize = 40;

/// A file that is not read. It is told by the link that was in the way, where there was one: what lies behind it is not
/// for everybody, its names included.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", .path.display())]
pub(super) struct Refused {
    path: PathBuf,
    reason: String,
}

/// Opens a plain file that has no other name.
pub(super) fn open_log(path: &Path) -> Result<File, Refused> {
    let refuse = |reason: &str| Refused {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let name = path.file_name().ok_or_else(|| refuse("not the name of a file"))?;
    let directory = enter(path.parent().unwrap_or(Path::new("/")))?;
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = openat(&directory, name, flags, Mode::empty()).map_err(|errno| match errno {
        Error::ELOOP => refuse("a symbolic link, which is not followed"),
        errno => refuse(&io::Error::from(errno).to_string()),
    })?;
    let file = File::from(file);
    let meta = file.metadata().map_err(|error| refuse(&error.to_string()))?;
    if !meta.is_file() {
        return Err(refuse("not a plain file"));
    }
    if meta.nlink() > 1 {
        return Err(refuse("it has another name, and is not read"));
    }
    Ok(file)
}

/// Enters a directory through no links but those that root made, or our own user.
fn enter(path: &Path) -> Result<OwnedFd, Refused> {
    // Where the walk is, for its errors.
    let mut place = PathBuf::from("/");
    let refuse = |place: &Path, reason: String| Refused {
        path: place.to_owned(),
        reason,
    };
    let failed = |place: &Path, errno: Error| refuse(place, io::Error::from(errno).to_string());
    if !path.is_absolute() {
        return Err(refuse(path, "not an absolute path".to_owned()));
    }
    let root = || open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
    let mut directory = root().map_err(|errno| failed(&place, errno))?;
    let mut left = names(path);
    let mut links = 0;
    while let Some(name) = left.pop() {
        place.push(&name);
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let found =
            openat(&directory, &*name, flags, Mode::empty()).map_err(|errno| failed(&place, errno))?;
        let stat = fstat(&found).map_err(|errno| failed(&place, errno))?;
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFLNK {
            // One that is no directory is found out by the next look into it.
            directory = found;
            continue;
        }
        if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
            let reason = format!("a symbolic link of user {}, which is not followed", stat.st_uid);
            return Err(refuse(&place, reason));
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(failed(&place, Error::ELOOP));
        }
        let target = target(&found).map_err(|errno| failed(&place, errno))?;
        place.pop();
        if target.is_absolute() {
            directory = root().map_err(|errno| failed(&place, errno))?;
            place = PathBuf::from("/");
        }
        left.extend(names(&target));
    }
    Ok(directory)
}

/// The names of a path, the last first.
fn names(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(name).collect()
}

/// Where an open link leads.
fn target(link: impl AsFd) -> nix::Result<PathBuf> {
    readlinkat(link, "").map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::{lchown, symlink};

    use super::*;

    /// No user of a machine that runs tests.
    const SOMEBODY: u32 = 54_321;

    fn read(path: &Path) -> Result<String, String> {
        let mut text = String::new();
        let mut file = open_log(path).map_err(|refused| refused.to_string())?;
        file.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    #[test]
    fn links_of_root_and_our_own_lead_on() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        fs::create_dir_all(place.join("releases/2")).unwrap();
        fs::write(place.join("releases/2/a.log"), "a").unwrap();
        symlink("releases/2", place.join("relative")).unwrap();
        symlink(place.join("releases/1/../2"), place.join("absolute")).unwrap();
        fs::create_dir(place.join("releases/1")).unwrap();
        symlink("around", place.join("around")).unwrap();
        for way in ["releases/2", "relative", "absolute", "relative/../2/."] {
            assert_eq!(read(&place.join(way).join("a.log")).as_deref(), Ok("a"), "{way}");
        }
        let around = read(&place.join("around/a.log")).unwrap_err();
        assert!(around.contains("symbolic link"), "{around}");
        let missing = read(&place.join("nothing/a.log")).unwrap_err();
        assert!(
            missing.ends_with("/nothing: No such file or directory (os error 2)"),
            "{missing}"
        );
        assert!(read(&place.join("releases/2/a.log/b.log")).is_err());
        assert!(read(Path::new("a.log")).is_err());
    }

    /// A service makes a link of its own on the way of a pattern, to a directory of another.
    #[test]
    fn a_link_of_somebody_else_leads_nowhere_and_names_nothing_behind_it() {
        if !geteuid().is_root() {
            eprintln!("skipped: only root can make a link of another user");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        fs::create_dir(place.join("secret")).unwrap();
        fs::write(place.join("secret/private.log"), "secret").unwrap();
        let planted = place.join("planted");
        symlink("secret", &planted).unwrap();
        assert_eq!(read(&planted.join("private.log")).as_deref(), Ok("secret"));
        lchown(&planted, Some(SOMEBODY), None).unwrap();
        let refused = read(&planted.join("private.log")).unwrap_err();
        assert_eq!(
            refused,
            format!(
                "{}: a symbolic link of user {SOMEBODY}, which is not followed",
                planted.display()
            )
        );
    }
}
