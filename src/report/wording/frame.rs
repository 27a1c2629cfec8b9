//! One frame of a call stack.

use std::fmt;

use super::super::model::{Address, Frame, FrameKind, Report};
use super::place::in_module;

/// What is said of a frame, in parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::report) struct FrameWords {
    /// The program counter; none for the trampoline of a signal's handler.
    pub(in crate::report) address: Option<Address>,
    /// The function, or what stands for it.
    pub(in crate::report) function: Option<String>,
    /// How far behind its start.
    pub(in crate::report) offset: Option<Address>,
    /// `http.cpp:212`
    pub(in crate::report) source: Option<String>,
    /// `api-server+0x11b9`
    pub(in crate::report) place: Option<String>,
    /// What is special about it.
    pub(in crate::report) note: Option<&'static str>,
}

impl FrameWords {
    pub(in crate::report) fn of(report: &Report, frame: &Frame) -> Self {
        if frame.kind == FrameKind::Signal {
            return Self {
                address: None,
                function: Some("<signal handler called>".to_owned()),
                offset: None,
                source: None,
                place: None,
                note: None,
            };
        }
        let source = match (&frame.file, frame.line) {
            (Some(file), Some(line)) => Some(format!("{file}:{line}")),
            (file, _) => file.clone(),
        };
        if frame.kind == FrameKind::Python {
            return Self {
                address: None,
                function: frame.symbol.clone(),
                offset: None,
                source,
                place: None,
                note: Some("Python"),
            };
        }
        let place = match (&frame.module, frame.offset) {
            (Some(module), Some(offset)) => {
                let name = module.rsplit('/').next().unwrap_or(module);
                Some(format!("{name}+{offset}"))
            }
            _ if frame.kind == FrameKind::Jit => None,
            _ => report.module_at(frame.pc).map(|_| in_module(report, frame.pc)),
        };
        Self {
            address: Some(frame.pc),
            function: frame.symbol.clone(),
            offset: frame.symbol_offset.filter(|_| frame.symbol.is_some()),
            source,
            place,
            note: match frame.kind {
                FrameKind::Jit => Some("generated code"),
                _ if frame.inlined => Some("inlined"),
                _ => None,
            },
        }
    }
}

/// `0x00005581000011b9 parse_header+0x19 at http.cpp:212 (api-server+0x11b9)`
impl fmt::Display for FrameWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(address) = self.address {
            write!(f, "{:#018x}", address.0)?;
            separator = " ";
        }
        if let Some(function) = &self.function {
            write!(f, "{separator}{function}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, "+{offset}")?;
        }
        if let Some(source) = &self.source {
            write!(f, " at {source}")?;
        }
        match &self.place {
            Some(place) if self.function.is_some() => write!(f, " ({place})")?,
            Some(place) => write!(f, " {place}")?,
            None => {}
        }
        match self.note {
            Some(note) => write!(f, " [{note}]"),
            None => Ok(()),
        }
    }
}
