//! Where a module keeps its variables, by their names: for what has to be read while the process exists.
//!
//! The names are looked up in the file that was opened as a module, with bounded reads: the dynamic symbols first, then
//! all, since a static program has no others.

use std::fs::File;

use object::read::elf::ElfFile64;
use object::{Object, ObjectSegment, ObjectSymbol, ReadCache};

use super::ModuleFile;

/// Files larger than that are not searched; a static glibc program is a few MiB.
const MAX_FILE: u64 = 512 << 20;

/// The addresses of variables in the process; none for those that the module does not define.
pub(super) fn addresses<const N: usize>(
    module: &ModuleFile,
    file: &File,
    names: [&str; N],
) -> [Option<u64>; N] {
    let mut found = [None; N];
    let _ = search(module, file, names, &mut found);
    found
}

fn search<const N: usize>(
    module: &ModuleFile,
    file: &File,
    names: [&str; N],
    found: &mut [Option<u64>; N],
) -> Option<()> {
    if file.metadata().ok()?.len() > MAX_FILE {
        return None;
    }
    let cache = ReadCache::new(file);
    let elf = ElfFile64::<object::Endianness, _>::parse(&cache).ok()?;
    let first = elf.segments().find(|segment| {
        let (offset, size) = segment.file_range();
        offset <= module.offset && module.offset < offset + size.max(1)
    })?;
    let linked = first.address() + (module.offset - first.file_range().0);
    let moved = module.low.wrapping_sub(linked & !0xfff);
    for symbol in elf.dynamic_symbols().chain(elf.symbols()) {
        let place = symbol
            .name()
            .ok()
            .and_then(|name| names.iter().position(|wanted| *wanted == name));
        if let Some(place) = place.filter(|_| !symbol.is_undefined()) {
            found[place].get_or_insert(symbol.address().wrapping_add(moved));
            if found.iter().all(Option::is_some) {
                break;
            }
        }
    }
    Some(())
}
