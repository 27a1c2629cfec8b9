//! The process as a whole: logs, modules, files, limits; then the report itself: its files, its cost, its gaps.

use super::super::model::{Limit, LogLine, Report};
use super::super::words::duration;
use super::page::Page;

/// Log lines that are shown; the last ones.
const MAX_LOG_LINES: usize = 50;
/// Entries of any other list that are shown.
const MAX_ENTRIES: usize = 256;

pub(super) fn write_logs(page: &mut Page, report: &Report) {
    if report.logs.is_empty() && report.log_note.is_none() {
        return;
    }
    page.heading(format_args!("Last log lines"));
    if let Some(note) = &report.log_note {
        page.line(format_args!("  ({note})"));
    }
    let hidden = report.logs.len().saturating_sub(MAX_LOG_LINES);
    if hidden > 0 {
        page.line(format_args!("  ... {hidden} earlier in report.json"));
    }
    for log in report.logs.iter().skip(hidden) {
        page.line(format_args!("  {}{}", origin(log), log.text));
    }
}

fn origin(log: &LogLine) -> String {
    let mut text = String::new();
    if let Some(time) = log.time {
        text = format!("{} ", time.strftime("%H:%M:%S%.3f"));
    }
    if let Some(source) = &log.source {
        text += &format!("{source}: ");
    }
    text
}

pub(super) fn write(page: &mut Page, report: &Report) {
    write_identity(page, report);
    write_modules(page, report);
    write_files(page, report);
    write_limits(page, report);
    write_attachments(page, report);
    write_pause(page, report);
    write_incomplete(page, report);
}

fn write_identity(page: &mut Page, report: &Report) {
    let process = &report.process;
    let host = &report.host;
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let facts = [
        (
            "command",
            (!process.cmdline.is_empty()).then(|| process.cmdline.join(" ")),
        ),
        ("build id", process.build_id.clone()),
        ("parent", process.ppid.map(|pid| pid.to_string())),
        ("uid", number(process.uid)),
        ("gid", number(process.gid)),
        (
            "pid inside",
            process
                .tgid_ns
                .map(|pid| format!("{pid} in its own pid namespace")),
        ),
        ("cgroup", report.service.cgroup.clone()),
        ("invocation", report.service.invocation_id.clone()),
        ("kernel", host.kernel.clone()),
        ("arch", host.arch.clone()),
        ("boot id", host.boot_id.clone()),
        ("alike", report.fingerprint.clone()),
        ("rule", report.action.rule.clone()),
    ];
    if facts.iter().all(|(_, value)| value.is_none()) && report.action.evidence.is_empty() {
        return;
    }
    page.heading(format_args!("Process and host"));
    for (name, value) in facts {
        if let Some(value) = value {
            page.line(format_args!("  {name:<10} {value}"));
        }
    }
    page.lines(&report.action.evidence, MAX_ENTRIES, |page, evidence| {
        page.line(format_args!("  {:<10} {evidence}", "evidence"));
    });
    page.lines(&report.environment, MAX_ENTRIES, |page, (name, value)| {
        page.line(format_args!("  {:<10} {name}={value}", "environ"));
    });
}

fn write_modules(page: &mut Page, report: &Report) {
    if report.modules.is_empty() {
        return;
    }
    page.heading(format_args!("Modules"));
    page.lines(&report.modules, MAX_ENTRIES, |page, module| {
        let build_id = module.build_id.as_deref().unwrap_or("(no build id)");
        page.line(format_args!(
            "  {:016x}-{:016x}  {}  {build_id}",
            module.low.0, module.high.0, module.path
        ));
    });
}

fn write_files(page: &mut Page, report: &Report) {
    if report.files.is_empty() {
        return;
    }
    page.heading(format_args!("Open files"));
    page.lines(&report.files, MAX_ENTRIES, |page, file| {
        page.line(format_args!("  {:>5}  {}", file.fd, file.target));
    });
}

fn write_limits(page: &mut Page, report: &Report) {
    if report.limits.is_empty() {
        return;
    }
    page.heading(format_args!("Limits"));
    page.lines(&report.limits, MAX_ENTRIES, |page, (name, limit)| {
        let Limit { soft, hard, unit } = limit;
        let shown =
            |value: &Option<u64>| value.map_or_else(|| "unlimited".to_owned(), |value| value.to_string());
        page.line(format_args!(
            "  {name:<22} {} (hard {}) {}",
            shown(soft),
            shown(hard),
            unit.as_deref().unwrap_or_default()
        ));
    });
}

fn write_attachments(page: &mut Page, report: &Report) {
    if report.attachments.is_empty() {
        return;
    }
    page.heading(format_args!("Files of this report"));
    page.lines(&report.attachments, MAX_ENTRIES, |page, attachment| {
        let size = attachment
            .bytes
            .map(|bytes| format!(", {bytes} bytes"))
            .unwrap_or_default();
        page.line(format_args!("  {} ({}{size})", attachment.file, attachment.kind));
    });
}

fn write_pause(page: &mut Page, report: &Report) {
    let pause = &report.pause;
    let total = [
        ("faulting thread", pause.faulting_us),
        ("other threads", pause.others_us),
    ];
    if total.iter().all(|(_, us)| us.is_none()) && pause.phases.is_empty() {
        return;
    }
    page.heading(format_args!("Pause"));
    for (name, us) in total {
        if let Some(us) = us {
            page.line(format_args!("  {name:<22} {:>10}", duration(us)));
        }
    }
    page.lines(&pause.phases, MAX_ENTRIES, |page, (name, us)| {
        page.line(format_args!("    {name:<20} {:>10}", duration(*us)));
    });
}

fn write_incomplete(page: &mut Page, report: &Report) {
    if report.incomplete.is_empty() {
        return;
    }
    page.heading(format_args!("Missing"));
    page.lines(&report.incomplete, MAX_ENTRIES, |page, incomplete| {
        page.line(format_args!("  {}: {}", incomplete.step, incomplete.reason));
    });
}
