//! `sickbay stats`: how many reports of what.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use super::exit;
use super::narrow::Narrow;
use super::output::{Output, message};
use super::state_dir::StateDir;
use super::table::Table;
use crate::report::words::{bytes, count};
use crate::store::{FingerprintStats, ServiceStats, Stats as Numbers, Store};

/// Show how many reports there are of each service, and of each fingerprint
///
/// Reports are those that are kept; the times count all that happened. The trend has a character for each of the last
/// 14 days (UTC), today last.
#[derive(Debug, Args)]
pub struct Stats {
    /// At most that many fingerprints
    #[arg(short = 'n', value_name = "N", default_value_t = 10)]
    number: usize,
    #[command(flatten)]
    narrow: Narrow,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) state_dir: StateDir,
}

/// The bars of a trend, from few to many.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A day without a report.
const NONE: char = '.';

impl Stats {
    /// Prints the numbers on stdout.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        self.run_to(Timestamp::now(), &mut Output::stdout())
            .map(ExitCode::from)
    }

    fn run_to(self, now: Timestamp, output: &mut Output<'_>) -> anyhow::Result<u8> {
        let state_dir = self.state_dir.resolve_reading()?;
        let mut numbers = match Store::open_existing(&state_dir)? {
            Some(store) => store.stats(&self.narrow.filter(), now)?,
            None => Numbers::default(),
        };
        numbers.fingerprints.truncate(self.number);
        if self.json {
            output.json(&numbers)?;
        } else if numbers.reports == 0 {
            message(format_args!("no reports in {}", state_dir.display()));
        } else {
            let text = text(&numbers, output.colour());
            output.text(&text)?;
        }
        Ok(exit::SUCCESS)
    }
}

fn text(numbers: &Numbers, colour: bool) -> String {
    let services = services(&numbers.services).render(colour);
    let mut text = format!("{}\n\n{services}", heading(numbers));
    if !numbers.fingerprints.is_empty() {
        let fingerprints = fingerprints(&numbers.fingerprints).render(colour);
        text.push_str(&format!("\n{fingerprints}"));
    }
    text
}

fn heading(numbers: &Numbers) -> String {
    let reports = count(numbers.reports, "report");
    let mut heading = format!("{reports}, {}", bytes(numbers.bytes));
    if let (Some(first), Some(latest)) = (numbers.first, numbers.latest) {
        heading.push_str(&format!(", from {} to {}", time(first), time(latest)));
    }
    if numbers.damaged > 0 {
        heading.push_str(&format!("; {} damaged", numbers.damaged));
    }
    heading
}

fn services(services: &[ServiceStats]) -> Table {
    let mut table = Table::new(["SERVICE", "REPORTS", "SIZE", "LATEST (UTC)", "TREND"]);
    for service in services {
        table.row([
            service.name.clone().unwrap_or_else(|| "-".to_owned()),
            service.reports.to_string(),
            bytes(service.bytes),
            service.latest.map(time).unwrap_or_default(),
            trend(&service.days),
        ]);
    }
    table
}

fn fingerprints(fingerprints: &[FingerprintStats]) -> Table {
    let mut table = Table::new([
        "FINGERPRINT",
        "REPORTS",
        "TIMES",
        "SERVICE",
        "SIGNAL",
        "LATEST (UTC)",
        "WHAT",
    ]);
    for common in fingerprints {
        let latest = &common.latest;
        let what = latest.fault.detail.clone().or(latest.fault.cause.clone());
        let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        table.row([
            common.fingerprint.clone(),
            common.reports.to_string(),
            latest
                .occurrences
                .map_or("-".to_owned(), |times| times.to_string()),
            shown(&latest.service.name),
            shown(&latest.signal.name),
            time(latest.time),
            shown(&what),
        ]);
    }
    table
}

/// A bar for each day, as high as its number beside the highest.
fn trend(days: &[usize]) -> String {
    let most = days.iter().copied().max().unwrap_or(0).max(1);
    let bar = |number: &usize| match number {
        0 => NONE,
        number => BARS[(number * BARS.len()).div_ceil(most).clamp(1, BARS.len()) - 1],
    };
    days.iter().map(bar).collect()
}

fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{Shelf, parse};
    use crate::report::sample;

    fn shown(shelf: &Shelf, args: &[&str]) -> String {
        let stats: Stats = parse(shelf, args);
        let now = Timestamp::from_second(1_795_413_372 + 86_400).unwrap();
        let mut written = Vec::new();
        assert_eq!(
            stats.run_to(now, &mut Output::to(&mut written)).unwrap(),
            exit::SUCCESS
        );
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn a_day_is_as_high_as_its_number() {
        assert_eq!(trend(&[0, 1, 2, 4, 8, 0]), ".▁▂▄█.");
        assert_eq!(trend(&[0, 0]), "..");
        assert_eq!(trend(&[1, 1000]), "▁█");
    }

    #[test]
    fn services_and_fingerprints_have_their_lines() {
        let shelf = Shelf::new();
        for second in 0..3 {
            let mut report = sample::null_write();
            report.service.name = Some("api".to_owned());
            report.fingerprint = Some("f1".to_owned());
            report.occurrences = Some(7);
            shelf.put_report("api", second * 86_400 / 2, report);
        }
        shelf.put("web", 0);
        let text = shown(&shelf, &[]);
        let line = |start: &str| -> Vec<String> {
            let line = text.lines().find(|line| line.starts_with(start)).unwrap();
            line.split_whitespace().map(str::to_owned).collect()
        };
        assert!(text.starts_with("4 reports, "), "{text}");
        let api = line("api");
        assert_eq!(api[1], "3", "{text}");
        assert!(api.last().unwrap().starts_with("............"), "{text}");
        assert_eq!(line("web")[1], "1");
        assert_eq!(&line("f1")[..5], ["f1", "3", "7", "api", "SIGSEGV"]);
        assert!(!shown(&shelf, &["-n", "0"]).contains("f1"));
        let json: serde_json::Value =
            serde_json::from_str(&shown(&shelf, &["--json", "--service", "api"])).unwrap();
        assert_eq!(json["reports"], 3);
        assert_eq!(json["services"][0]["days"].as_array().unwrap().len(), 14);
        assert_eq!(json["fingerprints"][0]["latest"]["service"]["name"], "api");
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        assert_eq!(shown(&Shelf::new(), &[]), "");
    }
}
