//! The mapped files, read through the descriptors that came with the capture.
//!
//! Nothing is mapped: a file that is truncated meanwhile would otherwise raise SIGBUS in the recorder.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::bound::bounded;
use crate::capture::maps::Maps;
use crate::capture::{Capture, MemoryRange, ModuleFile, Purpose};
use crate::diagnose::{ElfError, Image, InMemory, ModuleSource};
use crate::report::model::Module;

/// Modules that a report lists.
const MAX_MODULES: usize = 10_000;
/// What the vdso is called.
pub(super) const VDSO: &str = "[vdso]";

/// The files of a capture's modules.
#[derive(Debug)]
pub struct Descriptors<'a> {
    modules: &'a [ModuleFile],
    files: &'a [File],
}

impl<'a> Descriptors<'a> {
    /// Joins the modules of a capture with the descriptors that they count.
    pub fn new(capture: &'a Capture, files: &'a [File]) -> Self {
        Self {
            modules: &capture.facts.modules,
            files,
        }
    }

    fn file(&self, module: usize) -> io::Result<&File> {
        let descriptor = self.modules.get(module).and_then(|module| module.descriptor);
        let file = descriptor.and_then(|descriptor| self.files.get(usize::try_from(descriptor).ok()?));
        file.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it could not be opened"))
    }
}

impl ModuleSource for Descriptors<'_> {
    fn size(&self, module: usize) -> io::Result<u64> {
        let metadata = self.file(module)?.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is no regular file",
            ));
        }
        Ok(metadata.len())
    }

    fn read_at(&self, module: usize, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file(module)?.read_at(buffer, offset)
    }
}

/// The modules for a report, with their build ids, and why one has none where that is worth saying.
pub(super) fn describe(
    capture: &Capture,
    maps: &Maps,
    source: &dyn ModuleSource,
    mut miss: impl FnMut(String, String),
) -> Vec<Module> {
    let modules = capture.facts.modules.iter().enumerate();
    let listed = bounded(modules, MAX_MODULES, |(_, module)| module.path.len()).told("modules", &mut miss);
    let mut described = Vec::with_capacity(listed.len());
    for (index, module) in listed {
        let build_id = match build_id(source, index) {
            Ok(id) => id,
            // Fonts, archives and databases are mapped too.
            Err(_) if !runs_code(maps, module) => None,
            Err(error) => {
                miss(format!("build id of {}", module.path), error.to_string());
                None
            }
        };
        described.push(Module {
            path: module.path.clone(),
            build_id,
            low: module.low.into(),
            high: module.high.into(),
        });
    }
    described.extend(vdso(capture));
    described
}

/// The bytes of the vdso; empty where they were not captured.
pub(super) fn vdso_bytes(capture: &Capture) -> &[u8] {
    vdso_range(capture).map_or(&[], |range| capture.get(range.data))
}

fn vdso_range(capture: &Capture) -> Option<&MemoryRange> {
    let mut memory = capture.facts.memory.iter();
    memory.find(|range| range.purpose == Purpose::Vdso)
}

/// The vdso, a module that the kernel maps without a file.
fn vdso(capture: &Capture) -> Option<Module> {
    let range = vdso_range(capture)?;
    let bytes = capture.get(range.data);
    Some(Module {
        path: VDSO.to_owned(),
        build_id: build_id(&InMemory(bytes), 0).ok().flatten(),
        low: range.start.into(),
        high: range.start.saturating_add(bytes.len() as u64).into(),
    })
}

fn build_id(source: &dyn ModuleSource, module: usize) -> Result<Option<String>, ElfError> {
    Ok(Image::open(source, module)?.build_id()?.map(hex::encode))
}

fn runs_code(maps: &Maps, module: &ModuleFile) -> bool {
    maps.iter().any(|mapping| {
        mapping.executable
            && mapping.inode == module.inode
            && (module.low..module.high).contains(&mapping.low)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(path: &str, descriptor: Option<u32>) -> ModuleFile {
        ModuleFile {
            path: path.to_owned(),
            low: 0x1000,
            high: 0x9000,
            offset: 0,
            device: (1, 2),
            inode: 5,
            descriptor,
        }
    }

    #[test]
    fn what_is_no_program_is_told_only_where_code_runs_from_it() {
        let mut capture = Capture::default();
        capture.facts.modules = vec![
            module("/bin/true", Some(0)),
            module("/dev/null", Some(1)),
            module("/etc/passwd", Some(2)),
            module("/gone", None),
            module("/lying", Some(99)),
        ];
        let files: Vec<_> = ["/bin/true", "/dev/null", "/etc/passwd"]
            .iter()
            .map(|path| File::open(path).unwrap())
            .collect();
        let source = Descriptors::new(&capture, &files);
        let told = |maps: &[u8]| {
            let mut missing = Vec::new();
            let found = describe(&capture, &Maps::parse(maps), &source, |step, reason| {
                missing.push(format!("{step}: {reason}"));
            });
            (found, missing)
        };
        let (found, missing) = told(b"");
        assert_eq!(found.len(), 5);
        assert!(
            found[0].build_id.as_deref().is_some_and(|id| id.len() >= 16),
            "{:?}",
            found[0]
        );
        assert_eq!(missing, Vec::<String>::new());
        let (_, missing) = told(b"2000-3000 r-xp 00000000 01:02 5 /x\n");
        assert_eq!(missing.len(), 4, "{missing:?}");
        assert!(missing[0].ends_with("it is no regular file"), "{missing:?}");
        assert!(missing[2].ends_with("it could not be opened"), "{missing:?}");
    }
}
