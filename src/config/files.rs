//! Which files make up the configuration.
//!
//! `/etc/sickbay/sickbay.toml` comes first, then the drop-ins of `conf.d` under /usr/lib, /run and /etc, all of
//! them sorted by name; of two with the same name only the one higher up counts (/etc over /run over /usr/lib), so
//! that an administrator masks a packaged drop-in by an empty file or a link to /dev/null.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::makedev;

use super::{Loaded, Problem, Severity};
use crate::config::problem::Lines;

/// The main file, under the root of the file system.
pub const MAIN_FILE: &str = "etc/sickbay/sickbay.toml";
/// Where drop-ins are, under the root of the file system; later ones mask earlier ones.
pub const DROP_IN_DIRS: [&str; 3] = [
    "usr/lib/sickbay/conf.d",
    "run/sickbay/conf.d",
    "etc/sickbay/conf.d",
];

/// No configuration is larger; what is, was named by mistake.
const MAX_BYTES: u64 = 1 << 20;

/// A configuration file that cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file that was asked for by name does not exist.
    #[error("no configuration file {}; check the name or leave the option out", .0.display())]
    Missing(PathBuf),
    /// A file or a directory of drop-ins cannot be read.
    #[error("cannot read configuration {}: {source}; check its owner and mode", .file.display())]
    Unreadable {
        /// The file or directory.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What would have to be waited for, or has no content.
    #[error("cannot read configuration {}: it is no regular file; write the configuration to one", .0.display())]
    NotRegular(PathBuf),
    /// The file is no configuration.
    #[error("cannot read configuration {}: it is larger than {MAX_BYTES} bytes; check the name", .0.display())]
    TooLarge(PathBuf),
}

impl LoadError {
    /// Whether the caller may not read the file, as an ordinary user may not read the machine's.
    pub fn is_permission_denied(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// Reads one file, which must exist.
///
/// # Errors
///
/// [`LoadError`] if it cannot be read; what is wrong *in* it is in [`Loaded::problems`].
pub fn load(file: &Path) -> Result<Loaded, LoadError> {
    let mut loaded = Loaded::default();
    add_file(&mut loaded, file)?;
    Ok(loaded)
}

/// Reads the machine's configuration. `root` stands for the root of the file system. Without any file, every
/// default holds and nothing is configured.
///
/// # Errors
///
/// [`LoadError`] if a file exists and cannot be read.
pub fn load_default(root: &Path) -> Result<Loaded, LoadError> {
    let mut loaded = Loaded::default();
    for file in default_files(root)? {
        add_file(&mut loaded, &file)?;
    }
    Ok(loaded)
}

/// The files of the machine's configuration that exist, in the order in which they are read.
///
/// # Errors
///
/// [`LoadError::Unreadable`] if a directory of drop-ins exists and cannot be listed.
pub fn default_files(root: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let main = root.join(MAIN_FILE);
    let mut drop_ins: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for directory in DROP_IN_DIRS {
        let directory = root.join(directory);
        let unreadable = |source| LoadError::Unreadable {
            file: directory.clone(),
            source,
        };
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(unreadable)?,
        };
        for entry in entries {
            let name = entry.map_err(unreadable)?.file_name();
            let hidden = name.as_encoded_bytes().starts_with(b".");
            if !hidden
                && Path::new(&name)
                    .extension()
                    .is_some_and(|extension| extension == "toml")
            {
                drop_ins.insert(name.clone(), directory.join(name));
            }
        }
    }
    let exists = main.try_exists().map_err(|source| LoadError::Unreadable {
        file: main.clone(),
        source,
    })?;
    Ok(exists
        .then_some(main)
        .into_iter()
        .chain(drop_ins.into_values())
        .collect())
}

/// The bytes of one configuration file.
///
/// # Errors
///
/// [`LoadError`] if it is missing, unreadable or too large.
pub fn read(file: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => LoadError::Missing(file.to_owned()),
        _ => LoadError::Unreadable {
            file: file.to_owned(),
            source,
        },
    };
    let mut bytes = Vec::new();
    // A pipe is not waited for.
    let opened = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(file)
        .map_err(unreadable)?;
    let metadata = opened.metadata().map_err(unreadable)?;
    if !metadata.is_file() && !is_null(&metadata) {
        return Err(LoadError::NotRegular(file.to_owned()));
    }
    opened
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(LoadError::TooLarge(file.to_owned()));
    }
    Ok(bytes)
}

/// Whether it is `/dev/null`, by which a drop-in is masked (null(4): device 1, 3).
fn is_null(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == makedev(1, 3)
}

fn add_file(loaded: &mut Loaded, file: &Path) -> Result<(), LoadError> {
    let bytes = read(file)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => loaded.add(file, text),
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let (line, column) = Lines::new(&String::from_utf8_lossy(valid)).position(valid.len());
            loaded.files.push(file.to_owned());
            loaded.problems.push(Problem {
                file: file.to_owned(),
                line,
                column,
                severity: Severity::Error,
                message: "the file is not UTF-8 text".to_owned(),
                hint: None,
                unknown_key: false,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &[u8]) {
        let file = root.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn names(loaded: &Loaded) -> Vec<&str> {
        loaded
            .config
            .services
            .iter()
            .map(|service| service.name.as_str())
            .collect()
    }

    fn service(name: &str) -> String {
        format!("[[service]]\nname = \"{name}\"\n")
    }

    #[test]
    fn without_files_every_default_holds() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(load_default(root.path()).unwrap(), Loaded::default());
    }

    #[test]
    fn a_file_asked_for_by_name_must_exist() {
        let error = load(Path::new("/nonexistent/x.toml")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/x.toml"), "{error}");
    }

    #[test]
    fn drop_ins_follow_by_name_and_mask_those_below() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(
            root,
            "usr/lib/sickbay/conf.d/10-a.toml",
            service("packaged-a").as_bytes(),
        );
        write(
            root,
            "usr/lib/sickbay/conf.d/20-b.toml",
            service("packaged-b").as_bytes(),
        );
        write(
            root,
            "usr/lib/sickbay/conf.d/40-d.toml",
            service("packaged-d").as_bytes(),
        );
        write(
            root,
            "run/sickbay/conf.d/10-a.toml",
            service("runtime-a").as_bytes(),
        );
        write(
            root,
            "run/sickbay/conf.d/30-c.toml",
            service("runtime-c").as_bytes(),
        );
        write(
            root,
            "etc/sickbay/conf.d/05-z.toml",
            service("admin-z").as_bytes(),
        );
        write(root, "etc/sickbay/conf.d/20-b.toml", b"");
        write(root, "etc/sickbay/conf.d/.hidden.toml", b"= broken");
        write(root, "etc/sickbay/conf.d/README", b"= broken");
        write(root, "etc/sickbay/sickbay.toml", service("main").as_bytes());
        let loaded = load_default(root).unwrap();
        assert_eq!(loaded.problems, []);
        assert_eq!(
            names(&loaded),
            ["main", "admin-z", "runtime-a", "runtime-c", "packaged-d"]
        );
        assert_eq!(loaded.files.len(), 6);
    }

    #[test]
    fn later_files_replace_keys_and_may_not_repeat_services() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let main = format!("[store]\nstate_dir = \"/a\"\n{}", service("api"));
        write(root, "etc/sickbay/sickbay.toml", main.as_bytes());
        write(
            root,
            "etc/sickbay/conf.d/1.toml",
            b"[store]\nstate_dir = \"/b\"\n",
        );
        write(root, "etc/sickbay/conf.d/2.toml", service("api").as_bytes());
        let loaded = load_default(root).unwrap();
        assert_eq!(loaded.config.store.state_dir.as_deref(), Some(Path::new("/b")));
        let problem = loaded.problems.first().unwrap().to_string();
        assert!(
            problem.contains("conf.d/2.toml:2:8: error: a service named 'api' exists already, at "),
            "{problem}"
        );
        assert!(problem.contains("sickbay.toml:4"), "{problem}");
    }

    #[test]
    fn bytes_that_are_no_text_have_a_place_too() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("x.toml");
        fs::write(&file, b"# \xc3\xa4\na = \"\xff\"\n").unwrap();
        let loaded = load(&file).unwrap();
        assert_eq!((loaded.problems[0].line, loaded.problems[0].column), (2, 6));
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(MAX_BYTES + 1).unwrap();
        assert!(matches!(load(file.path()), Err(LoadError::TooLarge(_))));
    }

    #[test]
    fn only_regular_files_are_read_and_the_empty_device() {
        let root = tempfile::tempdir().unwrap();
        for path in [root.path(), Path::new("/dev/zero")] {
            assert!(matches!(load(path), Err(LoadError::NotRegular(_))), "{path:?}");
        }
        assert!(load(Path::new("/dev/null")).is_ok());
    }
}
