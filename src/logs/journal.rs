//! Lines of a unit's present run, and of one process, in the journal.
//!
//! The two are asked for together, by the fields that journald itself sets: of a process that ended before journald
//! looked it up, only the id is known to it. Before they are read, journald is asked to take what has been sent to it
//! (`io.systemd.Journal.Synchronize`), since the last line before a fault is the one that matters.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::report::model::LogLine;

use super::OfProcess;

/// How long journald may take to write what it has been sent.
const PATIENCE: Duration = Duration::from_secs(1);
/// Where journald takes requests (varlink.org).
const REQUESTS: &str = "/run/systemd/journal/io.systemd.journal";
/// Where journals are, each machine's in a directory called as the machine, and what the system's is called.
const DIRECTORIES: [&str; 2] = ["/var/log/journal", "/run/log/journal"];
const MACHINE_ID: &str = "/etc/machine-id";
const SYSTEM: &str = "system.journal";
/// A request ends with a zero byte, and so does its answer.
const SYNCHRONIZE: &[u8] = b"{\"method\":\"io.systemd.Journal.Synchronize\",\"parameters\":{}}\0";

/// The last lines, oldest first.
#[derive(Debug, Default)]
pub struct Tail {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// What is to be known about them.
    pub note: Option<String>,
}

/// The last lines of a process and its unit.
///
/// # Errors
///
/// Why the journal cannot be read, in words.
pub fn tail(wanted: &OfProcess) -> Result<Tail, String> {
    let behind = synchronize().err();
    let lines = library::lines(wanted)?;
    let note = match behind {
        _ if lines.is_empty() && is_closed() => {
            Some("this user may not read it; members of the group systemd-journal may".to_owned())
        }
        Some(error) => Some(format!("the last lines may be missing ({error})")),
        None if lines.is_empty() => Some("no lines of this service".to_owned()),
        None => None,
    };
    Ok(Tail {
        lines,
        note: note.map(|note| format!("the journal: {note}")),
    })
}

/// Whether there is a journal of the system that we may not read: the library takes it for an empty one.
fn is_closed() -> bool {
    let machine = fs::read_to_string(MACHINE_ID).unwrap_or_default();
    let mut journals = DIRECTORIES
        .iter()
        .map(|directory| Path::new(directory).join(machine.trim()).join(SYSTEM));
    journals.any(|journal| {
        File::open(journal).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    })
}

/// Waits until journald has written what was sent to it, for a while.
fn synchronize() -> io::Result<()> {
    let mut socket = UnixStream::connect(REQUESTS).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            io::Error::new(error.kind(), "no journald answers here")
        }
        _ => error,
    })?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(SYNCHRONIZE)?;
    let mut answer = [0; 1024];
    let length = match socket.read(&mut answer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "journald does not answer",
            ));
        }
        length => length?,
    };
    let answer = String::from_utf8_lossy(answer.get(..length).unwrap_or_default());
    if answer.contains("\"error\"") {
        return Err(io::Error::other("journald refused to write them"));
    }
    Ok(())
}

#[cfg(feature = "systemd")]
mod library {
    use std::fs;

    use jiff::Timestamp;
    use systemd::journal::{Journal, OpenOptions};

    use crate::logs::{MAX_BYTES, MAX_LINE, MAX_LINES, OfProcess, text};
    use crate::report::model::LogLine;

    /// The most entries that are looked at: some belong to an earlier process of the same id.
    const MAX_ENTRIES: usize = 10 * MAX_LINES;

    pub(super) fn lines(wanted: &OfProcess) -> Result<Vec<LogLine>, String> {
        let mut lines = read(wanted).map_err(|error| error.to_string())?;
        lines.reverse();
        Ok(lines)
    }

    /// Newest first.
    fn read(wanted: &OfProcess) -> systemd::Result<Vec<LogLine>> {
        let mut journal = OpenOptions::default().system(true).local_only(true).open()?;
        journal.set_data_threshold(MAX_LINE + 1)?;
        narrow(&mut journal, wanted)?;
        journal.seek_tail()?;
        let (mut lines, mut bytes) = (Vec::new(), 0);
        for _ in 0..MAX_ENTRIES {
            if lines.len() >= MAX_LINES || bytes >= MAX_BYTES || journal.previous()? == 0 {
                break;
            }
            let time = journal.timestamp_usec()?;
            if wanted.since_us.is_some_and(|since| time < since) && !is_of_unit(&mut journal, wanted)? {
                continue;
            }
            let line = LogLine {
                time: i64::try_from(time)
                    .ok()
                    .and_then(|us| Timestamp::from_microsecond(us).ok()),
                source: Some("journal".to_owned()),
                priority: field(&mut journal, "PRIORITY")?.and_then(|priority| priority.parse().ok()),
                text: field(&mut journal, "MESSAGE")?.unwrap_or_default(),
            };
            bytes += line.text.len();
            lines.push(line);
        }
        Ok(lines)
    }

    /// The entries of the unit's run, or of the process in this boot. A run's id is the run's alone; where only the unit
    /// is known, it is this boot's as well.
    fn narrow(journal: &mut Journal, wanted: &OfProcess) -> systemd::Result<()> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = boot.trim().replace('-', "");
        match (&wanted.invocation_id, &wanted.unit) {
            (Some(invocation), _) => {
                journal.match_add("_SYSTEMD_INVOCATION_ID", invocation.as_str())?;
                journal.match_or()?;
            }
            (None, Some(unit)) => {
                journal.match_add("_SYSTEMD_UNIT", unit.as_str())?;
                journal.match_add("_BOOT_ID", boot.as_str())?;
                journal.match_or()?;
            }
            (None, None) => {}
        }
        journal.match_add("_PID", wanted.pid.to_string())?;
        journal.match_add("_BOOT_ID", boot)?;
        Ok(())
    }

    fn is_of_unit(journal: &mut Journal, wanted: &OfProcess) -> systemd::Result<bool> {
        let (name, value) = match (&wanted.invocation_id, &wanted.unit) {
            (Some(invocation), _) => ("_SYSTEMD_INVOCATION_ID", invocation),
            (None, Some(unit)) => ("_SYSTEMD_UNIT", unit),
            (None, None) => return Ok(false),
        };
        Ok(field(journal, name)?.is_some_and(|found| found == *value))
    }

    fn field(journal: &mut Journal, name: &str) -> systemd::Result<Option<String>> {
        let data = journal.get_data(name)?;
        Ok(data.and_then(|data| data.value().map(text)))
    }
}

#[cfg(not(feature = "systemd"))]
mod library {
    use crate::logs::OfProcess;
    use crate::report::model::LogLine;

    pub(super) fn lines(_: &OfProcess) -> Result<Vec<LogLine>, String> {
        Err("this program was built without it".to_owned())
    }
}
