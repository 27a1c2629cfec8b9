//! The ends of log files, rotated ones included.
//!
//! Which files a pattern may lead to is decided in [`open`](super::open).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::report::model::LogLine;

use super::open::open_log;
use super::{MAX_BYTES, MAX_LINE, MAX_LINES, text};

/// The most files of one pattern.
const MAX_FILES: usize = 16;
/// The most rotated files that are read for one log.
const MAX_ROTATED: usize = 3;
/// The most names of a directory that are looked at for rotated files.
const MAX_NAMES: usize = 10_000;
/// What compressed files end in; they are not read.
const COMPRESSED: [&str; 5] = ["gz", "xz", "zst", "bz2", "lz4"];

/// The last lines of each file that a pattern names, the most recently written last.
pub fn tails(pattern: &str, notes: &mut Vec<String>) -> Vec<Vec<LogLine>> {
    let paths = match glob::glob(pattern) {
        Ok(paths) => paths.filter_map(Result::ok).collect::<Vec<PathBuf>>(),
        Err(error) => {
            notes.push(format!("{pattern}: {error}"));
            return Vec::new();
        }
    };
    let mut files = newest_last(paths);
    if files.is_empty() {
        notes.push(format!("{pattern}: no such file"));
    }
    // One that a pattern names and that is another's rotated file would be read twice.
    let names: Vec<PathBuf> = files.clone();
    files.retain(|file| !names.iter().any(|log| is_rotated(file, log)));
    if let Some(surplus) = files.len().checked_sub(MAX_FILES).filter(|surplus| *surplus > 0) {
        notes.push(format!("{pattern}: {surplus} older files are left out"));
        files.drain(..surplus);
    }
    files.iter().filter_map(|file| tail(file, notes)).collect()
}

/// The last lines of an open file, read through a description of its own: the writer's place in it stays.
pub fn tail_of_descriptor(file: &OwnedFd, source: &str, notes: &mut Vec<String>) -> Option<Vec<LogLine>> {
    let mut lines = Vec::new();
    let read = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .and_then(|mut file| prepend(&mut lines, &mut file, source));
    match read {
        Ok(()) => Some(lines),
        Err(error) => {
            notes.push(format!("{source}: {error}"));
            None
        }
    }
}

/// The last lines of one log: those of the file, and before them those of the files that it was before rotations.
fn tail(log: &Path, notes: &mut Vec<String>) -> Option<Vec<LogLine>> {
    let source = log.display().to_string();
    let mut lines = Vec::new();
    if let Err(note) = prepend_log(&mut lines, log, &source) {
        // Many names may lie behind one link.
        if !notes.contains(&note) {
            notes.push(note);
        }
        return None;
    }
    let mut rotated = newest_last(rotated_files(log));
    for _ in 0..MAX_ROTATED {
        let Some(older) = rotated.pop().filter(|_| lines.len() < MAX_LINES) else {
            break;
        };
        if is_compressed(&older) {
            notes.push(format!("{}: compressed, not read", older.display()));
            break;
        }
        if let Err(note) = prepend_log(&mut lines, &older, &source) {
            notes.push(note);
            break;
        }
    }
    Some(lines)
}

/// The same as [`prepend`], of a file by its name; an error is a note.
fn prepend_log(lines: &mut Vec<LogLine>, path: &Path, source: &str) -> Result<(), String> {
    let mut file = open_log(path).map_err(|refused| refused.to_string())?;
    prepend(lines, &mut file, source).map_err(|error| format!("{}: {error}", path.display()))
}

/// Puts the last lines of a file before those that are there, as far as there is room.
fn prepend(lines: &mut Vec<LogLine>, file: &mut File, source: &str) -> io::Result<()> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a file, and cannot be read again"));
    }
    let size = file.seek(SeekFrom::End(0))?;
    let room = MAX_BYTES.saturating_sub(lines.iter().map(|line| line.text.len()).sum());
    let start = size.saturating_sub(room as u64);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(room as u64).read_to_end(&mut bytes)?;
    let mut found: Vec<&[u8]> = bytes
        .strip_suffix(b"\n")
        .unwrap_or(&bytes)
        .split(|byte| *byte == b'\n')
        .collect();
    let cut = start > 0 && found.len() == 1;
    if let Some(only) = found.first_mut().filter(|_| cut) {
        // Of one line without end, the end of it.
        *only = only.split_at(only.len().saturating_sub(MAX_LINE)).1;
    } else if start > 0 || bytes.is_empty() {
        // The first is the end of a line that began before.
        found.remove(0);
    }
    let surplus = (found.len() + lines.len()).saturating_sub(MAX_LINES);
    let before = found.into_iter().skip(surplus).map(|line| LogLine {
        source: Some(source.to_owned()),
        text: text(line),
        ..LogLine::default()
    });
    lines.splice(0..0, before);
    Ok(())
}

/// Files that may be a log's former ones: `x.log.1`, `x.log-20260101`, compressed or not.
fn rotated_files(log: &Path) -> Vec<PathBuf> {
    let directory = log.parent().unwrap_or(Path::new("/"));
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .take(MAX_NAMES)
        .map(|entry| entry.path())
        .filter(|path| is_rotated(path, log))
        .collect()
}

fn is_rotated(path: &Path, log: &Path) -> bool {
    let (Some(name), Some(base)) = (path.file_name(), log.file_name()) else {
        return false;
    };
    let rest = name.as_encoded_bytes().strip_prefix(base.as_encoded_bytes());
    path.parent() == log.parent()
        && rest.is_some_and(|rest| matches!(rest, [b'.' | b'-', first, ..] if first.is_ascii_digit()))
}

fn is_compressed(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| COMPRESSED.iter().any(|known| extension == *known))
}

fn newest_last(mut files: Vec<PathBuf>) -> Vec<PathBuf> {
    files.sort_by_cached_key(|file| {
        let meta = fs::symlink_metadata(file);
        meta.and_then(|meta| meta.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    });
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Logs(tempfile::TempDir);

    impl Logs {
        fn with(files: &[(&str, &str)]) -> Self {
            let logs = Self(tempfile::tempdir().unwrap());
            for (age, (name, text)) in files.iter().enumerate() {
                let path = logs.path(name);
                fs::write(&path, text).unwrap();
                let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 - age as u64);
                File::options()
                    .append(true)
                    .open(path)
                    .unwrap()
                    .set_modified(time)
                    .unwrap();
            }
            logs
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn read(&self, pattern: &str) -> (Vec<Vec<String>>, Vec<String>) {
            let mut notes = Vec::new();
            let found = tails(self.path(pattern).to_str().unwrap(), &mut notes);
            let place = self.0.path().to_str().unwrap();
            (
                found
                    .iter()
                    .map(|lines| lines.iter().map(|line| line.text.clone()).collect())
                    .collect(),
                notes.iter().map(|note| note.replace(place, "")).collect(),
            )
        }
    }

    #[test]
    fn rotated_files_come_before_and_are_no_logs_of_their_own() {
        let logs = Logs::with(&[
            ("a.log", "5\n6\n"),
            ("a.log.1", "3\n4"),
            ("a.log-20260101", "1\n2\n"),
            ("a.log.old", "no\n"),
        ]);
        let (lines, notes) = logs.read("a.log*");
        assert_eq!(lines, [vec!["no"], vec!["1", "2", "3", "4", "5", "6"]]);
        assert_eq!(notes, [""; 0]);
    }

    #[test]
    fn what_is_not_read_is_said() {
        let logs = Logs::with(&[("a.log", "2\n"), ("a.log.1.gz", "?")]);
        assert_eq!(
            logs.read("a.log"),
            (
                vec![vec!["2".into()]],
                vec!["/a.log.1.gz: compressed, not read".into()]
            )
        );
        assert_eq!(logs.read("b.log").1, ["/b.log: no such file"]);
    }

    #[test]
    fn a_link_is_never_followed() {
        let logs = Logs::with(&[("secret", "secret\n"), ("b.log", "b\n")]);
        std::os::unix::fs::symlink(logs.path("secret"), logs.path("a.log")).unwrap();
        fs::hard_link(logs.path("secret"), logs.path("c.log")).unwrap();
        let (lines, notes) = logs.read("?.log");
        assert_eq!(lines, [["b"]]);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(
            notes.iter().any(|note| note.contains("/a.log: a symbolic link")),
            "{notes:?}"
        );
        assert!(
            notes
                .iter()
                .any(|note| note.contains("/c.log: it has another name")),
            "{notes:?}"
        );
    }

    #[test]
    fn only_the_end_of_a_large_file_is_read() {
        let text: String = (0..200_000).map(|number| format!("line {number}\n")).collect();
        let logs = Logs::with(&[
            ("a.log", &text),
            ("b.log", ""),
            ("c.log", &"x".repeat(2 * MAX_BYTES)),
        ]);
        let (lines, _) = logs.read("a.log");
        assert_eq!(lines[0].len(), MAX_LINES);
        assert_eq!(lines[0][0], format!("line {}", 200_000 - MAX_LINES));
        assert_eq!(logs.read("b.log").0, [[""; 0]]);
        let (lines, _) = logs.read("c.log");
        assert_eq!(lines, [["x".repeat(MAX_LINE)]]);
    }
}
