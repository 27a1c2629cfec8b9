//! What addresses mean: code, a thread's stack, the heap, or another mapping.

use super::super::model::{Address, Map, Report, Thread};
use super::thread::title;

/// What an address points to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::report) struct Target {
    pub(in crate::report) kind: TargetKind,
    /// `parse_header+0x19`, `its stack + 0x120`, `stack of 4712 worker-1 + 0x120`, `heap`.
    pub(in crate::report) text: String,
}

/// The kinds of memory that people tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::report) enum TargetKind {
    Code,
    Data,
    Stack,
    Heap,
    Other,
}

/// `api-server+0x11b9`: where an address lies in the program or a library; the bare address if in neither.
pub(in crate::report) fn in_module(report: &Report, address: Address) -> String {
    match report.module_at(address) {
        Some(module) => format!("{}+{:#x}", module.name(), address.0 - module.low.0),
        None => address.to_string(),
    }
}

/// What an address points to; none where nothing is mapped.
pub(in crate::report) fn target(report: &Report, address: Address) -> Option<Target> {
    let map = map_at(report, address)?;
    let is_code = map.perms.contains('x');
    if let Some(thread) = report.threads.iter().find(|thread| has_on_stack(thread, address)) {
        let from_pointer = offset_from(address, thread.stack.pointer);
        let is_own = report
            .faulting_thread()
            .is_some_and(|faulting| faulting.tid == thread.tid);
        let whose = if is_own {
            "its stack".to_owned()
        } else {
            format!("stack of {}", title(thread))
        };
        return Some(Target {
            kind: TargetKind::Stack,
            text: format!("{whose}{from_pointer}"),
        });
    }
    let (kind, text) = match (report.module_at(address), map.path.as_deref()) {
        (Some(_), _) if is_code => (TargetKind::Code, function_at(report, address)),
        (Some(_), _) => (TargetKind::Data, in_module(report, address)),
        (None, Some("[heap]")) => (TargetKind::Heap, "heap".to_owned()),
        (None, Some(path)) if path.starts_with("[stack") => (TargetKind::Stack, "main stack".to_owned()),
        (None, Some(path)) => (TargetKind::Other, path.to_owned()),
        (None, None) if is_code => (TargetKind::Code, "generated code".to_owned()),
        (None, None) => (TargetKind::Other, "anonymous memory".to_owned()),
    };
    Some(Target { kind, text })
}

/// The mapping that holds an address.
pub(in crate::report) fn map_at(report: &Report, address: Address) -> Option<&Map> {
    report.maps.iter().find(|map| map.contains(address))
}

fn has_on_stack(thread: &Thread, address: Address) -> bool {
    let (low, high) = (thread.stack.low, thread.stack.high);
    low.is_some_and(|low| low <= address) && high.is_some_and(|high| address < high)
}

/// ` + 0x120`, ` - 0x8`: how far from the stack pointer.
fn offset_from(address: Address, pointer: Option<Address>) -> String {
    match pointer {
        Some(pointer) if address == pointer => String::new(),
        Some(pointer) if address > pointer => format!(" + {:#x}", address.0 - pointer.0),
        Some(pointer) => format!(" - {:#x}", pointer.0 - address.0),
        None => String::new(),
    }
}

/// The function of a frame that is at that very address; the place in the module for all other code.
fn function_at(report: &Report, address: Address) -> String {
    let frames = report.threads.iter().flat_map(|thread| &thread.frames);
    let known = frames
        .filter(|frame| frame.pc == address && !frame.inlined)
        .find_map(|frame| {
            let offset = frame
                .symbol_offset
                .map(|offset| format!("+{offset}"))
                .unwrap_or_default();
            Some(format!("{}{offset}", frame.symbol.as_deref()?))
        });
    known.unwrap_or_else(|| in_module(report, address))
}
