//! Functions by address, from ELF symbol tables.

use std::cmp::Reverse;

use crate::diagnose::{Binding, ElfError, Image, Symbol};

/// The longest name that is kept, bytes; those of deep C++ templates have tens of thousands.
const MAX_NAME: usize = 64 << 10;
/// The most that is kept of the names of one file, bytes.
const MAX_NAMES: usize = 512 << 20;
/// Symbols in front of an address that are looked at for one that reaches over it.
const MAX_BACK: usize = 16;

/// The functions of a module.
#[derive(Default)]
pub(super) struct SymbolTable {
    /// By address.
    functions: Vec<Function>,
    names: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Function {
    address: u64,
    size: u64,
    name: u32,
    name_length: u32,
    rank: Rank,
}

/// Which of several names for one address is shown: the smallest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    typed: Reverse<bool>,
    sized: Reverse<bool>,
    underscores: u8,
    binding: Binding,
}

impl SymbolTable {
    /// Adds the symbols of a file.
    pub(super) fn add(&mut self, image: &Image<'_>) -> Result<(), ElfError> {
        let added = image.for_each_symbol(|symbol| self.push(&symbol));
        self.sort();
        added
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    /// Memory that the table takes, bytes.
    pub(super) fn size(&self) -> usize {
        size_of_val(self.functions.as_slice()) + self.names.len()
    }

    /// The mangled name of the function at an address, and how far the address lies behind its start.
    pub(super) fn find(&self, address: u64) -> Option<(&[u8], u64)> {
        let behind = self
            .functions
            .partition_point(|function| function.address <= address);
        let before = self.functions.get(behind.saturating_sub(MAX_BACK)..behind)?;
        let reaching = |address: u64| {
            let reaches = |function: &&Function| address.wrapping_sub(function.address) < function.size;
            before.iter().rev().find(reaches)
        };
        // A label within a function has no size; it names its part of the code only where nothing else does.
        let label = || {
            before
                .last()
                .filter(|label| label.size == 0 && reaching(label.address).is_none())
        };
        let found = reaching(address).or_else(label)?;
        Some((bytes_of(&self.names, found), address - found.address))
    }

    fn push(&mut self, symbol: &Symbol<'_>) {
        let fits = symbol.name.len() <= MAX_NAME && self.names.len() + symbol.name.len() <= MAX_NAMES;
        if symbol.name.is_empty() || symbol.address == 0 || !fits {
            return;
        }
        let underscores = symbol.name.iter().take_while(|byte| **byte == b'_').count();
        self.functions.push(Function {
            address: symbol.address,
            size: symbol.size,
            name: self.names.len() as u32,
            name_length: symbol.name.len() as u32,
            rank: Rank {
                typed: Reverse(symbol.typed),
                sized: Reverse(symbol.size > 0),
                underscores: underscores.min(255) as u8,
                binding: symbol.binding,
            },
        });
        self.names.extend_from_slice(symbol.name);
    }

    /// By address, with one name for each.
    fn sort(&mut self) {
        let names = &self.names;
        let name = |function: &Function| bytes_of(names, function);
        self.functions.sort_unstable_by(|one, other| {
            let keys = (one.address, one.rank).cmp(&(other.address, other.rank));
            keys.then_with(|| name(one).cmp(name(other)))
        });
        self.functions.dedup_by_key(|function| function.address);
    }
}

/// The name of a function.
fn bytes_of<'n>(names: &'n [u8], function: &Function) -> &'n [u8] {
    let start = function.name as usize;
    names
        .get(start..start + function.name_length as usize)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(symbols: &[(&str, u64, u64, Binding)]) -> SymbolTable {
        let mut table = SymbolTable::default();
        for (name, address, size, binding) in symbols {
            table.push(&Symbol {
                name: name.as_bytes(),
                address: *address,
                size: *size,
                binding: *binding,
                typed: true,
            });
        }
        table.sort();
        table
    }

    #[test]
    fn an_address_belongs_to_the_function_that_reaches_over_it() {
        let table = table(&[
            ("outer", 0x1000, 0x100, Binding::Global),
            ("label", 0x1010, 0, Binding::Local),
            ("assembly", 0x2000, 0, Binding::Local),
        ]);
        let found = |address| {
            table
                .find(address)
                .map(|(name, offset)| (String::from_utf8_lossy(name).into_owned(), offset))
        };
        assert_eq!(found(0x1020), Some(("outer".into(), 0x20)));
        assert_eq!(found(0x10ff), Some(("outer".into(), 0xff)));
        assert_eq!(found(0x1100), None);
        assert_eq!(found(0x2004), Some(("assembly".into(), 4)));
        assert_eq!(found(0xfff), None);
        assert_eq!(SymbolTable::default().find(7), None);
    }

    #[test]
    fn the_name_that_people_use_is_chosen_among_aliases() {
        let table = table(&[
            ("__write", 0x1000, 9, Binding::Weak),
            ("__libc_write", 0x1000, 9, Binding::Global),
            ("write", 0x1000, 9, Binding::Weak),
            ("read", 0x3000, 9, Binding::Local),
            ("__read", 0x3000, 9, Binding::Global),
            ("write2", 0x2000, 9, Binding::Weak),
            ("a_write2", 0x2000, 9, Binding::Weak),
        ]);
        assert_eq!(table.find(0x1000).unwrap().0, b"write");
        assert_eq!(table.find(0x2000).unwrap().0, b"a_write2");
        assert_eq!(table.find(0x3000).unwrap().0, b"read");
    }
}
