//! The call stacks of a report.

use std::collections::HashMap;

use super::modules::VDSO;
use crate::capture::Capture;
use crate::diagnose::unwind::{self, CallStack, CallStacks, FrameModule};
use crate::report::Report;
use crate::report::model::{Frame, FrameKind, Module};

/// Frames of one thread that a report lists.
const MAX_FRAMES: usize = 1_000;
/// Frames of all threads that a report lists.
const MAX_ALL_FRAMES: usize = 60_000;

/// Gives the threads of a report their frames. Its modules are there already, in the capture's order, the vdso last.
pub(super) fn add(
    report: &mut Report,
    capture: &Capture,
    stacks: &CallStacks,
    mut miss: impl FnMut(String, String),
) {
    let by_tid: HashMap<_, _> = capture
        .facts
        .threads
        .iter()
        .map(|thread| thread.tid)
        .zip(&stacks.threads)
        .collect();
    let mut left = MAX_ALL_FRAMES;
    for thread in &mut report.threads {
        let Some(stack) = by_tid.get(&thread.tid) else {
            continue;
        };
        let listed = stack.frames.len().min(MAX_FRAMES).min(left);
        left -= listed;
        let shown = stack.frames.iter().take(listed);
        thread.frames = shown.map(|frame| describe(frame, &report.modules)).collect();
        thread.truncated = truncated(stack, listed);
    }
    for (module, reason) in &stacks.unreadable {
        let path = module_of(*module, &report.modules).map_or("?", |module| &module.path);
        miss(format!("unwind tables of {path}"), reason.clone());
    }
}

fn describe(frame: &unwind::Frame, modules: &[Module]) -> Frame {
    let module = frame.module.and_then(|module| module_of(module, modules));
    Frame {
        pc: frame.pc.into(),
        sp: Some(frame.sp.into()),
        module: module.map(|module| module.path.clone()),
        build_id: module.and_then(|module| module.build_id.clone()),
        offset: frame.address.map(Into::into),
        kind: match frame.kind {
            unwind::FrameKind::Code => FrameKind::Code,
            unwind::FrameKind::Signal => FrameKind::Signal,
            unwind::FrameKind::Generated => FrameKind::Jit,
            unwind::FrameKind::Unknown => FrameKind::Unknown,
        },
        found_by: Some(frame.found_by.as_str().to_owned()),
        ..Frame::default()
    }
}

fn module_of(module: FrameModule, modules: &[Module]) -> Option<&Module> {
    match module {
        FrameModule::File(index) => modules.get(index),
        FrameModule::Vdso => modules.last().filter(|module| module.path == VDSO),
    }
}

fn truncated(stack: &CallStack, listed: usize) -> Option<String> {
    let left_out = stack.frames.len() - listed;
    match (left_out, stack.truncated) {
        (0, None) => None,
        (0, Some(reason)) => Some(reason.to_string()),
        (_, None) => Some(format!(
            "{left_out} more frames are not listed, there are too many"
        )),
        (_, Some(reason)) => Some(format!(
            "{left_out} more frames are not listed, there are too many; {reason}"
        )),
    }
}
