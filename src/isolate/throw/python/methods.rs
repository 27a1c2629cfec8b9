//! Whether a function stands in the table of methods of its module (`PyMethodDef`): its address between the address of a
//! name and flags.

use std::collections::HashSet;

use crate::capture::ModuleFile;
use crate::capture::maps::Maps;
use crate::diagnose::unwind::Procedure;
use crate::sys::memory::Memory;

/// The most that is searched of a module's data, bytes.
const MAX_SEARCHED: u64 = 8 << 20;
/// How much is read at a time.
const CHUNK: u64 = 256 << 10;
/// How many functions are remembered.
const MAX_REMEMBERED: usize = 4096;
/// Flags of CPython 3.11 (methodobject.h), `METH_VARARGS` to `METH_METHOD`.
const FLAGS: u32 = 0x3ff;
/// The longest name that is looked at, bytes.
const MAX_NAME: usize = 128;

/// Functions that were found in tables, by their file and their distance from its first mapped byte.
#[derive(Debug, Default)]
pub(super) struct Methods(HashSet<((u32, u32), u64, u64)>);

impl Methods {
    /// Whether the procedure's address stands in a table of its module.
    pub(super) fn has(
        &mut self,
        procedure: &Procedure,
        module: &ModuleFile,
        maps: &Maps,
        memory: &Memory,
    ) -> bool {
        let key = (
            module.device,
            module.inode,
            procedure.low.wrapping_sub(module.low),
        );
        if self.0.contains(&key) {
            return true;
        }
        let data = maps.iter().filter(|mapping| {
            mapping.inode == module.inode
                && mapping.device == module.device
                && (module.low..module.high).contains(&mapping.low)
                && mapping.readable
                && !mapping.executable
        });
        let mut left = MAX_SEARCHED;
        for mapping in data {
            let size = (mapping.high - mapping.low).min(left);
            left -= size;
            if is_in_table(procedure.low, mapping.low, size, memory) {
                if self.0.len() >= MAX_REMEMBERED {
                    self.0.clear();
                }
                self.0.insert(key);
                return true;
            }
        }
        false
    }
}

fn is_in_table(function: u64, start: u64, size: u64, memory: &Memory) -> bool {
    let mut offset = 0;
    while offset < size {
        let chunk = memory.read_span(start + offset, (size - offset).min(CHUNK) as usize);
        let (words, _) = chunk.as_chunks::<8>();
        let found = words
            .iter()
            .enumerate()
            .filter(|(_, word)| u64::from_le_bytes(**word) == function);
        for (index, _) in found {
            if is_entry(start + offset + 8 * index as u64, memory) {
                return true;
            }
        }
        offset += CHUNK;
    }
    false
}

/// Whether the words around a function's address, at `place`, are those of a method.
fn is_entry(place: u64, memory: &Memory) -> bool {
    let name = place.checked_sub(8).and_then(|name| memory.read_u64(name));
    let flags = memory.read_u64(place + 8).map(|flags| flags as u32);
    let Some((name, flags)) = name.filter(|name| *name != 0).zip(flags) else {
        return false;
    };
    let text = memory.read_span(name, MAX_NAME);
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    flags != 0 && flags & !FLAGS == 0 && !text.is_empty() && text.len() < MAX_NAME && text.iter().all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Tid;

    #[test]
    fn a_method_is_its_address_between_a_name_and_flags() {
        let memory = Memory::of(Tid(std::process::id() as i32));
        let (name, no_name) = (c"parse", c"not a name");
        let function = 0x1234_5678_9abc;
        let found = |name: u64, flags: u64| {
            let table = [7, name, function, flags, 0];
            let found = is_in_table(function, table.as_ptr() as u64, 40, &memory);
            assert!(!is_in_table(function + 1, table.as_ptr() as u64, 40, &memory));
            found
        };
        assert!(found(name.as_ptr() as u64, 4));
        // The upper half of the word is padding.
        assert!(found(name.as_ptr() as u64, 0xdead_0000_0082));
        assert!(!found(name.as_ptr() as u64, 0));
        assert!(!found(name.as_ptr() as u64, 0x400));
        assert!(!found(no_name.as_ptr() as u64, 4));
        assert!(!found(0, 4));
    }
}
