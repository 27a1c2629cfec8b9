//! The process as a whole: its map, files, limits, modules; logs; what the report cost and lacks.

use super::text::Text;
use crate::report::model::{LogLine, Map, Report};
use crate::report::words::duration;

/// Entries of any list that a page has.
const MAX_ENTRIES: usize = 2048;
/// Log lines, the last ones.
const MAX_LOG_LINES: usize = 500;
/// Priorities of syslog(3) up to which a line is an error, and a warning.
const ERROR: u8 = 3;
const WARNING: u8 = 4;

/// A name and what belongs to it.
pub(super) struct Pair {
    pub(super) name: Text,
    pub(super) value: Text,
}

/// A mapping, or the gap that the fault's address is in.
pub(super) struct MapRow {
    pub(super) range: Text,
    pub(super) perms: Text,
    pub(super) path: Text,
    pub(super) marked: bool,
}

/// A line of the log.
pub(super) struct LogRow {
    pub(super) time: Text,
    pub(super) source: Text,
    pub(super) text: Text,
    pub(super) class: &'static str,
}

/// A timed part of the pause, with its bar.
pub(super) struct PhaseRow {
    pub(super) name: Text,
    pub(super) time: Text,
    /// Thousandths of the longest.
    pub(super) width: u64,
}

pub(super) fn map(report: &Report) -> Vec<MapRow> {
    let address = report.signal.address.or(report.fault.pc);
    let mut maps: Vec<&Map> = report.maps.iter().collect();
    maps.sort_by_key(|map| map.low);
    let below = address.map(|address| (address, maps.partition_point(|map| map.high <= address)));
    let mut rows = Vec::new();
    for (number, map) in maps.iter().take(MAX_ENTRIES).enumerate() {
        let hit = below.is_some_and(|(address, place)| place == number && map.contains(address));
        if let Some((address, _)) = below.filter(|(_, place)| *place == number && !hit) {
            rows.push(MapRow::gap(address.into()));
        }
        rows.push(MapRow {
            range: format_args!("{:x}-{:x}", map.low.0, map.high.0).into(),
            perms: (&map.perms).into(),
            path: map.path.as_deref().unwrap_or("anonymous memory").into(),
            marked: hit,
        });
    }
    if let Some((address, _)) = below.filter(|(_, place)| *place == maps.len() && !maps.is_empty()) {
        rows.push(MapRow::gap(address.into()));
    }
    rows
}

impl MapRow {
    fn gap(address: Text) -> Self {
        Self {
            range: address,
            perms: Text::default(),
            path: "not mapped".into(),
            marked: true,
        }
    }
}

pub(super) fn logs(report: &Report) -> Vec<LogRow> {
    let hidden = report.logs.len().saturating_sub(MAX_LOG_LINES);
    let row = |log: &LogLine| LogRow {
        time: log
            .time
            .map(|time| time.strftime("%H:%M:%S%.3f").to_string().into())
            .unwrap_or_default(),
        source: log.source.as_deref().unwrap_or_default().into(),
        text: (&log.text).into(),
        class: match log.priority {
            Some(..=ERROR) => "error",
            Some(WARNING) => "warning",
            _ => "",
        },
    };
    report.logs.iter().skip(hidden).map(row).collect()
}

pub(super) fn identity(report: &Report) -> Vec<Pair> {
    let process = &report.process;
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let command = (!process.cmdline.is_empty()).then(|| process.cmdline.join(" "));
    let facts = [
        ("Command", command),
        ("Build id", process.build_id.clone()),
        ("Parent", process.ppid.map(|pid| pid.to_string())),
        ("User", number(process.uid)),
        ("Group", number(process.gid)),
        ("Id in its namespace", process.tgid_ns.map(|pid| pid.to_string())),
        ("Control group", report.service.cgroup.clone()),
        ("Invocation", report.service.invocation_id.clone()),
        ("Kernel", report.host.kernel.clone()),
        ("Architecture", report.host.arch.clone()),
        ("Boot", report.host.boot_id.clone()),
        ("Fingerprint", report.fingerprint.clone()),
        ("Rule", report.action.rule.clone()),
        (
            "Evidence",
            (!report.action.evidence.is_empty()).then(|| report.action.evidence.join("; ")),
        ),
    ];
    facts
        .into_iter()
        .filter_map(|(name, value)| Some(pair(name, value?)))
        .collect()
}

pub(super) fn files(report: &Report) -> Vec<Pair> {
    let files = report.files.iter().take(MAX_ENTRIES);
    files
        .map(|file| pair(file.fd.to_string(), &file.target))
        .collect()
}

pub(super) fn limits(report: &Report) -> Vec<Pair> {
    let shown = |value: Option<u64>| value.map_or_else(|| "unlimited".to_owned(), |value| value.to_string());
    let limits = report.limits.iter().take(MAX_ENTRIES);
    limits
        .map(|(name, limit)| {
            let unit = limit.unit.as_deref().unwrap_or_default();
            let value = format!("{} (at most {}) {unit}", shown(limit.soft), shown(limit.hard));
            pair(name, value)
        })
        .collect()
}

pub(super) fn environment(report: &Report) -> Vec<Pair> {
    let variables = report.environment.iter().take(MAX_ENTRIES);
    variables.map(|(name, value)| pair(name, value)).collect()
}

pub(super) fn modules(report: &Report) -> Vec<Pair> {
    let modules = report.modules.iter().take(MAX_ENTRIES);
    modules
        .map(|module| {
            let build_id = module.build_id.as_deref().unwrap_or("no build id");
            let range = format!("{:x}-{:x}", module.low.0, module.high.0);
            pair(&module.path, format!("{range}  {build_id}"))
        })
        .collect()
}

pub(super) fn attachments(report: &Report) -> Vec<Pair> {
    let attachments = report.attachments.iter().take(MAX_ENTRIES);
    attachments
        .map(|attachment| {
            let size = attachment
                .bytes
                .map(|bytes| format!("{bytes} bytes"))
                .unwrap_or_default();
            pair(&attachment.file, size)
        })
        .collect()
}

pub(super) fn missing(report: &Report) -> Vec<Pair> {
    let incomplete = report.incomplete.iter().take(MAX_ENTRIES);
    incomplete
        .map(|missing| pair(&missing.step, &missing.reason))
        .collect()
}

/// The parts of the pause, and the whole of it in words.
pub(super) fn pause(report: &Report) -> (Text, Vec<PhaseRow>) {
    let pause = &report.pause;
    let parts = [
        ("faulting thread", pause.faulting_us),
        ("other threads", pause.others_us),
    ];
    let parts = parts
        .iter()
        .filter_map(|(who, us)| Some(format!("{who} {}", duration((*us)?))));
    let longest = pause.phases.values().copied().max().unwrap_or(0).max(1);
    let row = |(name, us): (&String, &u64)| PhaseRow {
        name: name.into(),
        time: duration(*us).into(),
        width: us.saturating_mul(1000) / longest,
    };
    let phases = pause.phases.iter().take(MAX_ENTRIES).map(row).collect();
    (parts.collect::<Vec<_>>().join(", ").into(), phases)
}

fn pair(name: impl Into<Text>, value: impl Into<Text>) -> Pair {
    Pair {
        name: name.into(),
        value: value.into(),
    }
}
