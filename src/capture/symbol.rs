//! Where a module keeps its variables, by their names: for what has to be read while the process exists.
//!
//! The names are looked up in the file that was opened as a module, with bounded reads: in the hash table of its dynamic
//! symbols, or in all of these where it has none. A static program has its other symbols alone. Names in large programs are
//! many, and a thread is held while one is looked up: they are gone through only where there is no other way.

use std::fs::File;

use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionTable, Sym, VersionTable};
use object::read::{ReadCache, ReadRef};

use super::ModuleFile;

/// Files larger than that are not searched; a static glibc program is a few MiB.
const MAX_FILE: u64 = 512 << 20;

/// The addresses of variables in the process; none for those that the module does not define. A module that has one of
/// them among its dynamic symbols is taken to have the others there as well, or not at all.
pub(super) fn addresses<const N: usize>(
    module: &ModuleFile,
    file: &File,
    names: [&str; N],
) -> [Option<u64>; N] {
    search(module, file, names).unwrap_or([None; N])
}

fn search<const N: usize>(module: &ModuleFile, file: &File, names: [&str; N]) -> Option<[Option<u64>; N]> {
    if file.metadata().ok()?.len() > MAX_FILE {
        return None;
    }
    let cache = ReadCache::new(file);
    let header = FileHeader64::<Endianness>::parse(&cache).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, &cache).ok()?;
    let linked = segments.iter().find_map(|segment| {
        let (offset, size) = segment.file_range(endian);
        let distance = module.offset.checked_sub(offset)?;
        let is_loaded = segment.p_type(endian) == elf::PT_LOAD;
        (is_loaded && distance < size.max(1)).then(|| segment.p_vaddr(endian).wrapping_add(distance))
    })?;
    let moved = module.low.wrapping_sub(linked & !0xfff);
    let sections = header.sections(endian, &cache).ok()?;
    let mut found = exported(&sections, endian, &cache, names)
        .or_else(|| listed(&sections, endian, &cache, elf::SHT_DYNSYM, names))
        .unwrap_or([None; N]);
    if found.iter().all(Option::is_none) {
        found = listed(&sections, endian, &cache, elf::SHT_SYMTAB, names)?;
    }
    Some(found.map(|address| Some(address?.wrapping_add(moved))))
}

/// By the hash table of the dynamic symbols; none where there is no such table.
fn exported<'c, R: ReadRef<'c>, const N: usize>(
    sections: &SectionTable<'c, FileHeader64<Endianness>, R>,
    endian: Endianness,
    data: R,
    names: [&str; N],
) -> Option<[Option<u64>; N]> {
    let (table, _) = sections.gnu_hash(endian, data).ok()??;
    let symbols = sections.symbols(endian, data, elf::SHT_DYNSYM).ok()?;
    let versions = VersionTable::default();
    Some(names.map(|name| {
        let hash = elf::gnu_hash(name.as_bytes());
        let (_, symbol) = table.find(endian, name.as_bytes(), hash, None, &symbols, &versions)?;
        (!symbol.is_undefined(endian)).then(|| symbol.st_value(endian))
    }))
}

/// By going through all symbols of one kind.
fn listed<'c, R: ReadRef<'c>, const N: usize>(
    sections: &SectionTable<'c, FileHeader64<Endianness>, R>,
    endian: Endianness,
    data: R,
    kind: elf::SectionType,
    names: [&str; N],
) -> Option<[Option<u64>; N]> {
    let symbols = sections.symbols(endian, data, kind).ok()?;
    let mut found = [None; N];
    for symbol in symbols.iter().filter(|symbol| !symbol.is_undefined(endian)) {
        let name = symbols.symbol_name(endian, symbol).ok();
        let place = name.and_then(|name| names.iter().position(|wanted| wanted.as_bytes() == name));
        if let Some(place) = place {
            found[place].get_or_insert(symbol.st_value(endian));
            if found.iter().all(Option::is_some) {
                break;
            }
        }
    }
    Some(found)
}
