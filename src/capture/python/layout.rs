//! Where CPython keeps what, in bytes from the start of each structure.
//!
//! From 3.13 on the runtime begins with a table of offsets for debuggers (`_Py_DebugOffsets`, pycore_runtime.h). For 3.11 and
//! 3.12 they are constants, the same in every release of the two (measured with `offsetof` in the headers of 3.11.2, 3.11.7
//! and 3.12.1; a build with `--with-pydebug` or `--with-trace-refs` differs). 3.14 has another table.

use super::Source;
use super::walk::word;

/// `PY_VERSION_HEX` without the release's last parts.
const V3_11: u32 = 0x030b;
const V3_12: u32 = 0x030c;
const V3_13: u32 = 0x030d;

/// What only builds with `--with-pydebug` offer (object.h, `Py_REF_DEBUG`).
pub(super) const OF_DEBUG_BUILDS: &str = "_Py_NegativeRefcount";

/// The first bytes of the table.
const COOKIE: &[u8; 8] = b"xdebugpy";
/// Words of the table that are read.
const TABLE: usize = 71;

/// How a thread leads to its innermost frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Innermost {
    /// Through a `_PyCFrame`: where the thread has its address, and where that has the frame's.
    Through(usize, usize),
    /// The thread has its address.
    At(usize),
}

/// How a frame tells that the C code of the interpreter was entered for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// A byte that is not zero.
    Flag(usize),
    /// The next frame is none of Python's: its owner is 3 (`FRAME_OWNED_BY_CSTACK`).
    Shim(usize),
}

/// Whether a build keeps things where others of its version do.
///
/// # Errors
///
/// Why it does not, as a sentence.
pub(super) fn check(version: u32, is_debug_build: bool) -> Result<(), String> {
    if matches!(version >> 16, V3_11 | V3_12) && is_debug_build {
        return Err(format!(
            "it is a debug build of Python 3.{}, whose structures are not known",
            version >> 16 & 0xff
        ));
    }
    Ok(())
}

/// The offsets of one version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    /// `_PyRuntimeState`: the first interpreter.
    pub(super) interpreters: usize,
    /// `PyInterpreterState`: the next one, and the first thread.
    pub(super) interpreter_next: usize,
    pub(super) threads: usize,
    /// `PyThreadState`: the next one, the id that gettid(2) gave, the innermost frame.
    pub(super) thread_next: usize,
    pub(super) thread_id: usize,
    pub(super) innermost: Innermost,
    /// `_PyInterpreterFrame`: the frame that called it, its code, its instruction.
    pub(super) previous: usize,
    pub(super) code: usize,
    pub(super) instruction: usize,
    pub(super) entry: Entry,
    /// `PyCodeObject`.
    pub(super) file: usize,
    pub(super) function: usize,
    pub(super) line_table: usize,
    pub(super) first_line: usize,
    pub(super) instructions: usize,
    /// `PyASCIIObject` and `PyCompactUnicodeObject`: how large they are; their text lies behind.
    pub(super) ascii_text: usize,
    pub(super) other_text: usize,
}

impl Layout {
    /// The layout of a version.
    pub(super) fn of(version: u32, runtime: u64, source: &mut impl Source) -> Result<Self, String> {
        match version >> 16 {
            V3_11 => Ok(Self::of_3_11()),
            V3_12 => Ok(Self::of_3_12()),
            V3_13 => Self::from_table(
                &source
                    .read(runtime, 8 * TABLE)
                    .ok_or("the runtime cannot be read")?,
            ),
            other => Err(format!(
                "the structures of Python {}.{} are not known; those of 3.11 to 3.13 are",
                other >> 8,
                other & 0xff
            )),
        }
    }

    fn of_3_11() -> Self {
        Self {
            interpreters: 40,
            interpreter_next: 0,
            threads: 16,
            thread_next: 8,
            thread_id: 160,
            innermost: Innermost::Through(56, 8),
            previous: 48,
            code: 32,
            instruction: 56,
            entry: Entry::Flag(68),
            file: 112,
            function: 128,
            line_table: 136,
            first_line: 72,
            instructions: 184,
            ascii_text: 48,
            other_text: 72,
        }
    }

    fn of_3_12() -> Self {
        Self {
            threads: 72,
            thread_id: 144,
            innermost: Innermost::Through(56, 0),
            previous: 8,
            code: 0,
            entry: Entry::Shim(70),
            first_line: 68,
            instructions: 192,
            ascii_text: 40,
            other_text: 56,
            ..Self::of_3_11()
        }
    }

    fn from_table(table: &[u8]) -> Result<Self, String> {
        if !table.starts_with(COOKIE) {
            return Err("its table of offsets is damaged".to_owned());
        }
        if word(table, 16) != Some(0) {
            return Err("it is a build without the global interpreter lock".to_owned());
        }
        let mut is_plausible = true;
        let mut at = |place: usize| {
            let offset = word(table, 8 * place).and_then(|offset| usize::try_from(offset).ok());
            let offset = offset.filter(|offset| *offset < 1 << 20);
            is_plausible &= offset.is_some();
            offset.unwrap_or(0)
        };
        let layout = Self {
            interpreters: at(5),
            interpreter_next: at(8),
            threads: at(9),
            thread_next: at(21),
            thread_id: at(25),
            innermost: Innermost::At(at(23)),
            previous: at(29),
            code: at(30),
            instruction: at(31),
            entry: Entry::Shim(at(33)),
            file: at(35),
            function: at(37),
            line_table: at(38),
            first_line: at(39),
            instructions: at(43),
            ascii_text: at(70),
            // The length in UTF-8 and its address come before other text.
            other_text: at(70) + 16,
        };
        is_plausible
            .then_some(layout)
            .ok_or_else(|| "its table of offsets is damaged".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V3_13_1: u32 = 0x030d_01f0;

    /// The beginning of a runtime.
    struct Runtime(Vec<u8>);

    impl Source for Runtime {
        fn read(&mut self, _address: u64, len: usize) -> Option<Vec<u8>> {
            self.0.get(..len).map(<[u8]>::to_vec)
        }
    }

    fn table(change: impl FnOnce(&mut [u64])) -> Runtime {
        let mut words: Vec<u64> = (0..TABLE as u64).map(|place| place * 8).collect();
        words[0] = u64::from_le_bytes(*COOKIE);
        words[2] = 0;
        change(&mut words);
        Runtime(words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }

    #[test]
    fn a_table_tells_the_offsets() {
        let layout = Layout::of(V3_13_1, 0, &mut table(|_| ())).unwrap();
        assert_eq!((layout.interpreters, layout.threads), (5 * 8, 9 * 8));
    }

    #[test]
    fn what_is_not_known_is_refused_and_not_guessed() {
        let refused = |version, mut runtime: Runtime| Layout::of(version, 0, &mut runtime).unwrap_err();
        assert_eq!(
            refused(V3_13_1, table(|words| words[2] = 1)),
            "it is a build without the global interpreter lock"
        );
        assert_eq!(
            refused(V3_13_1, table(|words| words[0] = 0)),
            "its table of offsets is damaged"
        );
        assert_eq!(
            refused(V3_13_1, table(|words| words[23] = u64::MAX)),
            "its table of offsets is damaged"
        );
        assert_eq!(
            refused(V3_13_1, Runtime(Vec::new())),
            "the runtime cannot be read"
        );
        for later in [0x030e_00f0, 0x030f_00a1, 0x0400_00f0] {
            let reason = refused(later, table(|_| ()));
            assert!(
                reason.contains("are not known; those of 3.11 to 3.13 are"),
                "{reason}"
            );
        }
        assert!(
            check(0x030b_02f0, true)
                .unwrap_err()
                .contains("debug build of Python 3.11")
        );
        assert_eq!(check(0x030b_02f0, false), Ok(()));
        assert_eq!(check(V3_13_1, true), Ok(()), "its table tells");
    }
}
