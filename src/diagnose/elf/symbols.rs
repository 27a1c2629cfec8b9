//! The symbols of functions, out of both symbol tables.

use std::io;

use object::elf::{
    self, SHF_EXECINSTR, STB_GLOBAL, STB_WEAK, STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE, SectionHeader64, Sym64,
};
use object::read::StringTable;
use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{Endianness, ReadRef};

use super::{ElfError, Image};

/// Symbols of one table that are looked at.
const MAX_SYMBOLS: usize = 4_000_000;
/// The longest name that is read alone, bytes.
const MAX_NAME: usize = 4096;

/// One symbol of code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Symbol<'n> {
    /// Its name as it stands in the file: mangled, not always UTF-8.
    pub name: &'n [u8],
    /// Its address in the file's own numbering.
    pub address: u64,
    /// Its length, bytes; 0 where the file does not say.
    pub size: u64,
    /// Who sees it.
    pub binding: Binding,
    /// Whether the file calls it a function; labels in assembly often have no type.
    pub typed: bool,
}

/// Who sees a symbol, widest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Binding {
    /// Every module.
    Global,
    /// Every module, where nobody has a global one.
    Weak,
    /// Its own object file.
    Local,
}

impl Image<'_> {
    /// Calls `visit` with name, address and size of every function in the symbol tables, dynamic and static.
    pub fn for_each_function(&self, mut visit: impl FnMut(&[u8], u64, u64)) -> Result<(), ElfError> {
        self.for_each_symbol(|symbol| {
            if symbol.typed {
                visit(symbol.name, symbol.address, symbol.size);
            }
        })
    }

    /// Which of these names are functions of the file, whoever sees them, each with its address in the file's own numbering.
    pub fn functions_named<'n>(&self, names: &[&'n str]) -> Result<Vec<(&'n str, u64)>, ElfError> {
        let mut found = Vec::new();
        self.for_each_function(|name, address, _| {
            let wanted = names.iter().find(|wanted| wanted.as_bytes() == name);
            found.extend(wanted.map(|wanted| (*wanted, address)));
        })?;
        Ok(found)
    }

    /// Calls `visit` with every symbol of code in the symbol tables, dynamic and static.
    pub fn for_each_symbol(&self, mut visit: impl FnMut(Symbol<'_>)) -> Result<(), ElfError> {
        for table in self.symbol_tables()? {
            let strings = self.data().read_bytes_at(table.strings, table.strings_size);
            let strings = strings.map_err(|()| ElfError::Io(io::ErrorKind::UnexpectedEof.into()))?;
            let strings = StringTable::new(strings, 0, strings.len() as u64);
            table.for_each(|symbol, name| {
                if let Ok(name) = strings.get(name) {
                    visit(Symbol { name, ..symbol });
                }
            });
        }
        Ok(())
    }

    /// The names of the functions that these addresses lie in, as far as a symbol says how long it is; of several names
    /// one without underscores in front, then the one that most see, then the shortest. `addresses` are sorted. Only names that match are read.
    pub fn functions_at(&self, addresses: &[u64]) -> Result<Vec<Option<String>>, ElfError> {
        let mut best: Vec<Option<(bool, Binding, usize, String)>> = vec![None; addresses.len()];
        for table in self.symbol_tables()? {
            table.for_each(|symbol, name| {
                let end = symbol.address.saturating_add(symbol.size);
                let first = addresses.partition_point(|address| *address < symbol.address);
                let behind = addresses.partition_point(|address| *address < end);
                if first >= behind {
                    return;
                }
                let Ok(name) = self.text_at(table.strings.saturating_add(u64::from(name))) else {
                    return;
                };
                let found = (name.starts_with('_'), symbol.binding, name.len(), name);
                for best in &mut best[first..behind] {
                    if best.as_ref().is_none_or(|known| found < *known) {
                        *best = Some(found.clone());
                    }
                }
            });
        }
        Ok(best.into_iter().map(|found| Some(found?.3)).collect())
    }

    fn symbol_tables(&self) -> Result<Vec<Table<'_>>, ElfError> {
        let (header, endian) = self.header()?;
        let sections = header.section_headers(endian, self.data())?;
        let mut tables = Vec::new();
        for section in sections {
            if !matches!(section.sh_type(endian), elf::SHT_SYMTAB | elf::SHT_DYNSYM) {
                continue;
            }
            if let Some(strings) = sections.get(section.sh_link(endian) as usize) {
                tables.push(Table {
                    endian,
                    sections,
                    symbols: section.data_as_array(endian, self.data())?,
                    strings: strings.sh_offset(endian),
                    strings_size: strings.sh_size(endian),
                });
            }
        }
        Ok(tables)
    }

    /// The text at a file offset, up to its end.
    fn text_at(&self, offset: u64) -> io::Result<String> {
        let mut bytes = [0; MAX_NAME];
        let read = self.source.read_at(self.module, offset, &mut bytes)?;
        let text = bytes[..read].split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

/// A symbol table, and where its names are in the file.
struct Table<'i> {
    endian: Endianness,
    sections: &'i [SectionHeader64<Endianness>],
    symbols: &'i [Sym64<Endianness>],
    strings: u64,
    strings_size: u64,
}

impl Table<'_> {
    /// Calls `visit` with every symbol of code, which lacks its name, and with where that is among the names.
    fn for_each(&self, mut visit: impl FnMut(Symbol<'static>, u32)) {
        let endian = self.endian;
        for symbol in self.symbols.iter().take(MAX_SYMBOLS) {
            let kind = symbol.st_type();
            let typed = kind == STT_FUNC || kind == STT_GNU_IFUNC;
            let in_code = || {
                let section = self.sections.get(usize::from(symbol.st_shndx(endian).0));
                section.is_some_and(|section| section.sh_flags(endian).contains(SHF_EXECINSTR))
            };
            let is_code = typed || kind == STT_NOTYPE && in_code();
            if !is_code || symbol.is_undefined(endian) {
                continue;
            }
            let found = Symbol {
                name: &[],
                address: symbol.st_value(endian),
                size: symbol.st_size(endian),
                binding: match symbol.st_bind() {
                    STB_GLOBAL => Binding::Global,
                    STB_WEAK => Binding::Weak,
                    _ => Binding::Local,
                },
                typed,
            };
            visit(found, symbol.st_name(endian));
        }
    }
}
