//! Which code an address belongs to: a module's, code that the process generated, or none.

use crate::capture::ModuleFile;
use crate::capture::maps::{Mapping, Maps};

/// The executable mappings of a process, by address.
#[derive(Debug, Default)]
pub(super) struct Code(Vec<Range>);

/// One executable mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Range {
    low: u64,
    high: u64,
    pub(super) owner: Owner,
    /// Offset of `low` in the owner's file, bytes.
    offset: u64,
}

/// Whose code a mapping holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Owner {
    /// That of a mapped file; it counts [`Facts::modules`](crate::capture::Facts::modules).
    Module(usize),
    /// The kernel's in user space.
    Vdso,
    /// The process's own making.
    Generated,
}

impl Code {
    pub(super) fn of(maps: &Maps, modules: &[ModuleFile]) -> Self {
        let executable = maps.iter().filter(|mapping| mapping.executable);
        let range = |mapping: &Mapping| {
            let is_its = |module: &ModuleFile| {
                module.inode == mapping.inode && (module.low..module.high).contains(&mapping.low)
            };
            let module = modules
                .iter()
                .position(|module| mapping.is_file() && is_its(module));
            let owner = match module {
                Some(module) => Owner::Module(module),
                None if mapping.name == "[vdso]" => Owner::Vdso,
                None => Owner::Generated,
            };
            Range {
                low: mapping.low,
                high: mapping.high,
                owner,
                offset: if owner == Owner::Vdso { 0 } else { mapping.offset },
            }
        };
        Self(executable.map(range).collect())
    }

    /// The mapping that holds an address.
    pub(super) fn find(&self, address: u64) -> Option<&Range> {
        let next = self.0.partition_point(|range| range.low <= address);
        let range = self.0.get(next.checked_sub(1)?)?;
        (address < range.high).then_some(range)
    }
}

impl Range {
    /// Where an address of the mapping lies in the owner's file, bytes.
    pub(super) fn file_offset(&self, address: u64) -> u64 {
        self.offset.wrapping_add(address.wrapping_sub(self.low))
    }
}
