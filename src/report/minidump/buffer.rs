//! A part of a minidump under construction: records one behind the other, and where each lies in the file.

use minidump_common::format::MINIDUMP_LOCATION_DESCRIPTOR;
use scroll::ctx::{SizeWith, TryIntoCtx};
use scroll::{Endian, LE, Pwrite};

/// Records and where they begin in the file.
pub(super) struct Buffer {
    begin: u32,
    bytes: Vec<u8>,
}

impl Buffer {
    /// An empty part that begins at that position of the file.
    pub(super) fn starting_at(begin: u32) -> Self {
        Self {
            begin,
            bytes: Vec::new(),
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Where the next record will begin.
    pub(super) fn position(&self) -> u32 {
        self.begin.saturating_add(self.bytes.len() as u32)
    }

    /// Appends a record of the format.
    pub(super) fn push<T>(&mut self, record: T) -> MINIDUMP_LOCATION_DESCRIPTOR
    where
        T: TryIntoCtx<Endian, Error = scroll::Error> + SizeWith<Endian>,
    {
        let begin = self.bytes.len();
        self.bytes.resize(begin + T::size_with(&LE), 0);
        let written = self.bytes.pwrite_with(record, begin, LE);
        debug_assert!(written.is_ok(), "room was made for it");
        self.since(begin)
    }

    /// How large a record of that kind is.
    pub(super) fn size_of<T: SizeWith<Endian>>() -> u32 {
        T::size_with(&LE) as u32
    }

    /// Appends bytes.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) -> MINIDUMP_LOCATION_DESCRIPTOR {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.since(begin)
    }

    /// Appends a list: how many records, then the records.
    pub(super) fn push_list<T>(&mut self, records: Vec<T>) -> MINIDUMP_LOCATION_DESCRIPTOR
    where
        T: TryIntoCtx<Endian, Error = scroll::Error> + SizeWith<Endian>,
    {
        let begin = self.bytes.len();
        self.push(records.len() as u32);
        for record in records {
            self.push(record);
        }
        self.since(begin)
    }

    /// Appends a text in UTF-16 with its size in front and a zero behind, as most of the format has them.
    pub(super) fn push_text(&mut self, text: &str) -> u32 {
        let position = self.position();
        let units: Vec<u16> = text.encode_utf16().collect();
        self.push(2 * units.len() as u32);
        for unit in units.into_iter().chain([0]) {
            self.push(unit);
        }
        position
    }

    /// Appends a text in UTF-8 with its size in front and a zero behind, as annotations have them.
    pub(super) fn push_utf8(&mut self, text: &str) -> u32 {
        let position = self.position();
        self.push(text.len() as u32);
        self.push_bytes(text.as_bytes());
        self.push_bytes(&[0]);
        position
    }

    fn since(&self, begin: usize) -> MINIDUMP_LOCATION_DESCRIPTOR {
        MINIDUMP_LOCATION_DESCRIPTOR {
            data_size: (self.bytes.len() - begin) as u32,
            rva: self.begin.saturating_add(begin as u32),
        }
    }
}
