//! Names with their namespaces and classes, for functions that have no symbol to tell them: inlined ones.
//!
//! DWARF says where a function is declared by the nesting of its entries, and an entry does not know its parent. So
//! the named scopes of a unit are listed once, with the range of entries that each encloses.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use gimli::{AttributeValue, UnitOffset, UnitRef, constants};

use super::lines::Slice;

/// References from an entry to the one that declares it.
const MAX_REFERENCES: usize = 8;
/// Entries of all units of a file that are looked at; those of the largest programs have more, and lose scopes.
const MAX_ENTRIES: usize = 20_000_000;
/// Scopes within each other.
const MAX_DEPTH: usize = 32;

/// The scopes of a file's units, listed as they are asked for.
#[derive(Default)]
pub(super) struct Scopes {
    units: RefCell<HashMap<usize, Rc<[Scope]>>>,
    entries: Cell<usize>,
}

/// One scope with a name, and where in its unit the entries in it are.
struct Scope {
    low: usize,
    high: usize,
    name: String,
}

impl Scopes {
    /// The names around the declaration of a function, outermost first, with `::` behind each; empty where there are
    /// none.
    pub(super) fn prefix(&self, unit: UnitRef<'_, Slice<'_>>, function: UnitOffset) -> String {
        let Some(declared) = declaration(unit, function) else {
            return String::new();
        };
        let scopes = self.of(unit);
        let around = scopes
            .iter()
            .filter(|scope| (scope.low..scope.high).contains(&declared.0));
        around
            .take(MAX_DEPTH)
            .map(|scope| format!("{}::", scope.name))
            .collect()
    }

    fn of(&self, unit: UnitRef<'_, Slice<'_>>) -> Rc<[Scope]> {
        let key = unit
            .header
            .debug_info_offset()
            .map_or(usize::MAX, |offset| offset.0);
        let known = self.units.borrow().get(&key).cloned();
        known.unwrap_or_else(|| {
            let listed: Rc<[Scope]> = self.list(unit).into();
            self.units.borrow_mut().insert(key, Rc::clone(&listed));
            listed
        })
    }

    /// The scopes of a unit, outer before inner.
    fn list(&self, unit: UnitRef<'_, Slice<'_>>) -> Vec<Scope> {
        let mut scopes: Vec<Scope> = Vec::new();
        // Places in `scopes` and depths of those that the current entry is in.
        let mut open: Vec<(usize, isize)> = Vec::new();
        let mut entries = unit.entries();
        while let (Ok(Some(entry)), true) = (entries.next_dfs(), self.entries.get() < MAX_ENTRIES) {
            self.entries.set(self.entries.get() + 1);
            while let Some((scope, _)) = open.pop_if(|(_, depth)| *depth >= entry.depth()) {
                scopes[scope].high = entry.offset().0;
            }
            let name = match entry.tag() {
                constants::DW_TAG_namespace => Some("(anonymous namespace)"),
                constants::DW_TAG_class_type
                | constants::DW_TAG_structure_type
                | constants::DW_TAG_union_type => Some("(anonymous)"),
                constants::DW_TAG_subprogram => None,
                _ => continue,
            };
            let own = entry
                .attr_value(constants::DW_AT_name)
                .and_then(|value| unit.attr_string(value).ok());
            let own = own.map(|name| name.to_string_lossy().into_owned());
            let Some(name) = own
                .or_else(|| name.map(str::to_owned))
                .filter(|_| entry.has_children())
            else {
                continue;
            };
            open.push((scopes.len(), entry.depth()));
            scopes.push(Scope {
                low: entry.offset().0 + 1,
                high: usize::MAX,
                name,
            });
        }
        scopes
    }
}

/// Where in its unit a function is declared.
fn declaration(unit: UnitRef<'_, Slice<'_>>, function: UnitOffset) -> Option<UnitOffset> {
    let mut at = function;
    for _ in 0..MAX_REFERENCES {
        let entry = unit.entry(at).ok()?;
        let origin = entry.attr_value(constants::DW_AT_abstract_origin);
        match origin.or_else(|| entry.attr_value(constants::DW_AT_specification)) {
            Some(AttributeValue::UnitRef(next)) => at = next,
            // Declared in another unit, by link-time optimisation.
            Some(_) => return None,
            None => return Some(at),
        }
    }
    None
}
