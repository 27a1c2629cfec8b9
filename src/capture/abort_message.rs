//! The text that the C library leaves for debuggers before it aborts: `__abort_msg`.
//!
//! assert(3), the heap's consistency checks, the stack protector and fortified functions write it; the variable is
//! in glibc's dynamic symbols. It has to be read while the process exists, so the symbol is looked up here, in the
//! file that was opened as a module, with bounded reads.

use std::fs::File;

use object::read::elf::ElfFile64;
use object::{Object, ObjectSegment, ObjectSymbol, ReadCache};

use crate::sys::memory::Memory;

use super::ModuleFile;

/// Files larger than that are not searched; a static glibc program is a few MiB.
const MAX_FILE: u64 = 512 << 20;
/// The longest text that is kept.
const MAX_TEXT: usize = 4096;

/// Reads the text through the module that defines the variable. None where there is no such text.
pub(super) fn read(memory: &Memory, modules: &[(&ModuleFile, &File)]) -> Option<Vec<u8>> {
    let libc = modules.iter().find(|(module, _)| is_libc(&module.path));
    // A static program carries its own.
    let (module, file) = libc.or(modules.first())?;
    let variable = address_of(module, file)?;
    let message = memory.read_u64(variable).filter(|address| *address != 0)?;
    // struct abort_msg_s { unsigned int size; char msg[]; }
    let bytes = memory.read_span(message.checked_add(4)?, MAX_TEXT);
    let text = bytes.split(|byte| *byte == 0).next()?;
    (!text.is_empty()).then(|| text.to_vec())
}

fn is_libc(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.starts_with("libc.so") || name.starts_with("libc-")
}

fn address_of(module: &ModuleFile, file: &File) -> Option<u64> {
    if file.metadata().ok()?.len() > MAX_FILE {
        return None;
    }
    let cache = ReadCache::new(file);
    let elf = ElfFile64::<object::Endianness, _>::parse(&cache).ok()?;
    let symbol = elf
        .dynamic_symbols()
        .chain(elf.symbols())
        .find(|symbol| symbol.name() == Ok("__abort_msg"))?;
    let first = elf.segments().find(|segment| {
        let (offset, size) = segment.file_range();
        offset <= module.offset && module.offset < offset + size.max(1)
    })?;
    let linked = first.address() + (module.offset - first.file_range().0);
    Some(
        symbol
            .address()
            .wrapping_add(module.low.wrapping_sub(linked & !0xfff)),
    )
}
