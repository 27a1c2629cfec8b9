//! The few fields of a report that a list shows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::model::{Action, Exit, Fault, Kind, Process, Report, Service, Signal};

/// A report without what makes it large: the same names, and as tolerant to read as [`Report`].
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// See [`Report::schema`].
    pub schema: String,
    /// See [`Report::id`].
    pub id: String,
    /// See [`Report::time`].
    pub time: Timestamp,
    /// See [`Report::kind`].
    #[serde(default)]
    pub kind: Kind,
    /// See [`Report::service`].
    #[serde(default)]
    pub service: Service,
    /// See [`Report::process`].
    pub process: Process,
    /// See [`Report::signal`].
    pub signal: Signal,
    /// See [`Report::fault`].
    #[serde(default)]
    pub fault: Fault,
    /// See [`Report::exit`].
    #[serde(default)]
    pub exit: Exit,
    /// See [`Report::action`].
    #[serde(default)]
    pub action: Action,
    /// See [`Report::fingerprint`].
    pub fingerprint: Option<String>,
    /// See [`Report::occurrences`].
    pub occurrences: Option<u64>,
}

impl From<Report> for Summary {
    fn from(report: Report) -> Self {
        Self {
            schema: report.schema,
            id: report.id,
            time: report.time,
            kind: report.kind,
            service: report.service,
            process: report.process,
            signal: report.signal,
            fault: report.fault,
            exit: report.exit,
            action: report.action,
            fingerprint: report.fingerprint,
            occurrences: report.occurrences,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_summary_reads_any_report() {
        for report in sample::all() {
            let json = serde_json::to_string(&report).unwrap();
            assert_eq!(
                serde_json::from_str::<Summary>(&json).unwrap(),
                Summary::from(report)
            );
        }
    }
}
