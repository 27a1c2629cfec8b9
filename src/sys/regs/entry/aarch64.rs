//! aarch64: not written. The patterns are empty, so nobody calls the rest.

use crate::sys::regs::GeneralRegisters;

/// None.
pub const SYSTEM_CALL: &[u8] = &[];
/// None.
pub const SYSTEM_CALL_AND_RETURN: &[u8] = &[];
/// None.
pub const SIGNAL_RETURN: &[u8] = &[];
/// Nothing is kept below the stack pointer (AAPCS64).
pub const ROOM_BELOW: u64 = 0;

impl GeneralRegisters {
    /// The registers as they are.
    pub fn at_system_call(&self, _site: u64, _number: u64, _args: [u64; 6], _sp: u64) -> Self {
        self.clone()
    }

    /// The registers as they are.
    pub fn at_function(&self, _function: u64, _args: &[u64], _sp: u64) -> Self {
        self.clone()
    }

    /// The registers as they are.
    pub fn after_return(&self, _value: u64) -> Self {
        self.clone()
    }

    /// x0.
    pub fn result(&self) -> u64 {
        self.get("x0").unwrap_or(0)
    }
}

/// No frame.
pub fn signal_frame(
    _registers: &GeneralRegisters,
    _mask: u64,
    _restorer: u64,
    _floating: Option<u64>,
) -> Vec<u8> {
    Vec::new()
}

/// The registers as they are.
pub fn floating_at_function(set: &[u8]) -> Vec<u8> {
    set.to_vec()
}

/// Functions leave nothing there.
pub fn has_floating_rest(_set: &[u8]) -> bool {
    false
}
