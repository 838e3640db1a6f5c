//! MessagePack, element by element: just what the messages are made of.

use bytes::Bytes;
use ringway_protocol::payload::Payload;
use rmp::Marker;
use rmp::{decode, encode};

use super::{Garbage, VERSION};

/// How deep a value may nest that is skipped without being looked at: far deeper than any of ours.
const SKIP_DEPTH: usize = 64;

/// Writes a message's elements in order.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// Begins a message of that many elements after the version.
    pub(super) fn message(elements: u32, capacity: usize) -> Self {
        let mut writer = Self(Vec::with_capacity(capacity));
        writer.array(elements + 1).u64(VERSION);
        writer
    }

    pub(super) fn array(&mut self, elements: u32) -> &mut Self {
        // Writing to a Vec can't fail.
        let _ = encode::write_array_len(&mut self.0, elements);
        self
    }

    pub(super) fn list<T>(&mut self, items: &[T]) -> &mut Self {
        self.array(u32::try_from(items.len()).expect("fewer than 2^32 items in a message"))
    }

    pub(super) fn u64(&mut self, number: u64) -> &mut Self {
        let _ = encode::write_uint(&mut self.0, number);
        self
    }

    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        let _ = encode::write_bool(&mut self.0, value);
        self
    }

    pub(super) fn str(&mut self, text: &str) -> &mut Self {
        let _ = encode::write_str(&mut self.0, text);
        self
    }

    pub(super) fn opt_str(&mut self, text: Option<impl AsRef<str>>) -> &mut Self {
        match text {
            Some(text) => self.str(text.as_ref()),
            None => self.nil(),
        }
    }

    pub(super) fn nil(&mut self) -> &mut Self {
        let _ = encode::write_nil(&mut self.0);
        self
    }

    pub(super) fn bin(&mut self, bytes: &[u8]) -> &mut Self {
        let _ = encode::write_bin(&mut self.0, bytes);
        self
    }

    /// A payload as two elements: whether it is bytes, and the bytes, or the value's MessagePack. Wrapped like
    /// that it can be passed over without being scanned.
    pub(super) fn payload(&mut self, payload: &Payload) -> &mut Self {
        match (payload.bytes(), payload.value_msgpack()) {
            (Some(bytes), _) => self.bool(true).bin(bytes),
            (None, value) => self.bool(false).bin(value.map_or(&[], |value| &value[..])),
        }
    }

    /// Adds elements that were written before.
    pub(super) fn written(&mut self, elements: &[u8]) {
        self.0.extend_from_slice(elements);
    }

    pub(super) fn finish(self) -> Bytes {
        self.0.into()
    }
}

/// Reads a message's elements in order.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

/// An array being read: how many of its elements are still to come.
#[derive(Debug)]
#[must_use = "what isn't known of it must be passed over"]
pub(super) struct Elements(u32);

impl Elements {
    /// Whether there is one more, which the caller then reads.
    pub(super) fn take_one(&mut self) -> bool {
        let more = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        more
    }
}

impl<'a> Reader<'a> {
    /// Begins a message of at least that many elements after the version.
    pub(super) fn message(bytes: &'a [u8], elements: u32) -> Result<Self, Garbage> {
        let mut reader = Self(bytes);
        let all = reader.length()?;
        let version =
            if all == 0 { return Err(Garbage::Malformed("an empty array")) } else { reader.u64()? };
        if version != VERSION {
            return Err(Garbage::Version(version));
        }
        if all <= elements {
            return Err(Garbage::Malformed("too few elements"));
        }
        Ok(reader)
    }

    /// Goes on where another one stopped.
    pub(super) fn go_on(rest: &'a [u8]) -> Self {
        Self(rest)
    }

    /// Begins an array of at least that many elements inside a message. [`leave`](Self::leave) ends it.
    pub(super) fn enter(&mut self, elements: u32) -> Result<Elements, Garbage> {
        let all = self.length()?;
        all.checked_sub(elements).map(Elements).ok_or(Garbage::Malformed("too few elements"))
    }

    /// Passes over the elements of an array that this release doesn't know.
    pub(super) fn leave(&mut self, Elements(unknown): Elements) -> Result<(), Garbage> {
        for _ in 0..unknown {
            let length = decode::MessageLen::with_limits(SKIP_DEPTH, self.0.len())
                .incremental_len(self.0)
                .map_err(|_| Garbage::Malformed("an element that can't be passed over"))?;
            self.take(length)?;
        }
        Ok(())
    }

    /// The length of a list whose items are read one by one. Nothing may be allocated by it alone.
    pub(super) fn length(&mut self) -> Result<u32, Garbage> {
        decode::read_array_len(&mut self.0).map_err(|_| Garbage::Malformed("not an array"))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Garbage> {
        decode::read_int(&mut self.0).map_err(|_| Garbage::Malformed("not a number"))
    }

    pub(super) fn bool(&mut self) -> Result<bool, Garbage> {
        decode::read_bool(&mut self.0).map_err(|_| Garbage::Malformed("not a boolean"))
    }

    pub(super) fn str(&mut self) -> Result<&'a str, Garbage> {
        let length = decode::read_str_len(&mut self.0).map_err(|_| Garbage::Malformed("not a text"))?;
        std::str::from_utf8(self.take(length as usize)?).map_err(|_| Garbage::Malformed("not UTF-8"))
    }

    /// Reads a text as some kind of name.
    pub(super) fn name<T: std::str::FromStr>(&mut self) -> Result<T, Garbage> {
        self.str()?.parse().map_err(|_| Garbage::Malformed("a name that breaks its rules"))
    }

    /// Whether nothing stands here; if so it is passed over.
    pub(super) fn nil(&mut self) -> bool {
        let nil = self.0.first() == Some(&Marker::Null.to_u8());
        if nil {
            self.0 = &self.0[1..];
        }
        nil
    }

    pub(super) fn opt<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Garbage>,
    ) -> Result<Option<T>, Garbage> {
        if self.nil() { Ok(None) } else { read(self).map(Some) }
    }

    pub(super) fn bin(&mut self) -> Result<&'a [u8], Garbage> {
        let length = decode::read_bin_len(&mut self.0).map_err(|_| Garbage::Malformed("not bytes"))?;
        self.take(length as usize)
    }

    /// What hasn't been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Reads a payload into memory of its own: kept in a room it mustn't keep the read buffer alive.
    pub(super) fn payload(&mut self) -> Result<Payload, Garbage> {
        if self.bool()? {
            return Ok(Payload::from_bytes(self.bin()?.to_vec()));
        }
        Payload::from_msgpack(self.bin()?)
            .map_err(|_| Garbage::Malformed("a value that breaks the payload rules"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Garbage> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Garbage::Malformed("cut short"))?;
        self.0 = rest;
        Ok(taken)
    }
}
