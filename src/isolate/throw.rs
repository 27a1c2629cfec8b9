//! `throw`: the fault becomes an error of the program's own language, in the thread that faulted.
//!
//! So far for C++ ([`crate::diagnose::unwind::flight`] says from where). The thread goes on at the entry of the library's
//! own function that throws a std::runtime_error, with the registers of the frame that appears to call it; that
//! frame's return address lies on the stack already. Nothing of the program is changed but the stack below that frame,
//! where the text lies, and until the thread is let go on without its signal the signal is what it takes.

use crate::capture::maps::Maps;
use crate::diagnose::unwind::OuterFrame;
use crate::sys::memory::Memory;
use crate::sys::ptrace::Stopped;

use super::call::Call;
use super::inject::Obstacle;

/// How far below the stack pointer the text lies: deeper than anything that runs before the exception has copied it.
const DEPTH: u64 = 64 << 10;
/// The longest text, bytes.
const MAX_TEXT: usize = 512;

/// Puts a thread that stands in front of its signal in front of a throw out of `frame` instead.
pub fn prepare(
    thread: &Stopped,
    frame: &OuterFrame,
    function: u64,
    text: &str,
    maps: &Maps,
) -> Result<(), Obstacle> {
    let memory = Memory::open(thread.tid());
    let call = Call::from(thread, frame, &memory)?;
    let sp = call.sp();
    let place = sp.checked_sub(DEPTH).map(|place| place & !0xf);
    let within = place.filter(|place| {
        maps.find(sp)
            .is_some_and(|stack| stack.low + (MAX_TEXT as u64) < *place)
    });
    let place = within.ok_or(Obstacle::NoStack)?;
    let mut bytes = text.as_bytes().to_vec();
    bytes.truncate(MAX_TEXT - 1);
    bytes.retain(|byte| *byte != 0);
    bytes.push(0);
    memory.write(place, &bytes).map_err(|_| Obstacle::NoStack)?;
    call.enter(thread, function, &[place])
}
