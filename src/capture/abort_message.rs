//! The text that the C library leaves for debuggers before it aborts: `__abort_msg`.
//!
//! assert(3), the heap's consistency checks, the stack protector and fortified functions write it; the variable is
//! in glibc's dynamic symbols.

use std::fs::File;

use crate::sys::memory::Memory;

use super::{ModuleFile, symbol};

/// The longest text that is kept.
const MAX_TEXT: usize = 4096;

/// Reads the text through the module that [`defines`] the variable. None where there is no such text.
pub(super) fn read(memory: &Memory, module: &ModuleFile, file: &File) -> Option<Vec<u8>> {
    let [variable] = symbol::addresses(module, file, ["__abort_msg"]);
    let message = memory.read_u64(variable?).filter(|address| *address != 0)?;
    // struct abort_msg_s { unsigned int size; char msg[]; }
    let bytes = memory.read_span(message.checked_add(4)?, MAX_TEXT);
    let text = bytes.split(|byte| *byte == 0).next()?;
    (!text.is_empty()).then(|| text.to_vec())
}

/// Whether a module is the C library.
pub(super) fn defines(module: &ModuleFile) -> bool {
    let name = module.file_name();
    name.starts_with("libc.so") || name.starts_with("libc-")
}
