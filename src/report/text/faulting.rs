//! The faulting thread: its frames and registers.

use super::super::model::Report;
use super::super::wording::place::in_module;
use super::super::wording::thread::title;
use super::View;
use super::page::Page;
use super::thread::{write_frames, write_registers};

/// Frames that are shown.
const MAX_FRAMES: usize = 256;

pub(super) fn write(page: &mut Page, report: &Report, view: &View) {
    let Some(thread) = report.faulting_thread() else {
        return;
    };
    page.heading(format_args!("Faulting thread {}", title(thread)));
    if let Some(pc) = report.fault.pc.filter(|_| thread.frames.is_empty()) {
        page.line(format_args!("  at {pc}  {}", in_module(report, pc)));
    }
    write_frames(page, report, thread, MAX_FRAMES, "  ");
    if !thread.registers.is_empty() {
        page.heading(format_args!("Registers"));
        write_registers(page, thread, "  ", view.registers);
    }
}
