//! A thread calls functions of its process one after the other, and then goes on elsewhere, all by itself.
//!
//! Nobody waits for it: a function may sleep until it gets a lock. Below its stack pointer the thread finds a frame like
//! those that the kernel makes for signal handlers, one for each function, which rt_sigreturn(2) loads when the function
//! has returned: the registers at the entry of the next one, in the end those with which it goes on. Each frame lies above
//! what the function that returns to it uses.
//!
//! The floating point registers are those that it had, but for what a function left in the x87 unit.
//!
//! Nothing but its stack below its stack pointer is changed, and until the thread is let go on without its signal the
//! signal is what it takes.

use crate::capture::maps::Maps;
use crate::sys::memory::Memory;
use crate::sys::ptrace::Stopped;
use crate::sys::regs::GeneralRegisters;
use crate::sys::regs::entry::{ROOM_BELOW, signal_frame};

use super::floating;
use super::inject::{Obstacle, status};
use super::sites::WayBack;

/// What is left below the stack pointer, beyond what the ABI reserves.
const CLEARANCE: u64 = 512;
/// What the functions find of stack, bytes.
const ROOM: u64 = 32 << 10;
/// What grows by itself as far as the process may use it.
const GROWING: &str = "[stack]";

/// A function to call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Step {
    /// Its address.
    pub(super) function: u64,
    /// Its arguments.
    pub(super) arguments: [u64; 2],
}

/// Puts a thread in front of the first of the functions that `steps` makes of the address of a text; behind the last it
/// goes on with the registers `then`.
pub(super) fn enter(
    thread: &Stopped,
    memory: &Memory,
    maps: &Maps,
    way_back: WayBack,
    text: &str,
    steps: impl FnOnce(u64) -> Vec<Step>,
    then: &GeneralRegisters,
) -> Result<(), Obstacle> {
    if status(thread)?.shadow_stack {
        return Err(Obstacle::ShadowStack);
    }
    let sp = thread.registers()?.sp();
    let mask = thread.signal_mask()?;
    let stack = maps.stack_of(sp).ok_or(Obstacle::NoStack)?;
    let room = if stack.name == GROWING { 0 } else { ROOM };
    let write = |place: Option<u64>, bytes: &[u8]| {
        let place = place.filter(|place| place.checked_sub(room).is_some_and(|low| low >= stack.low));
        let place = place.ok_or(Obstacle::NoStack)?;
        memory.write(place, bytes).map_err(|_| Obstacle::NoStack)?;
        Ok::<u64, Obstacle>(place)
    };
    let below = |place: u64, len: usize| place.checked_sub(len as u64).map(|place| place & !0xf);
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    let text = write(
        below(sp.saturating_sub(ROOM_BELOW + CLEARANCE), bytes.len()),
        &bytes,
    )?;
    let floating = floating::at_function(thread)?;
    let image = write(below(text, floating.len()).map(|place| place & !0x3f), &floating)?;
    let mut place = image;
    let mut registers = then.clone();
    for Step { function, arguments } in steps(text).into_iter().rev() {
        let frame = signal_frame(&registers, mask, way_back.restorer, Some(image));
        // At a function's entry, the place behind its return address is a multiple of 16.
        let start = below(place, frame.len() + 8).and_then(|place| place.checked_sub(8));
        place = write(start, &frame)?;
        registers = then.at_function(function, &arguments, place);
    }
    floating::clear(thread)?;
    thread.set_registers(&registers)?;
    Ok(())
}
