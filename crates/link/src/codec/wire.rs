//! MessagePack, element by element: just what records are made of.

use rmp::{Marker, decode, encode};

use super::BadRecord;

/// How deep a field may nest that is passed over without being looked at.
const SKIP_DEPTH: usize = 16;

/// Writes a record's fields in order.
#[derive(Debug)]
pub(super) struct Writer<'v>(&'v mut Vec<u8>);

impl<'v> Writer<'v> {
    /// Begins a record with that many fields behind its kind.
    pub(super) fn record(into: &'v mut Vec<u8>, kind: u64, fields: u32) -> Self {
        let mut writer = Self(into);
        writer.array(fields + 1).u64(kind);
        writer
    }

    pub(super) fn array(&mut self, elements: u32) -> &mut Self {
        // Writing to a Vec can't fail.
        let _ = encode::write_array_len(self.0, elements);
        self
    }

    pub(super) fn u64(&mut self, number: u64) -> &mut Self {
        let _ = encode::write_uint(self.0, number);
        self
    }

    pub(super) fn u32(&mut self, number: u32) -> &mut Self {
        self.u64(number.into())
    }

    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        let _ = encode::write_bool(self.0, value);
        self
    }

    pub(super) fn str(&mut self, text: &str) -> &mut Self {
        let _ = encode::write_str(self.0, text);
        self
    }

    pub(super) fn nil(&mut self) -> &mut Self {
        let _ = encode::write_nil(self.0);
        self
    }

    pub(super) fn opt_u64(&mut self, number: Option<u64>) -> &mut Self {
        match number {
            Some(number) => self.u64(number),
            None => self.nil(),
        }
    }

    pub(super) fn opt_str(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.str(text),
            None => self.nil(),
        }
    }

    pub(super) fn bin(&mut self, bytes: &[u8]) -> &mut Self {
        let _ = encode::write_bin(self.0, bytes);
        self
    }

    /// Numbers as bytes, four each: many of them are read faster than as elements.
    pub(super) fn numbers(&mut self, numbers: impl ExactSizeIterator<Item = u32>) -> &mut Self {
        let bytes = 4 * numbers.len();
        let _ = encode::write_bin_len(self.0, u32::try_from(bytes).expect("no link has 2^30 connections"));
        self.0.reserve(bytes);
        for number in numbers {
            self.0.extend_from_slice(&number.to_be_bytes());
        }
        self
    }
}

/// Reads a record's fields in order.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

/// An array being read: how many of its elements are still to come.
#[derive(Debug)]
#[must_use = "what isn't known of it must be passed over"]
pub(super) struct Elements(u32);

impl Elements {
    /// At least so many come; how many more there are.
    pub(super) fn at_least(self, known: u32) -> Result<Elements, BadRecord> {
        self.0.checked_sub(known).map(Elements).ok_or(BadRecord::Unreadable)
    }
}

impl<'a> Reader<'a> {
    /// Begins a record: its kind, and its fields.
    pub(super) fn record(bytes: &'a [u8]) -> Result<(Self, u64, Elements), BadRecord> {
        let mut reader = Self(bytes);
        let fields = reader.enter()?.at_least(1)?;
        let kind = reader.u64()?;
        Ok((reader, kind, fields))
    }

    /// Ends a record: passes over the fields that this release doesn't know. Nothing may come behind it.
    pub(super) fn end(mut self, unknown: Elements) -> Result<(), BadRecord> {
        self.leave(unknown)?;
        if self.0.is_empty() { Ok(()) } else { Err(BadRecord::Unreadable) }
    }

    /// Begins an array. [`leave`](Self::leave) ends it.
    pub(super) fn enter(&mut self) -> Result<Elements, BadRecord> {
        decode::read_array_len(&mut self.0).map(Elements).map_err(|_| BadRecord::Unreadable)
    }

    /// Passes over the elements of an array that this release doesn't know.
    pub(super) fn leave(&mut self, Elements(unknown): Elements) -> Result<(), BadRecord> {
        for _ in 0..unknown {
            let length = decode::MessageLen::with_limits(SKIP_DEPTH, self.0.len())
                .incremental_len(self.0)
                .map_err(|_| BadRecord::Unreadable)?;
            self.take(length)?;
        }
        Ok(())
    }

    pub(super) fn u64(&mut self) -> Result<u64, BadRecord> {
        decode::read_int(&mut self.0).map_err(|_| BadRecord::Unreadable)
    }

    pub(super) fn u32(&mut self) -> Result<u32, BadRecord> {
        decode::read_int(&mut self.0).map_err(|_| BadRecord::Unreadable)
    }

    pub(super) fn bool(&mut self) -> Result<bool, BadRecord> {
        decode::read_bool(&mut self.0).map_err(|_| BadRecord::Unreadable)
    }

    pub(super) fn str(&mut self) -> Result<&'a str, BadRecord> {
        let length = decode::read_str_len(&mut self.0).map_err(|_| BadRecord::Unreadable)?;
        std::str::from_utf8(self.take(length as usize)?).map_err(|_| BadRecord::Unreadable)
    }

    /// A text that is a name, or whatever else has a rule of its own.
    pub(super) fn name<T: std::str::FromStr>(&mut self, field: &'static str) -> Result<T, BadRecord> {
        self.str()?.parse().map_err(|_| BadRecord::Field(field))
    }

    pub(super) fn bin(&mut self) -> Result<&'a [u8], BadRecord> {
        let length = decode::read_bin_len(&mut self.0).map_err(|_| BadRecord::Unreadable)?;
        self.take(length as usize)
    }

    /// What [`Writer::numbers`] wrote.
    pub(super) fn numbers(&mut self) -> Result<impl ExactSizeIterator<Item = u32> + use<'a>, BadRecord> {
        let (numbers, rest) = self.bin()?.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(BadRecord::Field("list"));
        }
        Ok(numbers.iter().map(|number| u32::from_be_bytes(*number)))
    }

    /// Nothing, or what `read` finds.
    pub(super) fn opt<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, BadRecord>,
    ) -> Result<Option<T>, BadRecord> {
        if self.0.first() == Some(&Marker::Null.to_u8()) {
            self.0 = &self.0[1..];
            return Ok(None);
        }
        read(self).map(Some)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], BadRecord> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(BadRecord::Unreadable)?;
        self.0 = rest;
        Ok(taken)
    }
}
