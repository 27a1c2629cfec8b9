//! Language-specific data areas of C++: what becomes of an exception that leaves a call.
//!
//! The layout is that of GCC and LLVM (`.gcc_except_table`): a table of call sites, each with a landing pad and a chain of
//! actions, and a table of the types that catch clauses name. A call that no site covers ends in std::terminate.

use gimli::{EndianSlice, LittleEndian, Reader};

use super::MemorySource;

/// Entries that are read of one table, and actions of one chain.
const MAX_SITES: usize = 4096;
const MAX_ACTIONS: usize = 64;
/// "Not there" in place of an encoding (`DW_EH_PE_omit`).
const OMIT: u8 = 0xff;

/// What becomes of an exception that leaves a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// No call site covers the call: std::terminate.
    Terminates,
    /// It goes on to the caller, for a function that has nothing to run, or by what this site says.
    Passes(Option<Site>),
    /// The clauses are tried in order; if none takes it, it goes on.
    Tried(Tried),
}

/// The addresses of the calls that one entry of the table is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Site {
    /// First address.
    pub low: u64,
    /// End, exclusive.
    pub high: u64,
}

/// What is tried on an exception.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tried {
    /// Where the code is entered that handles it.
    pub pad: u64,
    /// In this order.
    pub clauses: Vec<Clause>,
}

/// A clause of a try block or of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clause {
    /// Catches this type, and those derived from it; the address of its `type_info`.
    Catches(u64),
    /// Catches everything. Compilers express `noexcept` that way, too.
    CatchesAll,
    /// An exception specification.
    Specification,
    /// Destructors, after which it goes on.
    CleansUp,
}

/// Looks a call up. `area` are the bytes from address `start` on, `function` is where its function begins, `pc` an address
/// within the call instruction.
///
/// None where the area is not of that layout.
pub fn look_up(
    area: &[u8],
    start: u64,
    function: u64,
    pc: u64,
    memory: &dyn MemorySource,
) -> Option<Outcome> {
    let mut reader = Area {
        rest: EndianSlice::new(area, LittleEndian),
        whole: area.len() as u64,
        start,
    };
    let pads = reader.pointer(memory)?.unwrap_or(function);
    let types = match reader.byte()? {
        OMIT => None,
        encoding => {
            let offset = reader.uleb()?;
            Some((encoding, reader.place().checked_add(offset)?))
        }
    };
    let encoding = reader.byte()?;
    let length = reader.uleb()?;
    let actions = reader.place().checked_add(length)?;
    let mut has_pads = false;
    for _ in 0..MAX_SITES {
        if reader.place() >= actions {
            return Some(Outcome::Terminates);
        }
        let low = function.checked_add(reader.value(encoding)?)?;
        let high = low.checked_add(reader.value(encoding)?)?;
        let pad = reader.value(encoding)?;
        let action = reader.uleb()?;
        if pc < low {
            return Some(Outcome::Terminates);
        }
        if pc >= high {
            has_pads |= pad != 0;
            continue;
        }
        let pad = if pad == 0 { None } else { pads.checked_add(pad) };
        let Some(pad) = pad else {
            let has_pads = has_pads || reader.has_pads(encoding, actions)?;
            return Some(Outcome::Passes(has_pads.then_some(Site { low, high })));
        };
        if action == 0 {
            let clauses = vec![Clause::CleansUp];
            return Some(Outcome::Tried(Tried { pad, clauses }));
        }
        let first = actions.checked_add(action - 1)?;
        let clauses = clauses(area, start, first, types, memory)?;
        return Some(Outcome::Tried(Tried { pad, clauses }));
    }
    None
}

fn clauses(
    area: &[u8],
    start: u64,
    mut at: u64,
    types: Option<(u8, u64)>,
    memory: &dyn MemorySource,
) -> Option<Vec<Clause>> {
    let mut found = Vec::new();
    for _ in 0..MAX_ACTIONS {
        let from = usize::try_from(at.checked_sub(start)?).ok()?;
        let mut rest = EndianSlice::new(area.get(from..)?, LittleEndian);
        let filter = rest.read_sleb128().ok()?;
        let link = at + (area.len() - from - rest.len()) as u64;
        let next = rest.read_sleb128().ok()?;
        match filter {
            0 => found.push(Clause::CleansUp),
            1.. => {
                let (encoding, base) = types?;
                found.push(type_of(encoding, base, filter as u64, memory)?);
            }
            _ => found.push(Clause::Specification),
        }
        if next == 0 {
            return Some(found);
        }
        at = link.checked_add_signed(next)?;
    }
    None
}

/// An entry of the type table, which grows downwards from its base.
fn type_of(encoding: u8, base: u64, index: u64, memory: &dyn MemorySource) -> Option<Clause> {
    let size = match encoding & 0x0f {
        0x02 | 0x0a => 2,
        0x03 | 0x0b => 4,
        0x00 | 0x04 | 0x0c => 8,
        _ => return None,
    };
    let entry = base.checked_sub(index.checked_mul(size)?)?;
    let raw = memory.word(entry, size as usize)?;
    if raw == 0 {
        return Some(Clause::CatchesAll);
    }
    let signed = encoding & 0x08 != 0 && size < 8;
    let value = if signed {
        let shift = 64 - 8 * size as u32;
        ((raw << shift) as i64 >> shift) as u64
    } else {
        raw
    };
    let address = match encoding & 0x70 {
        0x00 => value,
        0x10 => entry.wrapping_add(value),
        _ => return None,
    };
    let address = if encoding & 0x80 == 0 {
        address
    } else {
        memory.word(address, 8)?
    };
    Some(Clause::Catches(address))
}

/// A reader that knows the address it has come to.
struct Area<'a> {
    rest: EndianSlice<'a, LittleEndian>,
    whole: u64,
    start: u64,
}

impl Area<'_> {
    fn place(&self) -> u64 {
        self.start + (self.whole - self.rest.len() as u64)
    }

    fn byte(&mut self) -> Option<u8> {
        self.rest.read_u8().ok()
    }

    fn uleb(&mut self) -> Option<u64> {
        self.rest.read_uleb128().ok()
    }

    /// A length or a distance.
    fn value(&mut self, encoding: u8) -> Option<u64> {
        match encoding & 0x0f {
            0x01 => self.uleb(),
            0x02 => self.rest.read_u16().ok().map(u64::from),
            0x03 | 0x0b => self.rest.read_u32().ok().map(u64::from),
            0x00 | 0x04 | 0x0c => self.rest.read_u64().ok(),
            _ => None,
        }
    }

    /// Whether one of the sites from here on has a landing pad.
    fn has_pads(&mut self, encoding: u8, end: u64) -> Option<bool> {
        for _ in 0..MAX_SITES {
            if self.place() >= end {
                return Some(false);
            }
            let [_, _, pad] = [
                self.value(encoding)?,
                self.value(encoding)?,
                self.value(encoding)?,
            ];
            self.uleb()?;
            if pad != 0 {
                return Some(true);
            }
        }
        None
    }

    /// The address that landing pads count from, where it is another than the function's; that has not been seen yet.
    fn pointer(&mut self, _memory: &dyn MemorySource) -> Option<Option<u64>> {
        match self.byte()? {
            OMIT => Some(None),
            _ => None,
        }
    }
}
