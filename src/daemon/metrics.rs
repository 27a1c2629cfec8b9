//! Numbers for monitoring, in Prometheus' text format (version 0.0.4).
//!
//! Names and units follow its conventions: totals end in `_total`, times are seconds. A label never holds what a process
//! chooses or what never ends, such as a pid: services are those of the configuration, all else is one of a few words.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use crate::report::Report;
use crate::report::model::Kind;
use crate::supervisor::control::message::{ServiceStatus, State, Status};

/// What has been counted since the daemon started.
#[derive(Debug, Default)]
pub(super) struct Counters {
    reports: BTreeMap<Sort, u64>,
    unrecorded: BTreeMap<String, u64>,
    tracer_deaths: BTreeMap<String, u64>,
}

/// What reports are told apart by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Sort {
    service: String,
    kind: &'static str,
    signal: String,
    action: String,
}

impl Counters {
    /// Counts a report.
    pub(super) fn report(&mut self, brief: &Report) {
        let kind = match brief.kind {
            Kind::Fault => "fault",
            Kind::Exit => "exit",
            Kind::Capture => "capture",
            Kind::Unknown => "unknown",
        };
        let sort = Sort {
            service: brief.service.name.clone().unwrap_or_default(),
            kind,
            signal: brief.signal.name.clone().unwrap_or_default(),
            action: brief.action.taken.clone().unwrap_or_default(),
        };
        *self.reports.entry(sort).or_default() += 1;
    }

    /// Counts faults and ends that left no report, past the limit of their service.
    pub(super) fn unrecorded(&mut self, service: &str, number: u64) {
        *self.unrecorded.entry(service.to_owned()).or_default() += number;
    }

    /// Counts a tracer that died and was replaced.
    pub(super) fn tracer_death(&mut self, service: &str) {
        *self.tracer_deaths.entry(service.to_owned()).or_default() += 1;
    }

    /// All numbers as text.
    pub(super) fn text(&self, status: &Status) -> String {
        let mut page = Page::default();
        page.family("sickbay_build_info", "gauge", "The daemon's version.");
        page.sample("sickbay_build_info", &[("version", &status.version)], 1);
        page.family(
            "sickbay_start_time_seconds",
            "gauge",
            "When the daemon started, since 1970.",
        );
        page.sample("sickbay_start_time_seconds", &[], status.since.as_second());
        page.family(
            "sickbay_service_state",
            "gauge",
            "1 for the state that a service is in.",
        );
        for service in &status.services {
            for (state, word) in STATES {
                let labels = [("service", service.name.as_str()), ("state", word)];
                page.sample("sickbay_service_state", &labels, u8::from(service.state == state));
            }
        }
        page.of_services(
            status,
            "sickbay_service_processes",
            "gauge",
            "Processes that are held.",
            |service| service.processes as u64,
        );
        page.of_services(
            status,
            "sickbay_service_threads",
            "gauge",
            "Threads that are held.",
            |service| service.threads as u64,
        );
        page.of_services(
            status,
            "sickbay_service_threads_lost",
            "gauge",
            "Threads that were taken away after a fault.",
            |service| service.lost as u64,
        );
        page.of_services(
            status,
            "sickbay_stops_total",
            "counter",
            "Stops that the service's tracer has answered.",
            |service| service.stops,
        );
        page.family("sickbay_reports_total", "counter", "Reports that were written.");
        for (sort, number) in &self.reports {
            let labels = [
                ("service", sort.service.as_str()),
                ("kind", sort.kind),
                ("signal", &sort.signal),
                ("action", &sort.action),
            ];
            page.sample("sickbay_reports_total", &labels, number);
        }
        let help = "Faults and ends past max_per_minute, which left no report.";
        page.family("sickbay_unrecorded_total", "counter", help);
        page.counted(status, "sickbay_unrecorded_total", &self.unrecorded);
        page.family(
            "sickbay_tracer_deaths_total",
            "counter",
            "Tracers that died and were replaced.",
        );
        page.counted(status, "sickbay_tracer_deaths_total", &self.tracer_deaths);
        page.text
    }
}

/// Every state with its word.
const STATES: [(State, &str); 4] = [
    (State::Held, "held"),
    (State::Absent, "absent"),
    (State::Released, "released"),
    (State::GivenUp, "given_up"),
];

/// Lines of the format. Writing to a String does not fail.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A family with one number for each service.
    fn of_services(
        &mut self,
        status: &Status,
        name: &str,
        kind: &str,
        help: &str,
        value: impl Fn(&ServiceStatus) -> u64,
    ) {
        self.family(name, kind, help);
        for service in &status.services {
            self.sample(name, &[("service", &service.name)], value(service));
        }
    }

    /// A sample for each service, 0 where nothing was counted: what begins with its first event has no rate.
    fn counted(&mut self, status: &Status, name: &str, counts: &BTreeMap<String, u64>) {
        let configured = status.services.iter().map(|service| (service.name.as_str(), 0));
        let counted = counts.iter().map(|(service, number)| (service.as_str(), *number));
        let all: BTreeMap<&str, u64> = configured.chain(counted).collect();
        for (service, number) in all {
            self.sample(name, &[("service", service)], number);
        }
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = match labels {
            [] => writeln!(self.text, "{name} {value}"),
            labels => {
                let labels: Vec<String> = labels
                    .iter()
                    .map(|(label, text)| format!("{label}=\"{}\"", escaped(text)))
                    .collect();
                writeln!(self.text, "{name}{{{}}} {value}", labels.join(","))
            }
        };
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::sys::Pid;

    fn status() -> Status {
        Status {
            version: "1.2.3".to_owned(),
            pid: Pid(1),
            since: jiff::Timestamp::from_second(1_795_413_372).unwrap(),
            services: vec![ServiceStatus {
                name: "api".to_owned(),
                target: "unit api.service".to_owned(),
                state: State::Absent,
                note: None,
                pids: Vec::new(),
                processes: 1,
                threads: 2,
                lost: 6,
                stops: 3,
                stops_per_second: 4,
                reports: 5,
            }],
        }
    }

    #[test]
    fn each_number_has_its_line() {
        let mut counters = Counters::default();
        let mut report = sample::null_write();
        report.service.name = Some("api".to_owned());
        report.action.taken = Some("deliver".to_owned());
        counters.report(&report);
        counters.report(&report);
        counters.unrecorded("api", 7);
        counters.tracer_death("api");
        let text = counters.text(&status());
        let nothing_yet = Counters::default().text(&status());
        assert!(
            nothing_yet.contains("\nsickbay_unrecorded_total{service=\"api\"} 0\n"),
            "{nothing_yet}"
        );
        for line in [
            "sickbay_build_info{version=\"1.2.3\"} 1",
            "sickbay_start_time_seconds 1795413372",
            "sickbay_service_state{service=\"api\",state=\"held\"} 0",
            "sickbay_service_state{service=\"api\",state=\"absent\"} 1",
            "sickbay_service_processes{service=\"api\"} 1",
            "sickbay_service_threads{service=\"api\"} 2",
            "sickbay_service_threads_lost{service=\"api\"} 6",
            "# TYPE sickbay_stops_total counter",
            "sickbay_stops_total{service=\"api\"} 3",
            "sickbay_reports_total{service=\"api\",kind=\"fault\",signal=\"SIGSEGV\",action=\"deliver\"} 2",
            "sickbay_unrecorded_total{service=\"api\"} 7",
            "sickbay_tracer_deaths_total{service=\"api\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "no '{line}' in\n{text}");
        }
    }

    #[test]
    fn states_are_named_as_in_the_protocol() {
        for (state, word) in STATES {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{word}\""));
        }
    }

    #[test]
    fn labels_cannot_forge_lines() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
