//! The call stacks of a report.

use std::collections::HashMap;

use super::interpreted;
use super::modules::VDSO;
use super::symbols::{Place, Symbols};
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
    symbols: &mut Symbols<'_>,
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
    let python = capture.python_stacks();
    for thread in &mut report.threads {
        let Some(stack) = by_tid.get(&thread.tid) else {
            continue;
        };
        let limit = MAX_FRAMES.min(left);
        let mut listed = 0;
        for frame in &stack.frames {
            let described = describe(frame, &report.modules, symbols);
            if thread.frames.len() + described.len() > limit {
                break;
            }
            thread.frames.extend(described);
            listed += 1;
        }
        if let Some(interpreted) = python.get(&thread.tid) {
            interpreted::insert(&mut thread.frames, interpreted);
        }
        left = left.saturating_sub(thread.frames.len());
        thread.truncated = truncated(stack, listed);
    }
    for (module, reason) in &stacks.unreadable {
        let path = module_of(*module, &report.modules).map_or("?", |module| &module.path);
        miss(format!("unwind tables of {path}"), reason.clone());
    }
    if let Some(reason) = symbols.without_perf_map.take() {
        miss("names of generated code".to_owned(), reason);
    }
    for (module, reason) in symbols.missing() {
        let path = module_of(*module, &report.modules).map_or("?", |module| &module.path);
        miss(format!("symbols of {path}"), reason.clone());
    }
}

/// A frame, behind those of the functions that were inlined at its place.
fn describe(frame: &unwind::Frame, modules: &[Module], symbols: &mut Symbols<'_>) -> Vec<Frame> {
    let module = frame.module.and_then(|module| module_of(module, modules));
    let without_symbol = Frame {
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
    };
    let behind_call = u64::from(!frame.is_interrupted());
    let (Some(module), Some(address)) = (frame.module, frame.address) else {
        let is_generated = frame.kind == unwind::FrameKind::Generated;
        let named = is_generated.then(|| symbols.generated(frame.pc.wrapping_sub(behind_call)));
        let (symbol, offset) = named.flatten().unzip();
        return vec![Frame {
            symbol,
            symbol_offset: offset.map(|offset: u64| (offset + behind_call).into()),
            ..without_symbol
        }];
    };
    let places = symbols.at(module, address.wrapping_sub(behind_call));
    let Some((outermost, inlined)) = places.split_last() else {
        return vec![without_symbol];
    };
    let with_symbol = |place: &Place, inlined: bool| Frame {
        symbol: place.function.clone(),
        symbol_offset: place.offset.map(|offset| (offset + behind_call).into()),
        file: place.file.clone(),
        line: place.line,
        inlined,
        ..without_symbol.clone()
    };
    let mut described: Vec<_> = inlined.iter().map(|place| with_symbol(place, true)).collect();
    described.push(with_symbol(outermost, false));
    described
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
