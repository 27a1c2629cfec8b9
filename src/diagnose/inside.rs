//! What a thread is in the middle of that others need it to finish.
//!
//! The locks of an allocator and of the dynamic loader say nothing of who holds them, and nobody hands them on when their
//! holder ends. So what counts is where the thread is: a thread with a function of these on its stack is taken to hold
//! their locks. So is one inside the C library, which keeps locks of its own almost everywhere; only functions that call
//! nothing and keep nothing on the stack, such as strlen(3), are known to hold none.
//!
//! A stack that cannot be followed to its beginning hides what else is on it, and counts as much.

use super::unwind::{CallStack, Frame, FrameKind, FrameModule, Truncation};
use crate::capture::ModuleFile;
use crate::capture::maps::is_c_library;

/// Functions of allocators, without the prefixes below.
const ALLOCATOR: [&str; 23] = [
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "free",
    "cfree",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
    "valloc",
    "pvalloc",
    "malloc_trim",
    "malloc_info",
    "mallinfo",
    "malloc_usable_size",
    "int_malloc",
    "int_free",
    "int_realloc",
    "sysmalloc",
    "systrim",
    "malloc_consolidate",
    "mallocx",
    "sdallocx",
];
/// What allocators put in front of these names: glibc, jemalloc, mimalloc, tcmalloc, and their Rust builds.
const PREFIXES: [&str; 9] = [
    "__libc_",
    "__rust_",
    "_rjem_je_",
    "_rjem_",
    "je_",
    "mi_",
    "tc_",
    "__",
    "_",
];
/// C++: `operator new` and `operator delete`, mangled.
const OPERATORS: [&str; 4] = ["_Znw", "_Zna", "_Zdl", "_Zda"];
/// Functions of the dynamic loader that programs call, and what its own begin with.
const LOADER: [&str; 8] = [
    "dlopen",
    "dlmopen",
    "dlclose",
    "dlsym",
    "dlvsym",
    "dladdr",
    "dlinfo",
    "dl_iterate_phdr",
];
const OF_LOADER: [&str; 2] = ["_dl_", "dl_open_worker"];
/// What ends a process: a thread that stays here keeps it from ending.
const ENDING: [&str; 4] = ["exit", "quick_exit", "__cxa_finalize", "__run_exit_handlers"];
/// Functions that raise a signal in their own thread, and hold no lock while they do.
const RAISING: [&str; 8] = [
    "raise",
    "gsignal",
    "abort",
    "pthread_kill",
    "__pthread_kill",
    "__assert_fail",
    "__assert_perror_fail",
    "__assert",
];
/// Where a process begins, in its program's file.
const START: &str = "_start";
/// Bytes that a call leaves on the stack.
const RETURN_ADDRESS: u64 = 8;

/// What a thread is in the middle of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Inside {
    /// An allocation, by that function.
    Allocator(String),
    /// The dynamic loader, in that function where it is known.
    Loader(Option<String>),
    /// The end of the process, in that function.
    Ending(String),
    /// A function of the C library.
    CLibrary(Option<String>),
    /// Nobody knows, and why.
    Unknown(String),
}

impl Inside {
    /// As the end of a sentence about a thread: "it is ...".
    pub fn sentence(&self) -> String {
        let named = |name: &Option<String>| {
            name.as_ref()
                .map_or_else(String::new, |name| format!(" (`{name}`)"))
        };
        match self {
            Self::Allocator(name) => format!("it is inside the allocator (`{name}`), whose lock it may hold"),
            Self::Loader(name) => format!(
                "it is inside the dynamic loader{}, whose lock it may hold",
                named(name)
            ),
            Self::Ending(name) => format!("it is ending the process (`{name}`), which nobody else would do"),
            Self::CLibrary(name) => {
                format!(
                    "it is inside the C library{}, which may hold a lock of its own",
                    named(name)
                )
            }
            Self::Unknown(why) => format!("whether it is inside an allocator is not known: {why}"),
        }
    }
}

/// Looks through a stack, whose functions have those names. `raised`: the thread sent its signal itself, from inside the
/// C library.
pub fn inside(
    stack: &CallStack,
    names: &[Option<String>],
    modules: &[ModuleFile],
    raised: bool,
) -> Option<Inside> {
    let frames = &stack.frames[..stack.frames.len().min(names.len())];
    let name = |place: usize| names.get(place).and_then(Option::as_deref);
    let mut named = (0..frames.len()).filter_map(|place| by_name(name(place)?));
    let is_in = |frame: &Frame, is: fn(&str) -> bool| {
        module_of(frame, modules).is_some_and(|module| is(&module.path))
    };
    let is_library = |place: &usize| {
        let frame = &frames[*place];
        frame.kind == FrameKind::Code && is_in(frame, is_part_of_c_library)
    };
    let in_loader = frames.iter().position(|frame| is_in(frame, is_loader));
    let loader = || Some(Inside::Loader(name(in_loader?).map(str::to_owned)));
    let library = || {
        // Threads and processes begin in the C library, which calls the program.
        let begins = |place: &usize| is_library(place) || name(*place) == Some(START);
        let end = (1..frames.len())
            .rev()
            .find(|place| !begins(place))
            .map_or(1, |last| last + 1);
        let raising = || {
            let leading = (0..frames.len()).take_while(is_library);
            leading
                .filter(|place| name(*place).is_some_and(|name| RAISING.contains(&name)))
                .last()
        };
        let start = if raised {
            raising().map_or(0, |last| last + 1)
        } else {
            0
        };
        let holds = |place: &usize| is_library(place) && !is_leaf(frames, *place);
        let found = (start..end).find(holds)?;
        // The function that the program called says more than what that called.
        let called = (found..end).take_while(is_library).filter_map(name).last();
        Some(Inside::CLibrary(called.map(str::to_owned)))
    };
    let unknown = || match stack.truncated {
        None | Some(Truncation::Limit(_)) if has_c_library(modules) || names.iter().any(Option::is_some) => {
            None
        }
        None | Some(Truncation::Limit(_)) => Some(Inside::Unknown(
            "the program has its C library built in, and no symbols".to_owned(),
        )),
        Some(why) => Some(Inside::Unknown(why.to_string())),
    };
    named.next().or_else(loader).or_else(library).or_else(unknown)
}

/// What a function tells by its name.
fn by_name(name: &str) -> Option<Inside> {
    let plain = name.split(['@', '.']).next().unwrap_or_default();
    let stem = PREFIXES
        .iter()
        .find_map(|prefix| plain.strip_prefix(prefix))
        .unwrap_or(plain);
    let is_allocator = |name: &str| ALLOCATOR.contains(&name);
    if is_allocator(plain) || is_allocator(stem) || OPERATORS.iter().any(|start| plain.starts_with(start)) {
        Some(Inside::Allocator(plain.to_owned()))
    } else if LOADER.contains(&plain) || OF_LOADER.iter().any(|start| plain.starts_with(start)) {
        Some(Inside::Loader(Some(plain.to_owned())))
    } else if ENDING.contains(&plain) {
        Some(Inside::Ending(plain.to_owned()))
    } else {
        None
    }
}

/// Whether a frame is of a function that calls nothing and keeps nothing on the stack.
fn is_leaf(frames: &[Frame], place: usize) -> bool {
    let caller = frames.get(place + 1);
    let own = &frames[place];
    own.is_interrupted() && caller.is_some_and(|caller| caller.sp == own.sp.wrapping_add(RETURN_ADDRESS))
}

fn module_of<'a>(frame: &Frame, modules: &'a [ModuleFile]) -> Option<&'a ModuleFile> {
    match frame.module {
        Some(FrameModule::File(index)) => modules.get(index),
        _ => None,
    }
}

fn has_c_library(modules: &[ModuleFile]) -> bool {
    modules.iter().any(|module| is_c_library(&module.path))
}

/// Whether a mapped file is the C library, or what was a file of its own in former versions.
fn is_part_of_c_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    is_c_library(path) || name.starts_with("libpthread")
}

/// Whether a mapped file is a dynamic loader and nothing else; musl's is the C library as well.
fn is_loader(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.starts_with("ld-linux") || name.starts_with("ld-2.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::unwind::FoundBy;

    const PROGRAM: usize = 0;
    const LIBRARY: usize = 1;
    const LINKER: usize = 2;

    fn modules(paths: &[&str]) -> Vec<ModuleFile> {
        let module = |path: &&str| ModuleFile {
            path: (*path).to_owned(),
            low: 0,
            high: 0,
            offset: 0,
            device: (0, 0),
            inode: 1,
            descriptor: None,
        };
        paths.iter().map(module).collect()
    }

    /// A stack of modules and functions, innermost first; each frame takes 32 bytes.
    fn told(frames: &[(usize, &str)], truncated: Option<Truncation>, raised: bool) -> Option<Inside> {
        let all = modules(&["/bin/server", "/lib/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        told_among(&all, frames, truncated, raised)
    }

    fn told_among(
        all: &[ModuleFile],
        frames: &[(usize, &str)],
        truncated: Option<Truncation>,
        raised: bool,
    ) -> Option<Inside> {
        let names: Vec<Option<String>> = frames
            .iter()
            .map(|(_, name)| (!name.is_empty()).then(|| (*name).to_owned()))
            .collect();
        let frame = |(place, (module, name)): (usize, &(usize, &str))| Frame {
            pc: 0x1000,
            // A leaf's caller lies 8 bytes above it.
            sp: 0x1000 + 32 * place as u64 + if name.starts_with("leaf") { 24 } else { 0 },
            kind: FrameKind::Code,
            found_by: if place == 0 {
                FoundBy::Context
            } else {
                FoundBy::Cfi
            },
            module: Some(FrameModule::File(*module)),
            address: Some(0),
        };
        let stack = CallStack {
            frames: frames.iter().enumerate().map(frame).collect(),
            truncated,
        };
        inside(&stack, &names, all, raised)
    }

    const START_OF_THREAD: [(usize, &str); 2] = [(LIBRARY, ""), (LIBRARY, "__clone3")];

    fn in_thread(frames: &[(usize, &str)]) -> Option<Inside> {
        told(&[frames, &START_OF_THREAD].concat(), None, false)
    }

    #[test]
    fn a_thread_in_the_program_s_own_code_is_in_the_middle_of_nothing() {
        assert_eq!(in_thread(&[(PROGRAM, "parse"), (PROGRAM, "work")]), None);
        assert_eq!(in_thread(&[(LIBRARY, "leaf_strlen"), (PROGRAM, "work")]), None);
        let main = [
            (PROGRAM, "main"),
            (LIBRARY, ""),
            (LIBRARY, "__libc_start_main"),
            (PROGRAM, "_start"),
        ];
        assert_eq!(told(&main, None, false), None);
    }

    #[test]
    fn allocators_are_known_by_name_wherever_they_are() {
        for name in [
            "malloc",
            "__libc_free",
            "_int_malloc",
            "_rjem_je_malloc",
            "mi_malloc",
            "_Znwm",
            "_ZdlPvm",
        ] {
            let found = in_thread(&[(PROGRAM, ""), (PROGRAM, name), (PROGRAM, "work")]);
            assert_eq!(found, Some(Inside::Allocator(name.to_owned())));
        }
        assert_eq!(
            in_thread(&[(PROGRAM, "free_request"), (PROGRAM, "freedom")]),
            None
        );
    }

    #[test]
    fn the_c_library_counts_but_where_it_calls_nothing_or_is_called_by_nobody() {
        let library = |name: &str| Some(Inside::CLibrary(Some(name.to_owned())));
        assert_eq!(
            in_thread(&[(LIBRARY, "leaf_strlen"), (LIBRARY, "vfprintf"), (PROGRAM, "log")]),
            library("vfprintf")
        );
        assert_eq!(
            in_thread(&[(PROGRAM, "compare"), (LIBRARY, "qsort"), (PROGRAM, "work")]),
            library("qsort")
        );
        assert_eq!(
            in_thread(&[(LIBRARY, "fclose"), (PROGRAM, "work")]),
            library("fclose")
        );
        assert_eq!(
            in_thread(&[]),
            Some(Inside::CLibrary(None)),
            "a thread of its own"
        );
        assert_eq!(
            in_thread(&[(LINKER, ""), (PROGRAM, "work")]),
            Some(Inside::Loader(None))
        );
        assert_eq!(
            in_thread(&[
                (PROGRAM, "constructor"),
                (LINKER, "_dl_init"),
                (LIBRARY, "dlopen"),
                (PROGRAM, "load")
            ]),
            Some(Inside::Loader(Some("_dl_init".to_owned())))
        );
        let ends = [
            (PROGRAM, "at_exit"),
            (LIBRARY, "exit"),
            (LIBRARY, ""),
            (PROGRAM, "_start"),
        ];
        assert_eq!(told(&ends, None, false), Some(Inside::Ending("exit".to_owned())));
    }

    #[test]
    fn a_signal_that_the_thread_raised_came_from_inside_the_c_library() {
        let frames = [
            (LIBRARY, ""),
            (LIBRARY, "raise"),
            (LIBRARY, "abort"),
            (PROGRAM, "check"),
            (LIBRARY, ""),
        ];
        assert_eq!(told(&frames, None, true), None);
        assert_eq!(
            told(&frames, None, false),
            Some(Inside::CLibrary(Some("abort".to_owned())))
        );
        let inner = [
            (LIBRARY, "raise"),
            (LIBRARY, "abort"),
            (LIBRARY, "fwrite"),
            (PROGRAM, "log"),
            (LIBRARY, ""),
        ];
        assert_eq!(
            told(&inner, None, true),
            Some(Inside::CLibrary(Some("fwrite".to_owned())))
        );
    }

    #[test]
    fn what_cannot_be_seen_counts_as_much() {
        let hidden = told(
            &[(PROGRAM, "parse")],
            Some(Truncation::NoInformation(0x7000)),
            false,
        );
        assert!(matches!(hidden, Some(Inside::Unknown(_))), "{hidden:?}");
        assert_eq!(
            told(&[(PROGRAM, "parse")], Some(Truncation::Limit(1)), false),
            None
        );
        let alone = modules(&["/bin/static"]);
        let built_in = told_among(&alone, &[(PROGRAM, ""), (PROGRAM, "")], None, false);
        assert!(matches!(built_in, Some(Inside::Unknown(_))), "{built_in:?}");
        assert_eq!(
            told_among(&alone, &[(PROGRAM, "parse"), (PROGRAM, "main")], None, false),
            None
        );
    }
}
