//! One structured entry in the journal for each incident.
//!
//! The entry names the process that it is about (`OBJECT_PID`) and its unit (`OBJECT_SYSTEMD_UNIT`), so that
//! `journalctl -u UNIT` shows it among the unit's own lines: journald accepts both from root alone. The text for
//! `journalctl -x` is in `packaging/sickbay.catalog`.
//!
//! A journal that is stopped takes no entries, and the call that writes one then waits. So a thread of its own writes
//! them, from a queue with a bound; what does not fit the queue is said on stderr instead.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::report::Report;
use crate::report::escape::escaped;
use crate::report::model::Kind;
use crate::supervisor::recording::Concluded;

/// What all entries about incidents have in common; the catalog knows it.
const MESSAGE_ID: &str = "3c0ca8153b204a9aae04ec6bd4148855";
/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// The most entries that wait.
const MAX_ENTRIES: usize = 256;
/// Priorities of syslog(3).
const CRITICAL: &str = "2";
const ERROR: &str = "3";
const INFORMATIONAL: &str = "6";

/// The journal, if this daemon's own lines go there.
#[derive(Debug)]
pub(super) struct Journal {
    queue: Option<SyncSender<Vec<String>>>,
}

impl Journal {
    pub(super) fn open() -> Self {
        let wanted = cfg!(feature = "systemd")
            && std::env::var_os("JOURNAL_STREAM").is_some()
            && Path::new(SOCKET).exists();
        let start = || {
            let (queue, entries) = sync_channel(MAX_ENTRIES);
            let writer = thread::Builder::new().name("journal".into());
            writer.spawn(move || write(&entries)).ok().map(|_| queue)
        };
        Self {
            queue: wanted.then(start).flatten(),
        }
    }

    /// Tells of a record; false if nobody could be told.
    pub(super) fn tell(&self, concluded: &Concluded) -> bool {
        let entry = || entry(concluded);
        self.queue
            .as_ref()
            .is_some_and(|queue| queue.try_send(entry()).is_ok())
    }
}

/// Takes entries for as long as there is a daemon.
fn write(entries: &Receiver<Vec<String>>) {
    while let Ok(entry) = entries.recv() {
        send(&entry);
    }
}

#[cfg(feature = "systemd")]
fn send(entry: &[String]) {
    let fields: Vec<&str> = entry.iter().map(String::as_str).collect();
    if let Err(error) = systemd::journal::send(&fields) {
        log::error!("the journal did not take an entry: {error}");
    }
}

#[cfg(not(feature = "systemd"))]
fn send(_: &[String]) {}

/// The fields of an entry, each `NAME=value`. A value may hold anything: its length is told, not its end.
fn entry(concluded: &Concluded) -> Vec<String> {
    let Concluded {
        line, brief, path, ..
    } = concluded;
    let Report {
        service,
        process,
        signal,
        fault,
        action,
        ..
    } = &**brief;
    let text = |text: &Option<String>| text.clone();
    let number = |number: Option<i64>| number.map(|number| number.to_string());
    let unit = text(&service.unit);
    let fields = [
        ("MESSAGE_ID", Some(MESSAGE_ID.to_owned())),
        ("MESSAGE", Some(escaped(line).to_string())),
        ("PRIORITY", Some(priority(brief).to_owned())),
        ("SYSLOG_IDENTIFIER", Some("sickbay".to_owned())),
        ("OBJECT_PID", Some(process.pid.to_string())),
        ("OBJECT_SYSTEMD_UNIT", unit.clone()),
        ("SICKBAY_UNIT", unit),
        ("SICKBAY_ID", Some(brief.id.clone())),
        ("SICKBAY_REPORT", Some(path.display().to_string())),
        ("SICKBAY_KIND", Some(kind(brief.kind).to_owned())),
        ("SICKBAY_SERVICE", text(&service.name)),
        ("SICKBAY_INVOCATION_ID", text(&service.invocation_id)),
        ("SICKBAY_PID", Some(process.pid.to_string())),
        ("SICKBAY_COMM", text(&process.comm)),
        ("SICKBAY_TID", number(fault.tid.map(|tid| i64::from(tid.0)))),
        ("SICKBAY_THREAD_NAME", text(&fault.thread_name)),
        (
            "SICKBAY_SIGNAL",
            number(signal.number.map(|number| i64::from(number.0))),
        ),
        ("SICKBAY_SIGNAL_NAME", text(&signal.name)),
        ("SICKBAY_CAUSE", text(&fault.cause)),
        ("SICKBAY_DETAIL", text(&fault.detail)),
        ("SICKBAY_ACTION", text(&action.taken)),
        ("SICKBAY_FINGERPRINT", text(&brief.fingerprint)),
        (
            "SICKBAY_OCCURRENCES",
            brief.occurrences.map(|count| count.to_string()),
        ),
    ];
    fields
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value?)))
        .collect()
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Exit => "exit",
        Kind::Capture => "capture",
        Kind::Fault | Kind::Unknown => "fault",
    }
}

fn priority(report: &Report) -> &'static str {
    match report.kind {
        Kind::Exit => ERROR,
        Kind::Capture => INFORMATIONAL,
        Kind::Fault | Kind::Unknown => CRITICAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn an_entry_names_the_object_and_forges_nothing() {
        let mut brief = sample::minimal();
        brief.fault.thread_name = Some("a\nPRIORITY=0".to_owned());
        brief.service.unit = Some("api.service".to_owned());
        let concluded = Concluded {
            line: "api: thread a\nPRIORITY=0 took SIGSEGV".to_owned(),
            brief: Box::new(brief),
            path: "/var/lib/sickbay/reports/x".into(),
            whole: true,
        };
        let entry = entry(&concluded);
        let values = |name: &str| {
            let start = format!("{name}=");
            entry
                .iter()
                .filter_map(|field| field.strip_prefix(&start))
                .collect::<Vec<_>>()
        };
        assert_eq!(values("PRIORITY"), ["2"]);
        assert_eq!(values("MESSAGE"), ["api: thread a\\nPRIORITY=0 took SIGSEGV"]);
        assert_eq!(values("SICKBAY_THREAD_NAME"), ["a\nPRIORITY=0"]);
        assert_eq!(values("OBJECT_SYSTEMD_UNIT"), ["api.service"]);
        assert!(values("SICKBAY_ADDRESS").is_empty());
    }
}
