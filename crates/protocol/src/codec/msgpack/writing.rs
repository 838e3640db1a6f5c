//! A frame as an array without the absent fields at its end, an object inside it as a map.

use crate::codec::field::{Field, Put, Row};
use crate::msgpack::put;
use crate::payload::Payload;

/// Most elements that a head of one byte can count. Frames and what stands in them have fewer; for
/// one that grew beyond, everything behind its head moves up.
const FEW: usize = 15;

/// Writes how many there are at the place that was left for it.
fn finish_head(out: &mut Vec<u8>, head: usize, few: u8, many: u8, count: usize) {
    if count <= FEW {
        out[head] = few | count as u8;
    } else {
        let [high, low] = (count as u16).to_be_bytes();
        out.splice(head..=head, [many, high, low]);
    }
}

/// A frame that is being written: an array, whose absent fields at the end are left off.
pub(in crate::codec) struct ElementsOut<'a> {
    out: &'a mut Vec<u8>,
    head: usize,
    written: usize,
    absent: usize,
}

impl<'a> ElementsOut<'a> {
    /// Begins a frame with its type and its id.
    #[inline]
    pub(in crate::codec) fn begin(out: &'a mut Vec<u8>, kind: u8, id: Option<u64>) -> Self {
        let head = out.len();
        out.push(0x90);
        put::uint(out, kind.into());
        let mut elements = Self { out, head, written: 1, absent: 0 };
        elements.uint(Field::Id, id);
        elements
    }

    #[inline]
    pub(in crate::codec) fn finish(self) {
        finish_head(self.out, self.head, 0x90, 0xdc, self.written);
    }

    /// Where the next field that is there goes.
    #[inline]
    fn next(&mut self) -> &mut Vec<u8> {
        for _ in 0..self.absent {
            put::nil(self.out);
        }
        self.written += self.absent + 1;
        self.absent = 0;
        self.out
    }
}

impl Put for ElementsOut<'_> {
    #[inline]
    fn blank(&mut self) {
        self.absent += 1;
    }

    #[inline]
    fn uint(&mut self, _: Field, value: Option<u64>) {
        match value {
            Some(value) => put::uint(self.next(), value),
            None => self.blank(),
        }
    }

    #[inline]
    fn flag(&mut self, _: Field, value: Option<bool>) {
        match value {
            Some(value) => put::flag(self.next(), value),
            None => self.blank(),
        }
    }

    #[inline]
    fn text(&mut self, _: Field, value: Option<&str>) {
        match value {
            Some(value) => put::str(self.next(), value.as_bytes()),
            None => self.blank(),
        }
    }

    #[inline]
    fn payload(&mut self, _: Field, value: Option<&Payload>) {
        match value {
            Some(value) => value.write_msgpack(self.next()),
            None => self.blank(),
        }
    }

    fn inner<R: Row>(&mut self, _: Field, value: Option<&R>) {
        match value {
            Some(value) => put_map(self.next(), value),
            None => self.blank(),
        }
    }

    fn each<R: Row>(&mut self, _: Field, value: Option<&[R]>) {
        match value {
            Some(value) => put_each(self.next(), value),
            None => self.blank(),
        }
    }

    fn texts<S: AsRef<str>>(&mut self, _: Field, value: Option<&[S]>) {
        match value {
            Some(value) => put_texts(self.next(), value),
            None => self.blank(),
        }
    }
}

/// An object that is being written: only what is there, by name.
struct MapOut<'a> {
    out: &'a mut Vec<u8>,
    written: usize,
}

impl MapOut<'_> {
    fn next(&mut self, field: Field) -> &mut Vec<u8> {
        put::str(self.out, field.name().as_bytes());
        self.written += 1;
        self.out
    }
}

impl Put for MapOut<'_> {
    fn blank(&mut self) {}

    fn uint(&mut self, field: Field, value: Option<u64>) {
        if let Some(value) = value {
            put::uint(self.next(field), value);
        }
    }

    fn flag(&mut self, field: Field, value: Option<bool>) {
        if let Some(value) = value {
            put::flag(self.next(field), value);
        }
    }

    fn text(&mut self, field: Field, value: Option<&str>) {
        if let Some(value) = value {
            put::str(self.next(field), value.as_bytes());
        }
    }

    fn payload(&mut self, field: Field, value: Option<&Payload>) {
        if let Some(value) = value {
            value.write_msgpack(self.next(field));
        }
    }

    fn inner<R: Row>(&mut self, field: Field, value: Option<&R>) {
        if let Some(value) = value {
            put_map(self.next(field), value);
        }
    }

    fn each<R: Row>(&mut self, field: Field, value: Option<&[R]>) {
        if let Some(value) = value {
            put_each(self.next(field), value);
        }
    }

    fn texts<S: AsRef<str>>(&mut self, field: Field, value: Option<&[S]>) {
        if let Some(value) = value {
            put_texts(self.next(field), value);
        }
    }
}

fn put_map<R: Row>(out: &mut Vec<u8>, row: &R) {
    let head = out.len();
    out.push(0x80);
    let mut map = MapOut { out, written: 0 };
    row.put(&mut map);
    let written = map.written;
    finish_head(out, head, 0x80, 0xde, written);
}

fn put_each<R: Row>(out: &mut Vec<u8>, rows: &[R]) {
    put::array(out, rows.len() as u32);
    for row in rows {
        put_map(out, row);
    }
}

fn put_texts<S: AsRef<str>>(out: &mut Vec<u8>, texts: &[S]) {
    put::array(out, texts.len() as u32);
    for text in texts {
        put::str(out, text.as_ref().as_bytes());
    }
}
