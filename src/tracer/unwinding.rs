//! Whether a thread can be unwound and ended, worked out from its stack in place.

use crate::capture::Capture;
use crate::capture::maps::{is_c_library, is_musl};
use crate::diagnose::unwind::{Reading, cleans_up, passage};
use crate::diagnose::{Image, ModuleSource};
use crate::isolate::throw::{Program, Throwing, read_area};
use crate::isolate::unwind;
use crate::sys::ptrace::Stopped;
use crate::sys::status::Status;

use super::decision::Looked;
use super::source::Files;

/// The function that unwinds and ends the thread that calls it.
const ENDS: &str = "pthread_exit";

/// Puts the thread in front of pthread_exit(3). Locks that it holds are to be released on the way.
///
/// # Errors
///
/// Why that is not possible, as a clause of a sentence.
pub(super) fn prepare(
    thread: &Stopped,
    status: &Status,
    looked: &Looked,
    throwing: &mut Throwing,
) -> Result<(), String> {
    let capture = &looked.copied.capture;
    let source = Files(&looked.copied.modules);
    let ends = ends(capture, &source)?;
    let personalities = throwing.cxx_personalities(&Program {
        process: capture.pid(),
        modules: &capture.facts.modules,
        source: &source,
    })?;
    // The destructors would be run by the context of one, which the other does not understand: the process would die, or
    // the thread end without them.
    let mut modules = capture.facts.modules.iter();
    if modules.any(|module| module.file_name().starts_with("libunwind.so")) {
        return Err("a second unwinder, libunwind, is loaded, and pthread_exit uses libgcc_s".to_owned());
    }
    let maps = &looked.copied.maps;
    let area = |address| read_area(looked.live.memory(), maps, address);
    let reading = Reading {
        memory: &looked.live,
        area: &area,
    };
    let outer = &looked.examined.outer;
    let from = passage(outer, &personalities, reading)?;
    let last = outer.frames.len().saturating_sub(1);
    let lock = looked.kept.as_deref();
    if let Some(lock) = lock.filter(|_| !cleans_up(outer, from, last, reading)) {
        return Err(format!("{lock}, and no destructor on the way would release it"));
    }
    unwind::prepare(thread, status, &outer.frames[from], ends).map_err(|error| error.to_string())
}

/// Where pthread_exit(3) is, of a C library that unwinds.
fn ends(capture: &Capture, source: &dyn ModuleSource) -> Result<u64, String> {
    let modules = &capture.facts.modules;
    if modules.iter().any(|module| is_musl(&module.path)) {
        return Err("musl's pthread_exit unwinds no stack".to_owned());
    }
    let has = |is: fn(&str) -> bool| modules.iter().any(|module| is(module.file_name()));
    // The C library would load it now, and end the process where it is not there.
    if !has(|name| name.starts_with("libgcc_s.so")) {
        return Err("libgcc_s, which unwinds, is not loaded".to_owned());
    }
    let of_library = modules
        .iter()
        .enumerate()
        .filter(|(_, module)| is_c_library(&module.path) || module.file_name().starts_with("libpthread"));
    let found = of_library.filter_map(|(index, module)| {
        let image = Image::open(source, index).ok()?;
        let (_, address) = *image.exports(&[ENDS]).ok()?.first()?;
        let linked = image.address_of_offset(module.offset).ok()??;
        Some(module.low.wrapping_add(address.wrapping_sub(linked)))
    });
    found.last().ok_or_else(|| format!("no {ENDS} was found"))
}
