//! Names as their languages write them.
//!
//! The scheme is told by its prefix, never tried: as a C++ type, the C function `h` would be `unsigned char`.

use std::fmt::{self, Write};

use cpp_demangle::DemangleOptions;

/// The longest name that is shown, bytes. A mangled name of a hundred bytes can stand for gigabytes.
const MAX_SHOWN: usize = 4 << 10;

/// The name for people. Bytes that are not UTF-8 become U+FFFD; what is too long ends in `...`.
pub fn demangled(mangled: &[u8]) -> String {
    let name = String::from_utf8_lossy(mangled);
    let demangled = if name.starts_with("_R") || is_legacy_rust(&name) {
        rust(&name)
    } else if name.starts_with("_Z") {
        cpp(&name)
    } else {
        None
    };
    demangled
        .or_else(|| shown(|out| out.write_str(&name)))
        .unwrap_or_default()
}

/// A C++ type for people, by the name in its `std::type_info`.
pub(super) fn type_name(mangled: &[u8]) -> String {
    // As a type alone, a name would be tried where it is told here by its prefix.
    const INFO: &str = "typeinfo name for ";
    let name = demangled(&[b"_ZTS", mangled].concat());
    match name.strip_prefix(INFO) {
        Some(name) => name.to_owned(),
        None => demangled(mangled),
    }
}

/// `_ZN...17h0123456789abcdefE`: Rust's names before the scheme of their own, C++ names but for the hash. Compilers
/// may have appended something (`.llvm.123`).
fn is_legacy_rust(name: &str) -> bool {
    /// Digits of the hash.
    const HASH: usize = 16;
    let hash = name.strip_prefix("_ZN").and_then(|rest| rest.rsplit_once("17h"));
    let hash = hash.and_then(|(_, hash)| hash.split_at_checked(HASH));
    hash.is_some_and(|(hash, rest)| {
        hash.bytes().all(|byte| byte.is_ascii_hexdigit()) && rest.starts_with('E')
    })
}

fn rust(name: &str) -> Option<String> {
    let symbol = rustc_demangle::try_demangle(name).ok()?;
    // The alternate form leaves out the hash.
    shown(|out| write!(out, "{symbol:#}"))
}

/// What compilers append for parts and copies of functions (`.cold`, `.isra.0`) follows in brackets, as binutils write
/// it; a symbol's version (`@GLIBCXX_3.4`) does not.
fn cpp(name: &str) -> Option<String> {
    let (stem, suffix) = name.find(['@', '.']).map_or((name, ""), |at| name.split_at(at));
    let symbol = cpp_demangle::Symbol::new(stem).ok()?;
    let options = DemangleOptions::new().no_return_type();
    shown(|out| {
        symbol.structured_demangle(&mut *out, &options)?;
        match suffix.starts_with('.') && !suffix.starts_with(".llvm.") {
            true => write!(out, " [clone {suffix}]"),
            false => Ok(()),
        }
    })
}

/// What is written, up to the longest that is shown.
fn shown(write: impl FnOnce(&mut Shown) -> fmt::Result) -> Option<String> {
    let mut out = Shown::default();
    match write(&mut out) {
        Ok(()) => Some(out.text),
        Err(_) => out.cut.then_some(out.text),
    }
}

/// Text that refuses to grow beyond [`MAX_SHOWN`], which ends the demangler's work.
#[derive(Default)]
struct Shown {
    text: String,
    cut: bool,
}

impl Write for Shown {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if self.text.len() + piece.len() <= MAX_SHOWN {
            self.text.push_str(piece);
            return Ok(());
        }
        if !self.cut {
            self.cut = true;
            let mut room = MAX_SHOWN.saturating_sub(self.text.len()).min(piece.len());
            while !piece.is_char_boundary(room) {
                room -= 1;
            }
            self.text.push_str(&piece[..room]);
            self.text.push_str("...");
        }
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_language_is_told_by_its_prefix() {
        for (mangled, name) in [
            ("h", "h"),
            ("main", "main"),
            ("_start", "_start"),
            (
                "_ZN4http12parse_headerERKSs",
                "http::parse_header(std::string const&)",
            ),
            ("_ZSt9terminatev", "std::terminate()"),
            ("_Z3foov.cold", "foo() [clone .cold]"),
            ("_Z3foov.llvm.1234", "foo()"),
            ("memcpy@@GLIBC_2.14", "memcpy@@GLIBC_2.14"),
            ("runtime.goexit.abi0", "runtime.goexit.abi0"),
            (
                "_ZN4core9panicking5panic17h0123456789abcdefE",
                "core::panicking::panic",
            ),
            (
                "_ZN115_$LT$core..panic..unwind_safe..AssertUnwindSafe$LT$F$GT$$u20$as$u20$core..ops..function..FnOnce\
                 $LT$$LP$$RP$$GT$$GT$9call_once17ha9a5c3303b723865E.llvm.77",
                "<core::panic::unwind_safe::AssertUnwindSafe<F> as core::ops::function::FnOnce<()>>::call_once",
            ),
            ("_RNvCs15kBYyAo9fc_7mycrate7example", "mycrate::example"),
            ("_Zmalformed", "_Zmalformed"),
        ] {
            assert_eq!(demangled(mangled.as_bytes()), name, "{mangled}");
        }
        assert_eq!(demangled(b"\xff\xfeh"), "\u{fffd}\u{fffd}h");
    }

    #[test]
    fn a_name_that_explodes_is_cut() {
        let mut bomb = String::from("_Z1fIiE");
        for _ in 0..60 {
            bomb = format!(
                "_Z1fI{}E",
                "S_".repeat(2).replace("S_", &bomb[2..bomb.len().min(40)])
            );
        }
        assert!(demangled(bomb.as_bytes()).len() <= MAX_SHOWN + 3 + bomb.len());
        let long = "x".repeat(3 * MAX_SHOWN);
        let shown = demangled(long.as_bytes());
        assert!(shown.len() == MAX_SHOWN + 3 && shown.ends_with("..."));
    }

    proptest! {
        #[test]
        fn no_name_is_too_strange(name in proptest::collection::vec(any::<u8>(), 0..200), prefix in 0..4_usize) {
            let prefixed = [["", "_Z", "_R", "_ZN"][prefix].as_bytes(), &name].concat();
            prop_assert!(demangled(&prefixed).len() <= MAX_SHOWN + 3);
        }

        #[test]
        fn no_grammar_is_too_deep(name in "_Z[NIJSTE0-9a-z_]{0,120}") {
            prop_assert!(demangled(name.as_bytes()).len() <= MAX_SHOWN + 3);
        }
    }
}
