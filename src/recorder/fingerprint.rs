//! What makes two incidents look alike.
//!
//! Preliminary: a hash over the signal, the program counter and up to four words from the top of the stack that point
//! into code, each as build id (or path) and offset, so that it survives address randomisation and restarts. Words
//! are candidates for return addresses, not frames; once stacks are unwound, frames take their place and
//! fingerprints change with that release.

use std::hash::Hasher;

use fnv::FnvHasher;

use crate::capture::Capture;
use crate::diagnose::{AddressSpace, Diagnosis};
use crate::report::model::Module;
use crate::sys::SigNo;

/// Words of the stack that count.
const MAX_RETURNS: usize = 4;
/// How far up the stack they are looked for, words.
const MAX_WORDS: usize = 512;

/// The fingerprint of a fault: 16 hexadecimal digits, stable across runs and machines.
pub(super) fn of(
    capture: &Capture,
    signal: SigNo,
    diagnosis: &Diagnosis,
    space: &AddressSpace,
    modules: &[Module],
) -> String {
    let mut hasher = FnvHasher::default();
    hasher.write(&signal.0.to_le_bytes());
    hasher.write(diagnosis.cause.as_str().as_bytes());
    let places = diagnosis.pc.into_iter().chain(returns(capture, space));
    for address in places {
        let (name, offset) = place(address, space, modules);
        hasher.write(name.as_bytes());
        hasher.write(&offset.to_le_bytes());
    }
    format!("{:016x}", hasher.finish())
}

/// Candidates for return addresses.
fn returns(capture: &Capture, space: &AddressSpace) -> impl Iterator<Item = u64> {
    let stack = capture.faulting().and_then(|thread| thread.stack);
    let live = stack.and_then(|stack| {
        let below = usize::try_from(stack.pointer.checked_sub(stack.start)?).ok()?;
        capture.get(stack.data).get(below..)
    });
    let words = live.unwrap_or_default().chunks_exact(8).take(MAX_WORDS);
    let words = words.map(|word| {
        word.iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte))
    });
    let is_code = |address: &u64| {
        space
            .find(*address)
            .is_some_and(|mapping| mapping.execute && mapping.is_file())
    };
    words.filter(is_code).take(MAX_RETURNS)
}

/// An address as module and offset in its file; outside of all modules it is nothing that would come again.
fn place<'a>(address: u64, space: &AddressSpace, modules: &'a [Module]) -> (&'a str, u64) {
    let module = modules.iter().find(|module| module.contains(address.into()));
    match (module, space.file_offset(address)) {
        (Some(module), Some((_, offset))) => (module.build_id.as_deref().unwrap_or(&module.path), offset),
        _ => ("", 0),
    }
}
