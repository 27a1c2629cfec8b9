//! The files that a process has mapped code from, opened while it exists.
//!
//! `/proc/PID/map_files` leads to the mapped file itself, whatever its path means by now, but asks for
//! CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE (proc_pid_map_files(5)). Without those the path is followed inside the
//! process's root, and the file is taken only if device and inode are those of the mapping: by its metadata, or where a
//! file system has others for mappings, by a mapping of our own.
//!
//! What a report is to be made of is opened at once. A decision needs few of the files, and opens those when it comes to
//! them; what is known of one by its metadata needs no opening at all. The other threads run meanwhile, and may map another
//! file there: one whose metadata are others by then is not opened.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use crate::sys::mapped::MappedFile;
use crate::sys::{Pid, Tid};

use super::maps::{Mapping, Maps};
use super::{Capture, ModuleFile};

/// The most mapped files that are listed and opened.
const MAX_MODULES: usize = 1024;

/// The files of a process's modules, each opened once, when it is asked for.
#[derive(Debug, Default)]
pub struct ModuleFiles(Vec<Late>);

/// The modules of a process that goes on meanwhile.
#[derive(Debug)]
pub struct Loaded {
    /// Its memory map.
    pub maps: Maps,
    /// Its modules.
    pub modules: Vec<ModuleFile>,
    /// Their files.
    pub files: ModuleFiles,
}

impl Loaded {
    /// What that process has loaded; nothing where it has ended.
    pub fn by(process: Pid) -> Self {
        let leader = process.leader();
        let mut capture = Capture::default();
        capture.copy_maps(process, leader);
        let maps = Maps::of(&capture);
        Self {
            files: capture.list_modules(process, leader, &maps),
            modules: capture.facts.modules,
            maps,
        }
    }
}

/// A file that is opened when it is asked for, by a mapping of it.
#[derive(Debug)]
struct Late {
    pid: Pid,
    tid: Tid,
    mapping: Mapping,
    /// What was said of it before it was opened.
    metadata: OnceCell<Metadata>,
    opened: OnceCell<io::Result<File>>,
}

impl ModuleFiles {
    /// The file of a module (it counts [`Facts::modules`](super::Facts::modules)).
    ///
    /// # Errors
    ///
    /// It cannot be opened, or the one at its path is another.
    pub fn file(&self, module: usize) -> io::Result<&File> {
        let file = self.late(module)?.file();
        file.map_err(|error| io::Error::new(error.kind(), error.to_string()))
    }

    /// The metadata of a module's file.
    ///
    /// # Errors
    ///
    /// As of [`ModuleFiles::file`].
    pub fn metadata(&self, module: usize) -> io::Result<Metadata> {
        let late = self.late(module)?;
        if let Some(known) = late.metadata.get() {
            return Ok(known.clone());
        }
        let metadata = match fs::metadata(late.exact_path()) {
            Ok(metadata) if late.opened.get().is_none() => metadata,
            _ => self.file(module)?.metadata()?,
        };
        Ok(late.metadata.get_or_init(|| metadata).clone())
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        let opened = self.0.iter().filter_map(|late| late.opened.get());
        opened.filter(|opened| opened.is_ok()).count()
    }

    /// Those that are open.
    pub(super) fn into_open(self) -> impl Iterator<Item = File> {
        self.0
            .into_iter()
            .filter_map(|late| late.opened.into_inner()?.ok())
    }

    fn late(&self, module: usize) -> io::Result<&Late> {
        let absent = || io::Error::new(io::ErrorKind::NotFound, "there is no such module");
        self.0.get(module).ok_or_else(absent)
    }
}

impl Late {
    fn file(&self) -> Result<&File, &io::Error> {
        self.opened.get_or_init(|| self.open()).as_ref()
    }

    fn open(&self) -> io::Result<File> {
        let file = self
            .open_exactly()
            .or_else(|_| open_by_path(self.tid, &self.mapping))?;
        match self.metadata.get() {
            Some(known) if !is_same(known, &file.metadata()?) => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "another file is mapped there now",
            )),
            _ => Ok(file),
        }
    }

    fn open_exactly(&self) -> io::Result<File> {
        let path = self.exact_path();
        // To open a device may do something.
        if !fs::metadata(&path)?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is no regular file",
            ));
        }
        open_readable(&path)
    }

    fn exact_path(&self) -> String {
        let Self { pid, mapping, .. } = self;
        format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.low, mapping.high)
    }
}

impl Capture {
    /// Lists the mapped files with code.
    pub(super) fn list_modules(&mut self, pid: Pid, tid: Tid, maps: &Maps) -> ModuleFiles {
        let mut places: HashMap<((u32, u32), u64), usize> = HashMap::new();
        let mut code: Vec<Option<Mapping>> = Vec::new();
        for mapping in maps.iter().filter(|mapping| mapping.inode != 0) {
            let key = (mapping.device, mapping.inode);
            let place = *places.entry(key).or_insert_with(|| {
                self.facts.modules.push(module_of(mapping));
                code.push(None);
                code.len() - 1
            });
            self.facts.modules[place].high = mapping.high;
            if mapping.executable && code[place].is_none() {
                code[place] = Some(mapping.clone());
            }
        }
        let mut with_code = code.iter().map(Option::is_some);
        self.facts.modules.retain(|_| with_code.next().unwrap_or(false));
        let code: Vec<Mapping> = code.into_iter().flatten().collect();
        if self.facts.modules.len() > MAX_MODULES {
            self.miss(
                "modules",
                format!(
                    "only the first {MAX_MODULES} of {} are listed",
                    self.facts.modules.len()
                ),
            );
            self.facts.modules.truncate(MAX_MODULES);
        }
        let late = |mapping| Late {
            pid,
            tid,
            mapping,
            metadata: OnceCell::new(),
            opened: OnceCell::new(),
        };
        ModuleFiles(code.into_iter().take(MAX_MODULES).map(late).collect())
    }

    /// Opens the files of all modules, and notes their places among the descriptors.
    pub(super) fn open_modules(&mut self, files: &ModuleFiles) {
        let mut next = 0;
        for (place, late) in files.0.iter().enumerate() {
            match late.file() {
                Ok(_) => {
                    self.facts.modules[place].descriptor = Some(next);
                    next += 1;
                }
                Err(error) => self.miss(format!("module {}", late.mapping.name), error),
            }
        }
    }

    /// The first module of a kind, if its file can be opened.
    pub(super) fn opened<'a>(
        &self,
        files: &'a ModuleFiles,
        is_wanted: impl Fn(&ModuleFile) -> bool,
    ) -> Option<(&ModuleFile, &'a File)> {
        let place = self.facts.modules.iter().position(is_wanted)?;
        Some((self.facts.modules.get(place)?, files.file(place).ok()?))
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    let version = |of: &Metadata| {
        let times = (of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec());
        (of.dev(), of.ino(), of.size(), times)
    };
    version(one) == version(other)
}

fn module_of(mapping: &Mapping) -> ModuleFile {
    ModuleFile {
        path: mapping.name.clone(),
        low: mapping.low,
        high: mapping.high,
        offset: mapping.offset,
        device: mapping.device,
        inode: mapping.inode,
        descriptor: None,
    }
}

fn open_by_path(tid: Tid, mapping: &Mapping) -> io::Result<File> {
    let path = mapping.name.strip_suffix(" (deleted)").unwrap_or(&mapping.name);
    let place = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_CLOEXEC)
        .open(format!("/proc/{tid}/root{path}"))?;
    let meta = place.metadata()?;
    let other = || {
        io::Error::new(
            io::ErrorKind::NotFound,
            "the file at its path is not the one that is mapped",
        )
    };
    if !meta.is_file() {
        return Err(other());
    }
    let file = open_readable(&format!("/proc/self/fd/{}", place.as_raw_fd()))?;
    let device = (libc::major(meta.dev()), libc::minor(meta.dev()));
    if (device, meta.ino()) == (mapping.device, mapping.inode) || is_mapped_alike(&file, mapping)? {
        Ok(file)
    } else {
        Err(other())
    }
}

/// Whether a mapping of that file is of the same one.
fn is_mapped_alike(file: &File, mapping: &Mapping) -> io::Result<bool> {
    let ours = MappedFile::new(file)?;
    let maps = Maps::parse(&fs::read("/proc/self/maps")?);
    let ours = maps.iter().find(|own| own.low == ours.address());
    Ok(ours.is_some_and(|ours| (ours.device, ours.inode) == (mapping.device, mapping.inode)))
}

fn open_readable(path: &str) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_modules_are_found_by_either_way() {
        let pid = Pid(std::process::id() as i32);
        let maps = Maps::parse(&std::fs::read("/proc/self/maps").unwrap());
        let mut capture = Capture::default();
        let files = capture.list_modules(pid, pid.leader(), &maps);
        let metadata = files.metadata(0).unwrap();
        assert_eq!(files.open(), 0, "its metadata need no open file");
        assert_eq!(files.file(0).unwrap().metadata().unwrap().ino(), metadata.ino());
        assert_eq!(files.open(), 1);
        capture.open_modules(&files);
        assert_eq!(files.open(), capture.facts.modules.len());
        assert!(files.file(capture.facts.modules.len()).is_err());
        // One that is replaced between its metadata and its opening.
        let files = capture.list_modules(pid, pid.leader(), &maps);
        let other = fs::metadata("/proc/self/maps").unwrap();
        files.0[0].metadata.set(other).unwrap();
        assert!(files.file(0).is_err());
        let libc = capture
            .facts
            .modules
            .iter()
            .find(|module| module.path.contains("libc.so"))
            .unwrap();
        assert!(libc.low < libc.high && libc.descriptor.is_some());
        let mapping = maps.iter().find(|mapping| mapping.name == libc.path).unwrap();
        assert!(open_by_path(pid.leader(), mapping).is_ok());
        let other = Mapping {
            inode: mapping.inode + 1,
            ..mapping.clone()
        };
        assert!(open_by_path(pid.leader(), &other).is_err());
        // Where metadata have other numbers, as on an overlay, this alone tells.
        let file = File::open(&libc.path).unwrap();
        assert!(is_mapped_alike(&file, mapping).unwrap());
        assert!(!is_mapped_alike(&file, &other).unwrap());
        let empty = tempfile::tempfile().unwrap();
        assert!(!is_mapped_alike(&empty, mapping).unwrap());
        let maps = || {
            fs::read_to_string("/proc/self/maps")
                .unwrap()
                .matches(&libc.path)
                .count()
        };
        let before = maps();
        assert!(is_mapped_alike(&file, mapping).unwrap());
        assert_eq!(maps(), before, "nothing stays mapped");
    }
}
