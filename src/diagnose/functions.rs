//! Names of the functions on a stack, by the symbol tables of their files alone.
//!
//! For decisions that a thread waits for: no debug information, so functions that were inlined go by the name of the one
//! that they are in. What was looked up is remembered by file and address, because faults repeat.

use std::collections::HashMap;

use super::elf::{ElfError, Image};
use super::unwind::{Frame, FrameModule};
use super::{FileVersion, ModuleSource};

/// Frames of one stack that are named.
pub const MAX_FRAMES: usize = 512;
/// Files whose tables are read for one stack.
const MAX_FILES: usize = 32;
/// Names that are remembered.
const MAX_REMEMBERED: usize = 8192;

/// A file, and an address in its own numbering.
type Place = (FileVersion, u64);

/// Names that were looked up before.
#[derive(Debug, Default)]
pub struct Functions {
    remembered: HashMap<Place, Option<String>>,
}

impl Functions {
    /// The function of each frame as its file writes it (mangled); none where no symbol covers the address.
    pub fn names(&mut self, frames: &[Frame], source: &dyn ModuleSource) -> Vec<Option<String>> {
        let places: Vec<Option<(usize, Place)>> = frames
            .iter()
            .take(MAX_FRAMES)
            .map(|frame| place(frame, source))
            .collect();
        let mut unknown: Vec<(usize, Place)> = places.iter().flatten().copied().collect();
        unknown.retain(|(_, place)| !self.remembered.contains_key(place));
        unknown.sort_unstable_by_key(|(module, place)| (*module, place.1));
        unknown.dedup();
        if self.remembered.len() + unknown.len() > MAX_REMEMBERED {
            self.remembered.clear();
        }
        for of_file in unknown
            .chunk_by(|(one, _), (other, _)| one == other)
            .take(MAX_FILES)
        {
            let addresses: Vec<u64> = of_file.iter().map(|(_, place)| place.1).collect();
            // A file that cannot be read names nothing, and is asked again at the next fault.
            if let Ok(names) = look_up(source, of_file[0].0, &addresses) {
                self.remembered
                    .extend(of_file.iter().map(|(_, place)| *place).zip(names));
            }
        }
        let name = |place: Option<(usize, Place)>| self.remembered.get(&place?.1).cloned().flatten();
        places.into_iter().map(name).collect()
    }
}

fn look_up(
    source: &dyn ModuleSource,
    module: usize,
    addresses: &[u64],
) -> Result<Vec<Option<String>>, ElfError> {
    Image::open(source, module)?.functions_at(addresses)
}

/// Which file the code of a frame is in, and the place there that says which function it is.
fn place(frame: &Frame, source: &dyn ModuleSource) -> Option<(usize, Place)> {
    let Some(FrameModule::File(index)) = frame.module else {
        return None;
    };
    let behind_call = u64::from(!frame.is_interrupted());
    let address = frame.address?.wrapping_sub(behind_call);
    Some((index, (source.version(index)?, address)))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::diagnose::elf::tests::Bytes;
    use crate::diagnose::unwind::{FoundBy, FrameKind};

    fn frame(address: u64, found_by: FoundBy) -> Frame {
        Frame {
            pc: address,
            sp: 0,
            kind: FrameKind::Code,
            found_by,
            module: Some(FrameModule::File(0)),
            address: Some(address),
        }
    }

    /// A file whose inode last changed at that time.
    struct Changed(Bytes, i64);

    impl ModuleSource for Changed {
        fn size(&self, module: usize) -> io::Result<u64> {
            self.0.size(module)
        }

        fn read_at(&self, module: usize, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read_at(module, offset, buffer)
        }

        fn version(&self, _: usize) -> Option<FileVersion> {
            Some(FileVersion {
                file: (1, 2),
                size: 3,
                modified: (0, 0),
                changed: (self.1, 0),
            })
        }
    }

    #[test]
    fn the_functions_of_our_own_program_have_their_names() {
        let program = Changed(Bytes(vec![std::fs::read("/proc/self/exe").unwrap()]), 1);
        let (mut low, mut high) = (0, 0);
        let image = Image::open(&program, 0).unwrap();
        image
            .for_each_function(|name, address, size| {
                if name == b"main" {
                    (low, high) = (address, address + size);
                }
            })
            .unwrap();
        let frames = [
            frame(low, FoundBy::Context),
            frame(high, FoundBy::Cfi),
            frame(high, FoundBy::Context),
            frame(1, FoundBy::Context),
        ];
        let mut functions = Functions::default();
        let names = functions.names(&frames, &program);
        let main = Some("main".to_owned());
        assert_eq!((&names[0], &names[1], &names[3]), (&main, &main, &None));
        assert_ne!(names[2], main);
        let gone = |changed| Changed(Bytes(vec![]), changed);
        assert_eq!(functions.names(&frames, &gone(1)), names, "remembered");
        let nothing = [None, None, None, None];
        assert_eq!(functions.names(&frames, &gone(2)), nothing, "another file");
        assert_eq!(Functions::default().names(&frames, &gone(1)), nothing);
    }
}
