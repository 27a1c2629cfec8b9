//! What a file offers to other files, and what it has in place of theirs: its dynamic symbols. Those that it offers are found by
//! the hash table that the dynamic linker uses.

use object::Endianness;
use object::elf::{self, ProgramHeader64, Sym64};
use object::read::elf::{FileHeader, ProgramHeader, Sym, VersionTable};

use super::{ElfError, Image, MAX_NOTES};

impl Image<'_> {
    /// Which of these names the file defines for others, each with its address in the file's own numbering.
    pub fn exports<'n>(&self, names: &[&'n str]) -> Result<Vec<(&'n str, u64)>, ElfError> {
        let (header, endian) = self.header()?;
        let sections = header.sections(endian, self.data())?;
        let Some((table, _)) = sections.gnu_hash(endian, self.data())? else {
            return Ok(Vec::new());
        };
        let symbols = sections.symbols(endian, self.data(), elf::SHT_DYNSYM)?;
        let versions = VersionTable::default();
        let defined = |symbol: &&Sym64<Endianness>| !symbol.is_undefined(endian);
        let find = |name: &str| {
            let hash = elf::gnu_hash(name.as_bytes());
            let found = table.find(endian, name.as_bytes(), hash, None, &symbols, &versions)?;
            Some(found.1)
                .filter(defined)
                .map(|symbol| symbol.st_value(endian))
        };
        let found = names.iter().filter_map(|name| Some((*name, find(name)?)));
        Ok(found.collect())
    }

    /// Which of these names of other files the file has an address of its own for, and that: where code is not
    /// position-independent, a function of a library is what the executable says (x86-64 psABI, "function addresses").
    pub fn stand_ins<'n>(&self, names: &[&'n str]) -> Result<Vec<(&'n str, u64)>, ElfError> {
        let (header, endian) = self.header()?;
        let sections = header.sections(endian, self.data())?;
        let symbols = sections.symbols(endian, self.data(), elf::SHT_DYNSYM)?;
        let found = symbols.iter().filter_map(|symbol| {
            let address = symbol.st_value(endian);
            if !symbol.is_undefined(endian) || address == 0 {
                return None;
            }
            let name = symbols.symbol_name(endian, symbol).ok()?;
            let name = names.iter().find(|wanted| wanted.as_bytes() == name)?;
            Some((*name, address))
        });
        Ok(found.collect())
    }

    /// Whether the file has a note of that owner and type in a loaded segment.
    pub fn has_note(&self, owner: &[u8], kind: u32) -> Result<bool, ElfError> {
        let (header, endian) = self.header()?;
        let segments: &[ProgramHeader64<Endianness>] = header.program_headers(endian, self.data())?;
        for segment in segments {
            let Ok(Some(mut notes)) = segment.notes(endian, self.data()) else {
                continue;
            };
            for _ in 0..MAX_NOTES {
                match notes.next() {
                    Ok(Some(note)) if note.name() == owner && note.n_type(endian).0 == kind => {
                        return Ok(true);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => break,
                }
            }
        }
        Ok(false)
    }
}
