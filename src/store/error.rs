//! What can go wrong with a store, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use thiserror::Error;

use super::NoStateDir;

/// An operation on the store failed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The kernel refused.
    #[error("cannot {operation} {}: {}", .path.display(), Reason(*.errno))]
    Refused {
        /// What was attempted, for example `write report to`.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        errno: Errno,
    },
    /// Nobody says where reports go.
    #[error(transparent)]
    Nowhere(#[from] NoStateDir),
    /// Anybody could exchange the reports under our hands.
    #[error("cannot use {}: others may write to it; remove that permission or use --state-dir", .path.display())]
    Insecure {
        /// The directory of reports.
        path: PathBuf,
    },
    /// A name that no file of a report can have.
    #[error("cannot create {name:?} in a report: not a plain file name")]
    Name {
        /// The name.
        name: String,
    },
    /// Not what incidents are counted by.
    #[error("cannot count by {0:?}: no fingerprint")]
    Fingerprint(String),
    /// A report is not what it should be.
    #[error("cannot read {}: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A report cannot be written as JSON.
    #[error("cannot write report as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl StoreError {
    pub(super) fn new(operation: &'static str, path: &Path, error: impl Into<Failure>) -> Self {
        let Failure(errno) = error.into();
        Self::Refused {
            operation,
            path: path.to_owned(),
            errno,
        }
    }

    /// Whether the report, or a file of it, does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                errno: Errno::ENOENT,
                ..
            }
        )
    }

    /// Whether it is another's, and not for who asks.
    pub fn is_not_permitted(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                errno: Errno::EACCES | Errno::EPERM,
                ..
            }
        )
    }

    /// Whether the disk, or what we may use of it, is full.
    pub fn is_full(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                errno: Errno::ENOSPC | Errno::EDQUOT,
                ..
            }
        )
    }
}

/// An error number, from nix or from the standard library.
pub(super) struct Failure(Errno);

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self(errno)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }
}

/// Says what was attempted, and on what.
pub(super) trait Context<T> {
    fn context(self, operation: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T, E: Into<Failure>> Context<T> for Result<T, E> {
    fn context(self, operation: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::new(operation, path, error))
    }
}

/// The reason in words, with the next step where we know one.
struct Reason(Errno);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Errno::ENOSPC => "no space left on device; free space or use --state-dir",
            Errno::EDQUOT => "disk quota exceeded; free space or use --state-dir",
            Errno::EACCES | Errno::EPERM => {
                "permission denied; run as its owner, as a member of its group, or use --state-dir"
            }
            Errno::EMFILE => "too many open files; raise their limit (ulimit -n)",
            Errno::EFBIG => "file too large; raise the limit of file sizes (ulimit -f) or use --state-dir",
            Errno::EROFS => "read-only file system; use --state-dir",
            Errno::ENOTDIR => "not a directory; remove what is in its place or use --state-dir",
            Errno::ELOOP => "a symbolic link, which is not followed; remove it or use --state-dir",
            Errno::ENOENT => "no such file or directory",
            other => return write!(f, "{}", other.desc().to_ascii_lowercase()),
        })
    }
}
