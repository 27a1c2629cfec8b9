//! `sickbay metrics`: the daemon's numbers, for monitoring.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::output::Output;
use super::socket::Socket;
use crate::supervisor::control::{Answer, Request};

/// Print the daemon's numbers in Prometheus' text format
///
/// The control socket answers 'GET /metrics' over HTTP as well.
#[derive(Debug, clap::Args)]
pub struct Metrics {
    /// Write them to that file, at once or not at all: for the textfile collector of node_exporter
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
    #[command(flatten)]
    socket: Socket,
}

impl Metrics {
    /// Asks the daemon, and prints or writes its answer.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let text = match self.socket.ask(&Request::Metrics)? {
            Answer::Metrics(text) => text,
            other => bail!("the daemon answered something else: {other:?}"),
        };
        match self.textfile {
            Some(file) => {
                replace(&file, &text).with_context(|| format!("cannot write {}", file.display()))?
            }
            None => Output::stdout().text(&text)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Puts the text in place of the file, whole, for all to read: the collector runs as another user. It reads names that end
/// in `.prom` alone. A name of our own that was left by one that was killed, or that somebody planted, is made anew.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(format!(".{}.new", std::process::id()));
    let temporary = PathBuf::from(temporary);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_new(&temporary, text).and_then(|()| fs::rename(&temporary, file));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_new(file: &Path, text: &str) -> io::Result<()> {
    let mut new = File::options().write(true).create_new(true).open(file)?;
    new.write_all(text.as_bytes())?;
    // Whatever the umask.
    new.set_permissions(Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn a_reader_sees_all_of_it_or_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sickbay.prom");
        replace(&file, "one 1\n").unwrap();
        let before = File::open(&file).unwrap();
        replace(&file, "two 2\n").unwrap();
        assert_eq!(io::read_to_string(before).unwrap(), "one 1\n");
        assert_eq!(fs::read_to_string(&file).unwrap(), "two 2\n");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);

        let taken = directory.path().join("directory.prom");
        fs::create_dir_all(taken.join("full")).unwrap();
        assert!(replace(&taken, "three 3\n").is_err());
        assert_eq!(
            fs::read_dir(&directory).unwrap().count(),
            2,
            "nothing is left behind"
        );
    }

    #[test]
    fn what_somebody_planted_is_not_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sickbay.prom");
        let foreign = directory.path().join("foreign");
        fs::write(&foreign, "untouched").unwrap();
        for name in [
            "sickbay.prom.new".to_owned(),
            format!("sickbay.prom.{}.new", std::process::id()),
        ] {
            symlink(&foreign, directory.path().join(name)).unwrap();
        }
        symlink(&foreign, &file).unwrap();
        replace(&file, "one 1\n").unwrap();
        assert_eq!(fs::read_to_string(&foreign).unwrap(), "untouched");
        assert!(!fs::symlink_metadata(&file).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "one 1\n");
    }
}
