//! The symbols of functions, out of both symbol tables.

use object::elf::{self, SHF_EXECINSTR, STB_GLOBAL, STB_WEAK, STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE, Sym64};
use object::read::StringTable;
use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{Endianness, SymbolIndex};

use super::{ElfError, Image};

/// Symbols of one table that are looked at.
const MAX_SYMBOLS: usize = 4_000_000;

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

    /// Calls `visit` with every symbol of code in the symbol tables, dynamic and static.
    pub fn for_each_symbol(&self, mut visit: impl FnMut(Symbol<'_>)) -> Result<(), ElfError> {
        let (header, endian) = self.header()?;
        let sections = header.section_headers(endian, self.data())?;
        for section in sections {
            if !matches!(section.sh_type(endian), elf::SHT_SYMTAB | elf::SHT_DYNSYM) {
                continue;
            }
            let symbols = section.data_as_array::<Sym64<Endianness>, _>(endian, self.data())?;
            let Some(strings) = sections.get(section.sh_link(endian) as usize) else {
                continue;
            };
            let strings = strings.data(endian, self.data())?;
            let strings = StringTable::new(strings, 0, strings.len() as u64);
            for symbol in symbols.iter().take(MAX_SYMBOLS) {
                let kind = symbol.st_type();
                let typed = kind == STT_FUNC || kind == STT_GNU_IFUNC;
                let in_code = || {
                    let index = SymbolIndex(usize::from(symbol.st_shndx(endian).0));
                    let section = sections.get(index.0);
                    section.is_some_and(|section| section.sh_flags(endian).contains(SHF_EXECINSTR))
                };
                let is_code = typed || kind == STT_NOTYPE && in_code();
                if !is_code || symbol.is_undefined(endian) {
                    continue;
                }
                let Ok(name) = symbol.name(endian, strings) else {
                    continue;
                };
                visit(Symbol {
                    name,
                    address: symbol.st_value(endian),
                    size: symbol.st_size(endian),
                    binding: match symbol.st_bind() {
                        STB_GLOBAL => Binding::Global,
                        STB_WEAK => Binding::Weak,
                        _ => Binding::Local,
                    },
                    typed,
                });
            }
        }
        Ok(())
    }
}
