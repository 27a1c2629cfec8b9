//! The frames and registers of one thread.

use super::super::model::{Report, Thread};
use super::super::wording::frame::FrameWords;
use super::super::words::count;
use super::page::{Page, Style};

/// Registers in a line.
const COLUMNS: usize = 4;

pub(super) fn write_frames(page: &mut Page, report: &Report, thread: &Thread, limit: usize, indent: &str) {
    page.lines(
        thread.frames.iter().enumerate(),
        limit,
        |page, (number, frame)| {
            page.line(format_args!(
                "{indent}#{number:<3} {}",
                FrameWords::of(report, frame)
            ));
        },
    );
    if let Some(reason) = &thread.truncated {
        page.styled(Style::Dim, format_args!("{indent}(incomplete: {reason})"));
    }
}

/// The general registers, several to a line, and with `vector` the others below.
pub(super) fn write_registers(page: &mut Page, thread: &Thread, indent: &str, vector: bool) {
    let width =
        |names: &mut dyn Iterator<Item = &String>| names.map(|name| name.chars().count()).max().unwrap_or(0);
    let general = width(&mut thread.registers.keys());
    let registers: Vec<_> = thread.registers.iter().collect();
    for row in registers.chunks(COLUMNS) {
        let row: Vec<String> = row
            .iter()
            .map(|(name, value)| format!("{name:>general$} {:016x}", value.0))
            .collect();
        page.line(format_args!("{indent}{}", row.join("  ")));
    }
    if vector {
        let width = width(&mut thread.vector.keys());
        for (name, bytes) in &thread.vector {
            page.line(format_args!("{indent}{name:>width$} {}", hex::encode(&bytes.0)));
        }
    } else if !thread.vector.is_empty() {
        let left = count(thread.vector.len(), "vector register");
        page.styled(Style::Dim, format_args!("{indent}({left}: --registers)"));
    }
}
