//! The functions of Rust's runtime in a program, by their names: mangled as since version 1.95 (v0) or as before.

use std::sync::Arc;

use crate::diagnose::Image;
use crate::isolate::throw::by_file::ByFile;
use crate::isolate::throw::{Program, Scene};

/// The ends of names: the personality routine; `core::panicking::panic`, in both manglings.
const PERSONALITY: &[u8] = b"rust_eh_personality";
const PANICS: &[u8] = b"4core9panicking5panic";
const PANICS_BEFORE: &[u8] = b"_ZN4core9panicking5panic17h";
/// Parts of names: the crate that unwinds, which panic=abort does without; what runs `main`; what runs the panic hook.
const UNWINDS: &[u8] = b"12panic_unwind";
const ENDERS: &[u8] = b"lang_start";
const HOOKS: &[u8] = b"panic_with_hook";

/// What is kept between faults.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    /// By the place of a personality routine.
    files: ByFile<Arc<Functions>>,
}

/// Functions of one file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Functions {
    /// The address in the file's own numbering that its first mapped byte has.
    first: u64,
    personality: u64,
    /// The function that panics with a text.
    pub(super) panics: Option<u64>,
    /// Whether a panic unwinds.
    pub(super) unwinds: bool,
    /// Functions whose catch ends the process.
    pub(super) enders: Vec<u64>,
    /// Functions that run a panic hook.
    pub(super) hooks: Vec<u64>,
}

/// The runtime of a thread's Rust frames.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Its functions, at their addresses in the process.
    pub(super) functions: Functions,
    /// Its personality routine.
    pub(super) personality: u64,
}

impl Symbols {
    /// Takes up what another one has found out.
    pub(super) fn take_up(&mut self, other: Self) {
        self.files.take_up(other.files);
    }

    /// Looks ahead at the program itself, where most of Rust is.
    pub(super) fn learn(&mut self, program: &Program<'_>) {
        let Some(module) = program.modules.first() else {
            return;
        };
        let Ok(image) = Image::open(program.source, 0) else {
            return;
        };
        let Ok(Some(first)) = image.address_of_offset(module.offset) else {
            return;
        };
        let mut personality = None;
        let visited = image.for_each_function(|name, address, _| {
            if is_personality(name) {
                personality = Some(address);
            }
        });
        if let (Ok(()), Some(address)) = (visited, personality) {
            let there = address.wrapping_sub(first).wrapping_add(module.low);
            self.of_routine(program, there);
        }
    }

    /// The innermost frame of Rust, and the runtime that it belongs to.
    pub(super) fn find(&mut self, scene: &Scene<'_>) -> Option<(usize, Found)> {
        let mut last = None;
        for (index, outer) in scene.outer.frames.iter().enumerate() {
            let routine = outer.procedure.and_then(|procedure| procedure.personality);
            let Some(personality) = routine.and_then(|routine| routine.resolve(scene.live)) else {
                continue;
            };
            if last == Some(personality) {
                continue;
            }
            last = Some(personality);
            if let Some(functions) = self.of_routine(&scene.program, personality) {
                return Some((
                    index,
                    Found {
                        functions,
                        personality,
                    },
                ));
            }
        }
        None
    }

    /// The functions that go with a personality routine at an address, if it is one of Rust, at their addresses in the process.
    pub(super) fn of_routine(&mut self, program: &Program<'_>, personality: u64) -> Option<Functions> {
        let mut modules = program.modules.iter();
        let place = modules.position(|module| (module.low..module.high).contains(&personality))?;
        let low = program.modules.get(place)?.low;
        let distance = personality.wrapping_sub(low);
        let read = |image: &Image<'_>, first: u64| Functions::read(image, first, distance);
        let functions = self.files.at(program, place, distance, read)?;
        let there = |address: &u64| address.wrapping_sub(functions.first).wrapping_add(low);
        Some(Functions {
            first: low,
            personality: there(&functions.personality),
            panics: functions.panics.as_ref().map(there),
            unwinds: functions.unwinds,
            enders: functions.enders.iter().map(there).collect(),
            hooks: functions.hooks.iter().map(there).collect(),
        })
    }
}

impl Functions {
    /// Those of a file, in its own numbering. Most files with a personality routine are not Rust's, and have thousands of
    /// names.
    fn read(image: &Image<'_>, first: u64, personality: u64) -> Option<Arc<Self>> {
        let address = first.wrapping_add(personality);
        let name = image.functions_at(&[address]).ok()?.pop().flatten()?;
        if !is_personality(name.as_bytes()) {
            return None;
        }
        let mut found = Self {
            first,
            ..Self::default()
        };
        image
            .for_each_function(|name, address, _| found.take(name, address))
            .ok()?;
        (found.personality == address).then(|| Arc::new(found))
    }

    /// Takes up a symbol, if it is one that counts.
    fn take(&mut self, name: &[u8], address: u64) {
        let name = plain(name);
        if is_personality(name) {
            self.personality = address;
        } else if name.starts_with(b"_R") && name.ends_with(PANICS) || name.starts_with(PANICS_BEFORE) {
            self.panics = Some(address);
        }
        let contains = |part: &[u8]| memchr::memmem::find(name, part).is_some();
        self.unwinds |= contains(UNWINDS);
        if contains(ENDERS) {
            self.enders.push(address);
        }
        if contains(HOOKS) {
            self.hooks.push(address);
        }
    }
}

fn is_personality(name: &[u8]) -> bool {
    plain(name).ends_with(PERSONALITY)
}

/// A name without what a compiler that optimises the whole program appends.
fn plain(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == b'.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_known_by_their_names_in_both_manglings() {
        let mut found = Functions::default();
        for (address, name) in [
            "_RNvCsfLfy6EI15iL_7___rustc17rust_eh_personality",
            "_RNvNtCsgEmfK2I1SDS_4core9panicking5panic",
            "_RNvNtCsgEmfK2I1SDS_4core9panicking14panic_nounwind",
            "_RNvNvNtCsiGO2KWI1TB6_12panic_unwind3imp5panic17exception_cleanup",
            "_RNvNtCsjrHSEGnQ3l9_3std2rt19lang_start_internal",
            "_RNvNtCsjrHSEGnQ3l9_3std9panicking15panic_with_hook",
        ]
        .into_iter()
        .enumerate()
        {
            found.take(name.as_bytes(), address as u64);
        }
        let expected = Functions {
            first: 0,
            personality: 0,
            panics: Some(1),
            unwinds: true,
            enders: vec![4],
            hooks: vec![5],
        };
        assert_eq!(found, expected);
        let mut before = Functions::default();
        before.take(b"_ZN4core9panicking5panic17h0123456789abcdefE.llvm.42", 7);
        before.take(b"_ZN4core9panicking9panic_fmt17h0123456789abcdefE", 8);
        before.take(b"rust_eh_personality", 9);
        assert_eq!((before.panics, before.personality), (Some(7), 9));
        assert!(!before.unwinds);
    }
}
