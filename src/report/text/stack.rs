//! The faulting thread: its frames and registers.

use super::super::model::{Frame, FrameKind, Report, Thread};
use super::in_module;
use super::page::Page;

/// Frames of the faulting thread that are shown.
const MAX_FRAMES: usize = 256;
/// Registers in a line.
const COLUMNS: usize = 4;

pub(super) fn write(page: &mut Page, report: &Report) {
    let Some(thread) = report.faulting_thread() else {
        return;
    };
    page.heading(format_args!("Faulting thread {}", title(thread)));
    if let Some(pc) = report.fault.pc.filter(|_| thread.frames.is_empty()) {
        page.line(format_args!("  at {pc}  {}", in_module(report, pc)));
    }
    write_frames(page, report, thread, MAX_FRAMES, "  ");
    write_registers(page, thread);
}

/// `4828 worker-117`
pub(super) fn title(thread: &Thread) -> String {
    match &thread.name {
        Some(name) => format!("{} {name}", thread.tid),
        None => thread.tid.to_string(),
    }
}

pub(super) fn write_frames(page: &mut Page, report: &Report, thread: &Thread, limit: usize, indent: &str) {
    page.lines(
        thread.frames.iter().enumerate(),
        limit,
        |page, (number, frame)| {
            page.line(format_args!("{indent}#{number:<3} {}", describe(report, frame)));
        },
    );
    if let Some(reason) = &thread.truncated {
        page.line(format_args!("{indent}(incomplete: {reason})"));
    }
}

/// `0x00005581000011b9 parse_header+0x19 at http.cpp:212 (api-server+0x11b9)`
pub(super) fn describe(report: &Report, frame: &Frame) -> String {
    if frame.kind == FrameKind::Signal {
        return "<signal handler called>".to_owned();
    }
    let module = match (&frame.module, frame.offset) {
        (Some(module), Some(offset)) => Some(format!(
            "{}+{offset}",
            module.rsplit('/').next().unwrap_or(module)
        )),
        _ => report.module_at(frame.pc).map(|_| in_module(report, frame.pc)),
    };
    let mut text = format!("{:#018x}", frame.pc.0);
    if let Some(symbol) = &frame.symbol {
        text += &format!(" {symbol}");
        if let Some(offset) = frame.symbol_offset {
            text += &format!("+{offset}");
        }
    }
    match (&frame.file, frame.line) {
        (Some(file), Some(line)) => text += &format!(" at {file}:{line}"),
        (Some(file), None) => text += &format!(" in {file}"),
        _ => {}
    }
    match module {
        Some(module) if frame.symbol.is_some() => text += &format!(" ({module})"),
        Some(module) => text += &format!(" {module}"),
        None => {}
    }
    text += match frame.kind {
        FrameKind::Jit => " [generated code]",
        _ if frame.inlined => " [inlined]",
        _ => "",
    };
    text
}

fn write_registers(page: &mut Page, thread: &Thread) {
    if thread.registers.is_empty() {
        return;
    }
    let width = thread
        .registers
        .keys()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    page.heading(format_args!("Registers"));
    let registers: Vec<_> = thread.registers.iter().collect();
    for row in registers.chunks(COLUMNS) {
        let row: Vec<String> = row
            .iter()
            .map(|(name, value)| format!("{name:>width$} {:016x}", value.0))
            .collect();
        page.line(format_args!("  {}", row.join("  ")));
    }
}
