//! Where a thread lands that is sent into a system call, and how it leaves again if the call returns.

use crate::sys::memory::Memory;
use crate::sys::regs::GeneralRegisters;
use crate::sys::regs::entry::{ROOM_BELOW, signal_frame};

use super::inject::Call;
use super::sites::Sites;

/// What is left between the stack and the frame, beyond what the ABI reserves: a leaf function may have been about to
/// push, and a report shows what lay there.
const CLEARANCE: u64 = 512;

/// A system call instruction and a stack pointer. What stands behind the instruction leads the thread back to the
/// registers that it had; where there was no room for that, the thread has no stack, and the return ends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Landing {
    site: u64,
    sp: u64,
}

impl Landing {
    /// Prepares the way back to `registers` and `mask`, below `sp`.
    pub(super) fn below(
        registers: &GeneralRegisters,
        sp: u64,
        mask: u64,
        memory: &Memory,
        sites: &Sites,
    ) -> Self {
        let Some(way_back) = sites.way_back else {
            return Self {
                site: sites.system_call,
                sp: 0,
            };
        };
        let frame = signal_frame(registers, mask, way_back.restorer, None);
        let below = ROOM_BELOW + CLEARANCE + frame.len() as u64;
        let sp = sp.saturating_sub(below) & !0xf;
        let written = memory.write(sp, &frame).is_ok();
        Self {
            site: way_back.call,
            sp: if written { sp } else { 0 },
        }
    }

    /// The registers in front of the call.
    pub(super) fn registers(&self, before: &GeneralRegisters, call: Call) -> GeneralRegisters {
        before.at_system_call(self.site, call.number as u64, call.args, self.sp)
    }

    /// The stack pointer.
    pub(super) fn sp(&self) -> u64 {
        self.sp
    }

    /// Whether the thread has a stack there.
    pub(super) fn has_stack(&self) -> bool {
        self.sp != 0
    }
}
