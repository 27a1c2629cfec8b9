//! A report as another program would read it: `report.json` by its published names.

use std::path::{Path, PathBuf};

/// Bytes below the stack pointer that are captured with the stack (System V ABI, the red zone).
const RED_ZONE: u64 = 128;

use serde_json::Value;

/// One report directory with its parsed `report.json`.
#[derive(Clone)]
pub(crate) struct Report {
    directory: PathBuf,
    model: Value,
}

impl Report {
    /// Reads a report; none if the directory holds no complete one.
    pub(crate) fn read(directory: PathBuf) -> Option<Self> {
        let text = std::fs::read_to_string(directory.join("report.json")).ok()?;
        Some(Self {
            model: serde_json::from_str(&text).ok()?,
            directory,
        })
    }

    /// The report's directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The whole model.
    pub(crate) fn model(&self) -> &Value {
        &self.model
    }

    /// The value at a path such as `fault.cause`; fails if it is absent.
    #[track_caller]
    pub(crate) fn at(&self, path: &str) -> &Value {
        at(&self.model, path).unwrap_or_else(|| panic!("no {path} in {self:?}"))
    }

    /// True if there is something at the path.
    pub(crate) fn has(&self, path: &str) -> bool {
        at(&self.model, path).is_some()
    }

    /// A string at a path.
    #[track_caller]
    pub(crate) fn text(&self, path: &str) -> &str {
        self.at(path)
            .as_str()
            .unwrap_or_else(|| panic!("{path} is not a string in {self:?}"))
    }

    /// A number at a path.
    #[track_caller]
    pub(crate) fn number(&self, path: &str) -> i64 {
        self.at(path)
            .as_i64()
            .unwrap_or_else(|| panic!("{path} is not a number in {self:?}"))
    }

    /// An address at a path.
    #[track_caller]
    pub(crate) fn address(&self, path: &str) -> u64 {
        hexadecimal(self.at(path)).unwrap_or_else(|| panic!("{path} is not an address in {self:?}"))
    }

    /// The entries of a list at a path.
    #[track_caller]
    pub(crate) fn list(&self, path: &str) -> &[Value] {
        self.at(path)
            .as_array()
            .unwrap_or_else(|| panic!("{path} is not a list in {self:?}"))
    }

    /// The path of the module that contains an address.
    pub(crate) fn module_at(&self, address: u64) -> Option<&str> {
        let contains = |module: &&Value| {
            let bound = |name| hexadecimal(&module[name]);
            bound("low").is_some_and(|low| low <= address) && bound("high").is_some_and(|high| address < high)
        };
        self.list("modules").iter().find(contains)?["path"].as_str()
    }

    /// The captured stack of a thread: the address of its first byte and the bytes.
    #[track_caller]
    pub(crate) fn stack_of(&self, thread: &Value) -> (u64, Vec<u8>) {
        let stack = &thread["stack"];
        let file = stack["file"]
            .as_str()
            .unwrap_or_else(|| panic!("no stack file in {stack}"));
        let offset = usize::try_from(stack["offset"].as_u64().unwrap()).unwrap();
        let captured = usize::try_from(stack["captured"].as_u64().unwrap()).unwrap();
        let memory = self.memory(file);
        let bytes = memory.get(offset..offset + captured).unwrap_or_else(|| {
            panic!(
                "{offset}+{captured} is outside {file} with its {} bytes",
                memory.len()
            );
        });
        let low = hexadecimal(&stack["low"]).expect("stack.low");
        let pointer = hexadecimal(&stack["pointer"]).expect("stack.pointer");
        (low.max(pointer.saturating_sub(RED_ZONE)), bytes.to_vec())
    }

    /// A file of captured bytes, decompressed if its name says so.
    #[track_caller]
    pub(crate) fn memory(&self, file: &str) -> Vec<u8> {
        let bytes = std::fs::read(self.directory.join(file)).expect("read captured memory");
        if file.ends_with(".zst") {
            zstd::decode_all(bytes.as_slice()).expect("decompress captured memory")
        } else {
            bytes
        }
    }
}

/// Enough to understand a failed test; the lists of a report fill screens.
impl std::fmt::Debug for Report {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut short = self.model.clone();
        if let Some(model) = short.as_object_mut() {
            for list in [
                "threads",
                "modules",
                "maps",
                "files",
                "memory",
                "environment",
                "limits",
                "logs",
            ] {
                model.remove(list);
            }
        }
        write!(formatter, "{}: {short:#}", self.directory.display())
    }
}

/// An address as the model writes it: "0x7f...".
pub(crate) fn hexadecimal(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

fn at<'a>(model: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(model, |value, name| match name.parse::<usize>() {
            Ok(index) => value.get(index),
            Err(_) => value.get(name),
        })
        .filter(|value| !value.is_null())
}
