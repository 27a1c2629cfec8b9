//! Whether a fault can become an exception of its program, worked out from the thread's stack in place.

use std::os::fd::OwnedFd;

use crate::capture::Capture;
use crate::capture::maps::{Maps, is_c_library};
use crate::diagnose::Image;
use crate::diagnose::unwind::{OuterFrame, TableCache, flight};
use crate::isolate::throw;
use crate::sys::memory::Memory;
use crate::sys::ptrace::Stopped;

use super::source::{Files, Live};

/// The function that throws a std::runtime_error with a text, exported by libstdc++ for its own headers.
const THROWS: &[u8] = b"_ZSt21__throw_runtime_errorPKc";
/// The personality routine of C++.
const PERSONALITY: &[u8] = b"__gxx_personality_v0";
/// The most frames that are followed.
const MAX_FRAMES: usize = 64;
/// The most that is read of one function's data area, bytes.
pub(super) const MAX_AREA: usize = 32 << 10;
/// How many files' symbols are remembered.
const MAX_FILES: usize = 16;

/// What is kept between faults.
#[derive(Debug, Default)]
pub(super) struct Throwing {
    files: Vec<((u32, u32), u64, Symbols)>,
}

/// Addresses in a file.
#[derive(Clone, Copy, Debug)]
struct Symbols {
    throws: u64,
    personality: u64,
}

impl Throwing {
    /// Puts the thread in front of a throw.
    ///
    /// # Errors
    ///
    /// Why that is not possible, as a clause of a sentence.
    pub(super) fn prepare(
        &mut self,
        thread: &Stopped,
        capture: &Capture,
        files: &[OwnedFd],
        maps: &Maps,
        text: &str,
        tables: &mut TableCache,
    ) -> Result<(), String> {
        let source = Files { capture, files };
        let symbols = self
            .symbols(capture, &source)
            .ok_or("the process has no C++ library that throws for others")?;
        let memory = Memory::open(thread.tid());
        let live = Live(&memory);
        let outer = source.outer_frames(thread, &live, tables, MAX_FRAMES)?;
        let area = |address| memory.read_span(address, MAX_AREA);
        let flight = flight(&outer, symbols.personality, &live, &area)?;
        allocates_safely(&outer.frames[..flight.from], maps)?;
        let frame = &outer.frames[flight.from];
        throw::prepare(thread, frame, symbols.throws, text, maps).map_err(|error| error.to_string())
    }

    /// The address of C++'s personality routine in the process.
    pub(super) fn personality(&mut self, capture: &Capture, source: &Files<'_>) -> Option<u64> {
        Some(self.symbols(capture, source)?.personality)
    }

    /// The two functions' addresses in the process.
    fn symbols(&mut self, capture: &Capture, source: &Files<'_>) -> Option<Symbols> {
        let modules = &capture.facts.modules;
        let place = modules
            .iter()
            .position(|module| file_name(&module.path).starts_with("libstdc++.so"))
            .or((!modules.is_empty()).then_some(0))?;
        let module = &modules[place];
        let image = Image::open(source, place).ok()?;
        let linked = image.address_of_offset(module.offset).ok()??;
        let known = self
            .files
            .iter()
            .find(|(device, inode, _)| (*device, *inode) == (module.device, module.inode));
        let found = match known {
            Some((.., symbols)) => *symbols,
            None => {
                let (mut throws, mut personality) = (None, None);
                image
                    .for_each_function(|name, address, _| match name {
                        THROWS => throws = Some(address),
                        PERSONALITY => personality = Some(address),
                        _ => {}
                    })
                    .ok()?;
                let symbols = Symbols {
                    throws: throws?,
                    personality: personality?,
                };
                self.files.truncate(MAX_FILES - 1);
                self.files.insert(0, (module.device, module.inode, symbols));
                symbols
            }
        };
        let bias = module.low.wrapping_sub(linked);
        Some(Symbols {
            throws: found.throws.wrapping_add(bias),
            personality: found.personality.wrapping_add(bias),
        })
    }
}

/// A throw allocates. Of the C library's functions only those that keep nothing on the stack are known not to be in the
/// middle of an allocation: copying and comparing, where a bad pointer usually shows.
fn allocates_safely(popped: &[OuterFrame], maps: &Maps) -> Result<(), String> {
    for (index, outer) in popped.iter().enumerate() {
        let in_library = maps
            .find(outer.frame.pc)
            .is_some_and(|mapping| is_c_library(&mapping.name) || mapping.name.contains("/ld-linux"));
        let is_leaf = index == 0 && outer.cfa == Some(outer.frame.sp.wrapping_add(8));
        if in_library && !is_leaf {
            return Err("it is inside the C library, which may hold a lock of its own".to_owned());
        }
    }
    Ok(())
}

pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}
