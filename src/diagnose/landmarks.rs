//! Functions whose presence on a stack explains an abort.
//!
//! No unwinding here: the words above the stack pointer are looked at one by one, and those that point into code are
//! compared with a handful of functions by the modules' own symbol tables. A stale return address can mislead
//! this; an abort always has its reason close to the top, so only the first part of the stack counts.

use super::elf::{ElfError, Image};
use super::{Cause, ModuleSource};
use crate::capture::maps::Maps;
use crate::capture::{Capture, ModuleFile, StackRange};

/// How much of the stack is searched, bytes from the stack pointer on.
const MAX_STACK: usize = 16 << 10;
/// Modules whose symbols are read for one stack.
const MAX_MODULES: usize = 32;

/// A function that explains an abort, in one module.
struct Landmark {
    low: u64,
    high: u64,
    cause: Cause,
}

/// Searches a stack for the reason of an abort.
pub(super) fn search(
    capture: &Capture,
    stack: &StackRange,
    maps: &Maps,
    source: &dyn ModuleSource,
) -> Option<Cause> {
    let bytes = capture.get(stack.data);
    let below = usize::try_from(stack.pointer.checked_sub(stack.start)?).ok()?;
    let words = bytes.get(below..)?.chunks_exact(8).take(MAX_STACK / 8);
    let words = words.map(|word| {
        word.iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte))
    });
    let mut modules: Vec<(usize, Module<'_>)> = Vec::new();
    let mut found = None;
    for word in words {
        // A return address points behind the call, which may be the last instruction of its function.
        let Some((index, offset)) = code_at(capture, maps, word.wrapping_sub(1)) else {
            continue;
        };
        if modules.iter().all(|(known, _)| *known != index) && modules.len() < MAX_MODULES {
            modules.push((index, Module::read(source, index)));
        }
        let module = modules.iter().find(|(known, _)| *known == index);
        match module.and_then(|(_, module)| module.cause_at(offset)) {
            Some(cause) if found.is_none_or(|outcome| leads_to(cause, outcome)) => {
                if !is_outcome(cause) {
                    return Some(cause);
                }
                found = Some(cause);
            }
            _ => {}
        }
    }
    found
}

/// Whether functions of that cause are also what others end in.
fn is_outcome(cause: Cause) -> bool {
    matches!(cause, Cause::Fortify | Cause::UncaughtException)
}

/// Whether one cause ends in the functions of another: the stack protector reports as fortified calls do, and C++'s
/// library ends the process by `std::terminate` for everything.
fn leads_to(cause: Cause, outcome: Cause) -> bool {
    match outcome {
        Cause::Fortify => cause == Cause::StackSmashing,
        Cause::UncaughtException => {
            matches!(cause, Cause::PureVirtualMethod | Cause::DeletedVirtualMethod)
        }
        _ => false,
    }
}

/// Whether the file that is mapped at an address names functions of a cause, so that a stack without them speaks
/// against it.
pub(super) fn are_known(capture: &Capture, address: u64, cause: Cause, source: &dyn ModuleSource) -> bool {
    let holds = |module: &ModuleFile| (module.low..module.high).contains(&address);
    let module = capture.facts.modules.iter().position(holds);
    module.is_some_and(|index| {
        let landmarks = Module::read(source, index).landmarks;
        landmarks.iter().any(|landmark| landmark.cause == cause)
    })
}

/// The module and file offset of an address in executable memory.
fn code_at(capture: &Capture, maps: &Maps, address: u64) -> Option<(usize, u64)> {
    let (mapping, offset) = maps.file_offset(address)?;
    let holds =
        |module: &ModuleFile| module.low <= address && address < module.high && module.inode == mapping.inode;
    let index = capture.facts.modules.iter().position(holds)?;
    mapping.executable.then_some((index, offset))
}

/// A module's landmarks; without any where its symbols cannot be read.
struct Module<'a> {
    image: Option<Image<'a>>,
    landmarks: Vec<Landmark>,
}

impl<'a> Module<'a> {
    fn read(source: &'a dyn ModuleSource, index: usize) -> Self {
        let read = || -> Result<Self, ElfError> {
            let image = Image::open(source, index)?;
            let mut landmarks = Vec::new();
            image.for_each_function(|name, address, size| {
                landmarks.extend(cause_of(name).map(|cause| Landmark {
                    low: address,
                    high: address.saturating_add(size),
                    cause,
                }));
            })?;
            Ok(Self {
                image: Some(image),
                landmarks,
            })
        };
        read().unwrap_or(Self {
            image: None,
            landmarks: Vec::new(),
        })
    }

    fn cause_at(&self, offset: u64) -> Option<Cause> {
        if self.landmarks.is_empty() {
            return None;
        }
        let address = self.image.as_ref()?.address_of_offset(offset).ok()??;
        let holds = |landmark: &&Landmark| (landmark.low..landmark.high).contains(&address);
        self.landmarks.iter().find(holds).map(|landmark| landmark.cause)
    }
}

/// What a function on the stack says about an abort.
fn cause_of(name: &[u8]) -> Option<Cause> {
    let is = |names: &[&str]| names.iter().any(|known| known.as_bytes() == name);
    let has = |part: &str| name.windows(part.len()).any(|window| window == part.as_bytes());
    if is(&["__stack_chk_fail", "__stack_chk_fail_local"]) {
        Some(Cause::StackSmashing)
    } else if is(&["__fortify_fail", "__chk_fail"]) {
        Some(Cause::Fortify)
    } else if is(&["malloc_printerr"]) {
        Some(Cause::HeapCorruption)
    } else if is(&[
        "__assert_fail",
        "__assert_fail_base",
        "__assert_perror_fail",
        // _GLIBCXX_ASSERTIONS
        "_ZSt21__glibcxx_assert_failPKciS0_S0_",
    ]) {
        Some(Cause::AssertionFailed)
    } else if is(&[
        "_ZSt9terminatev",
        "_ZN10__cxxabiv111__terminateEPFvvE",
        "_ZN9__gnu_cxx27__verbose_terminate_handlerEv",
        // Calls the terminate function of an exception that meets `noexcept`; that one has no exported name.
        "__gxx_personality_v0",
    ]) {
        Some(Cause::UncaughtException)
    } else if is(&["__cxa_pure_virtual"]) {
        Some(Cause::PureVirtualMethod)
    } else if is(&["__cxa_deleted_virtual"]) {
        Some(Cause::DeletedVirtualMethod)
    } else if ["18handle_alloc_error", "__rust_alloc_error_handler"]
        .iter()
        .any(|part| has(part))
    {
        Some(Cause::AllocationFailed)
    } else if [
        "rust_panic",
        "rust_begin_unwind",
        "4core9panicking",
        "3std9panicking",
    ]
    .iter()
    .any(|part| has(part))
    {
        Some(Cause::RustPanic)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::diagnose;
    use crate::diagnose::elf::tests::Bytes;
    use crate::diagnose::sample::{Case, PID, explained};
    use crate::sys::SigNo;
    use crate::sys::signal::SI_TKILL;

    #[test]
    fn names_are_matched_as_they_are_mangled() {
        let cause = |name: &str| cause_of(name.as_bytes());
        assert_eq!(cause("_ZSt9terminatev"), Some(Cause::UncaughtException));
        assert_eq!(
            cause("_ZN4core9panicking5panic17h0123456789abcdefE"),
            Some(Cause::RustPanic)
        );
        assert_eq!(
            cause("_RNvNtCs1234_4core9panicking9panic_fmt"),
            Some(Cause::RustPanic)
        );
        assert_eq!(cause("_RNvCs1234_7___rustc10rust_panic"), Some(Cause::RustPanic));
        assert_eq!(cause("__stack_chk_fail"), Some(Cause::StackSmashing));
        assert_eq!(
            cause("_RNvNtCs1234_5alloc5alloc18handle_alloc_error"),
            Some(Cause::AllocationFailed)
        );
        assert_eq!(cause("main"), None);
        assert_eq!(cause(""), None);
    }

    #[test]
    fn an_abort_without_message_is_told_by_the_stack() {
        let program = Bytes(vec![std::fs::read("/proc/self/exe").unwrap()]);
        let image = Image::open(&program, 0).unwrap();
        let mut panicking = None;
        image
            .for_each_function(|name, address, size| {
                if cause_of(name) == Some(Cause::RustPanic) {
                    panicking = panicking.or((size > 8).then_some(address));
                }
            })
            .unwrap();
        let address = panicking.unwrap();
        // Mapped so that an offset in the file is found at BASE + offset.
        const BASE: u64 = 0x5555_0000_0000;
        let offset = (0..program.0[0].len() as u64)
            .step_by(4096)
            .find_map(|page| {
                let start = image.address_of_offset(page).ok()??;
                (start <= address && address < start + 4096).then(|| page + address - start)
            })
            .unwrap();
        let mut case = Case::sent(SigNo::ABRT, SI_TKILL, PID).stack(&[1, 2, BASE + offset + 4, 3]);
        let maps = format!("{BASE:x}-{:x} r-xp 00000000 fe:00 77 /test\n", BASE + (1 << 32));
        let maps = case.capture.keep(maps.as_bytes());
        case.capture.facts.process.maps = Some(maps);
        case.capture.facts.modules.push(ModuleFile {
            path: "/test".into(),
            low: BASE,
            high: BASE + (1 << 32),
            offset: 0,
            device: (0xfe, 0),
            inode: 77,
            descriptor: Some(0),
        });
        let found = diagnose(&case.capture, &Maps::of(&case.capture), &program).unwrap();
        assert_eq!(
            (found.cause, found.detail.as_str()),
            (Cause::RustPanic, "Rust panic, seen on the stack")
        );
        assert_eq!(explained(&case.capture).cause, Cause::Abort);
    }
}
