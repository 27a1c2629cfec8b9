//! SIGABRT that the process raised: the C library's message, or the functions on the stack.

use super::{Cause, Finding, ModuleSource};
use super::{demangle, landmarks};
use crate::capture::maps::Maps;
use crate::capture::{Capture, ExceptionFacts, FaultFacts, PanicFacts};

/// The longest message that is read, bytes; `assert(3)` quotes its expression in full.
const MAX_MESSAGE: usize = 4 << 10;

/// The message and what it, or the stack, means.
pub(super) struct Abort {
    pub(super) message: Option<String>,
    cause: Cause,
}

impl Abort {
    /// Finds the reason of an abort; cheap where there is none.
    pub(super) fn find(
        capture: &Capture,
        fault: &FaultFacts,
        maps: &Maps,
        source: &dyn ModuleSource,
    ) -> Self {
        let message = fault.abort_message.and_then(|message| text(capture.get(message)));
        let by_message = message.as_deref().and_then(cause_of);
        let by_stack = || {
            let stack = capture.faulting()?.stack?;
            landmarks::search(capture, &stack, maps, source)
        };
        let told = by_message.or_else(by_stack);
        let panic = fault.panic.as_ref().filter(|panic| match told {
            // Without names the stack neither confirms nor denies it.
            None => !landmarks::are_known(capture, panic.location, Cause::RustPanic, source),
            Some(cause) => cause == Cause::RustPanic,
        });
        let cause = told.or(panic.map(|_| Cause::RustPanic)).unwrap_or(Cause::Abort);
        let exception = fault.exception.as_ref();
        let exception = exception.filter(|_| cause == Cause::UncaughtException);
        let said = exception.map(|exception| described(capture, exception));
        Self {
            cause,
            message: message
                .or(said)
                .or_else(|| panic.map(|panic| panicked(capture, panic))),
        }
    }

    /// For signals that are no abort.
    pub(super) fn none() -> Self {
        Self {
            message: None,
            cause: Cause::Abort,
        }
    }

    /// Cause and sentence.
    pub(super) fn explain(&self) -> Finding {
        let detail = match &self.message {
            Some(message) => format!("{}: {}", self.cause, one_line(message)),
            None => match self.cause {
                Cause::Abort => "the process called abort()".to_owned(),
                Cause::UncaughtException => {
                    "std::terminate was called; no exception in flight was found".to_owned()
                }
                Cause::PureVirtualMethod | Cause::DeletedVirtualMethod | Cause::AllocationFailed => {
                    self.cause.to_string()
                }
                cause => format!("{cause}, seen on the stack"),
            },
        };
        Finding::new(self.cause, detail)
    }
}

/// Type and text of an exception, as one line.
fn described(capture: &Capture, exception: &ExceptionFacts) -> String {
    let name = demangle::type_name(capture.get(exception.type_name));
    match exception.text.and_then(|said| text(capture.get(said))) {
        Some(said) => format!("{name}: {said}"),
        None => name,
    }
}

/// What Rust's own hook prints of a panic.
fn panicked(capture: &Capture, panic: &PanicFacts) -> String {
    let file = String::from_utf8_lossy(capture.get(panic.file));
    let place = format!("panicked at {file}:{}:{}", panic.line, panic.column);
    match panic.text.and_then(|said| text(capture.get(said))) {
        Some(said) => format!("{place}: {said}"),
        None => place,
    }
}

/// The lines of a message, as one.
fn one_line(message: &str) -> String {
    let lines: Vec<&str> = message.lines().map(str::trim).collect();
    lines.join("; ")
}

/// The message up to its end.
fn text(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.get(..MAX_MESSAGE.min(bytes.len()))?;
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// What the C library's messages mean (glibc malloc/malloc.c, debug/, assert/assert.c).
fn cause_of(message: &str) -> Option<Cause> {
    const HEAP: &[&str] = &[
        "free(): ",
        "malloc(): ",
        "malloc: ",
        "calloc(): ",
        "realloc(): ",
        "malloc_consolidate(): ",
        "munmap_chunk(): ",
        "mremap_chunk(): ",
        "malloc_check_get_size: ",
        "double free or corruption",
        "corrupted size vs. prev_size",
        "corrupted double-linked list",
        "invalid fastbin entry",
        "chunk is not",
        "unaligned ",
        "break adjusted to free malloc space",
        "tcache_",
    ];
    if message.contains("*** stack smashing detected ***") {
        Some(Cause::StackSmashing)
    } else if message.contains("***")
        && (message.contains(" detected ***") || message.contains("longjmp causes"))
    {
        Some(Cause::Fortify)
    } else if HEAP.iter().any(|start| message.starts_with(start)) {
        Some(Cause::HeapCorruption)
    } else if message.contains("Assertion `")
        || message.contains("Assertion failed")
        || message.contains(": Unexpected error: ")
    {
        Some(Cause::AssertionFailed)
    } else if message.contains("panicked at ") {
        Some(Cause::RustPanic)
    } else if message.starts_with("terminat") {
        Some(Cause::UncaughtException)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::sample::{Case, PID};
    use crate::sys::SigNo;
    use crate::sys::signal::SI_TKILL;

    #[test]
    fn the_c_librarys_messages_are_known() {
        for (message, cause) in [
            ("free(): double free detected in tcache 2", Cause::HeapCorruption),
            ("double free or corruption (!prev)", Cause::HeapCorruption),
            ("corrupted size vs. prev_size", Cause::HeapCorruption),
            (
                "*** stack smashing detected ***: terminated",
                Cause::StackSmashing,
            ),
            ("*** buffer overflow detected ***: terminated", Cause::Fortify),
            ("*** %n in writable segment detected ***", Cause::Fortify),
            (
                "die: die.c:12: main: Assertion `x > 0' failed.",
                Cause::AssertionFailed,
            ),
            (
                "terminating due to uncaught exception of type int",
                Cause::UncaughtException,
            ),
        ] {
            assert_eq!(cause_of(message), Some(cause), "{message}");
        }
        assert_eq!(cause_of("free beer"), None);
    }

    #[test]
    fn a_message_ends_at_its_zero_byte_and_is_bounded() {
        assert_eq!(
            text(b"free(): invalid pointer\n\0garbage").as_deref(),
            Some("free(): invalid pointer")
        );
        assert_eq!(text(b"\n\0"), None);
        assert_eq!(
            text(&vec![b'a'; 1 << 20]).map(|text| text.len()),
            Some(MAX_MESSAGE)
        );
        assert_eq!(text(b"\xff\xfe").as_deref(), Some("\u{fffd}\u{fffd}"));
    }

    #[test]
    fn an_exception_has_its_type_and_text() {
        let mut case = Case::sent(SigNo::ABRT, SI_TKILL, PID);
        let mut described = |name: &[u8], said: Option<&[u8]>| {
            let exception = ExceptionFacts {
                type_name: case.capture.keep(name),
                text: said.map(|said| case.capture.keep(said)),
            };
            super::described(&case.capture, &exception)
        };
        assert_eq!(
            described(b"St13runtime_error", Some(b"the ledger")),
            "std::runtime_error: the ledger"
        );
        assert_eq!(described(b"i", None), "int");
        assert_eq!(described(b"PKc", None), "char const*");
        assert_eq!(described(b"N4http5ErrorE", Some(b"\n")), "http::Error");
        assert_eq!(described(b"(\x1b", None), "(\u{1b}");
    }

    #[test]
    fn aborts_are_told_by_their_message() {
        let abort = || Case::sent(SigNo::ABRT, SI_TKILL, PID);
        let freed = abort()
            .message("free(): double free detected in tcache 2\n")
            .diagnose();
        assert_eq!(freed.cause, Cause::HeapCorruption);
        assert_eq!(
            freed.detail,
            "heap corruption: free(): double free detected in tcache 2"
        );
        assert_eq!(
            freed.abort_message.as_deref(),
            Some("free(): double free detected in tcache 2")
        );
        assert_eq!(abort().cause(), Cause::Abort);
        let strange = abort().message("giving up").told();
        assert_eq!((strange.0, strange.2), (Cause::Abort, "abort: giving up".into()));
    }
}
