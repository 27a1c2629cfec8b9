//! Names of generated code: `/tmp/perf-PID.map`, which just-in-time compilers write for perf(1) (Linux,
//! tools/perf/Documentation/jit-interface.txt).
//!
//! A line is start, size (both hexadecimal) and name. Code that is moved or thrown away is not taken out again, so of
//! several lines that hold an address the last one counts.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

/// The most that is read, bytes.
const MAX_FILE: u64 = 64 << 20;
/// The longest name that is shown, bytes.
const MAX_NAME: usize = 1 << 10;
/// Addresses that are looked up; each look goes through the whole file.
const MAX_LOOKUPS: usize = 4 << 10;

/// The content of the file.
#[derive(Debug, Default)]
pub(super) struct PerfMap {
    text: Vec<u8>,
    /// Start, size, and where in `text` the name is.
    entries: Vec<(u64, u64, std::ops::Range<usize>)>,
    looked_up: usize,
}

impl PerfMap {
    /// Reads the file, if it is the process's own: of one of its `users`.
    pub(super) fn read(file: File, users: &[u32]) -> io::Result<Self> {
        let meta = file.metadata()?;
        if !users.contains(&meta.uid()) {
            return Err(io::Error::other(format!("it belongs to user {}", meta.uid())));
        }
        let mut text = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut text)?;
        Ok(Self::parse(text))
    }

    /// Reads its content; lines that are none are passed over.
    pub(super) fn parse(text: Vec<u8>) -> Self {
        let mut entries = Vec::new();
        let mut at = 0;
        for line in text.split(|byte| *byte == b'\n') {
            if let Some((start, size, name)) = parse_line(line) {
                entries.push((start, size, at + name..at + line.len()));
            }
            at += line.len() + 1;
        }
        Self {
            text,
            entries,
            looked_up: 0,
        }
    }

    /// The name of the code at an address, and how far the address lies behind its start.
    pub(super) fn find(&mut self, address: u64) -> Option<(String, u64)> {
        self.looked_up += 1;
        if self.looked_up > MAX_LOOKUPS {
            return None;
        }
        let holds =
            |(start, size, _): &&(u64, u64, _)| address.checked_sub(*start).is_some_and(|at| at < *size);
        let (start, _, name) = self.entries.iter().rev().find(holds)?;
        let name = self.text.get(name.clone())?;
        let name = String::from_utf8_lossy(name.get(..MAX_NAME).unwrap_or(name)).into_owned();
        Some((name, address - start))
    }
}

/// Start, size, and where in the line the name begins.
fn parse_line(line: &[u8]) -> Option<(u64, u64, usize)> {
    let mut spaces = (0..line.len()).filter(|at| line.get(*at) == Some(&b' '));
    let (first, second) = (spaces.next()?, spaces.next()?);
    let number = |range: std::ops::Range<usize>| {
        let digits = std::str::from_utf8(line.get(range)?).ok()?;
        u64::from_str_radix(digits.strip_prefix("0x").unwrap_or(digits), 16).ok()
    };
    Some((number(0..first)?, number(first + 1..second)?, second + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_line_that_holds_an_address_names_it() {
        let text = b"1000 100 JS:^first file.js:1\nnonsense\n0x1080 10 second\n1000 20 a b\nffffffffffffffff ffffffffffffffff x\n";
        let mut map = PerfMap::parse(text.to_vec());
        assert_eq!(map.find(0x1090), Some(("JS:^first file.js:1".into(), 0x90)));
        assert_eq!(map.find(0x1085), Some(("second".into(), 5)));
        assert_eq!(map.find(0x1000), Some(("a b".into(), 0)));
        assert_eq!(PerfMap::default().find(0x1100), None);
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, b"1000 10 name\n").unwrap();
        let own = nix::unistd::getuid().as_raw();
        let read = |users: &[u32]| PerfMap::read(file.reopen().unwrap(), users);
        assert!(read(&[own]).unwrap().find(0x1001).is_some());
        assert!(read(&[own + 1]).is_err());
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..300), address: u64) {
            PerfMap::parse(text).find(address);
        }

        #[test]
        fn no_line_is_too_strange(lines in "([0-9a-fx ]{0,20}[\\PC]{0,9}\n){0,9}", address: u64) {
            PerfMap::parse(lines.into_bytes()).find(address);
        }
    }
}
