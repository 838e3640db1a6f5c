//! Frames in JSON: objects, all the way down, whose members may come in any order.

use std::borrow::Cow;

use super::field::{FLAG, Fault, Field, LIST, Null, OBJECT, Put, Row, TEXT, Take, UINT, below_end};
use crate::json::{self, NotJson};
use crate::payload::Payload;

impl From<NotJson> for Fault {
    fn from(_: NotJson) -> Self {
        Self::Unreadable
    }
}

/// An object in a text that is JSON up to its end: where the value of each name begins.
pub(super) struct Object<'a> {
    text: &'a str,
    from: [u32; Field::COUNT],
    twice: u64,
}

const ABSENT: u32 = u32::MAX;

/// Opens a frame: all of the text is one object.
pub(super) fn open(bytes: &[u8]) -> Result<Object<'_>, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::Unreadable)?;
    let start = json::space(text, 0);
    if bytes.get(start) != Some(&b'{') {
        let end = json::skip(text, start)?;
        nothing_follows(text, end)?;
        return Err(Fault::frame("a frame is an object"));
    }
    let (object, end) = Object::read(text, start)?;
    nothing_follows(text, end)?;
    Ok(object)
}

fn nothing_follows(text: &str, end: usize) -> Result<(), Fault> {
    if json::space(text, end) == text.len() { Ok(()) } else { Err(Fault::Unreadable) }
}

impl<'a> Object<'a> {
    /// Reads the object whose brace stands at `at`, and says where it ends.
    fn read(text: &'a str, at: usize) -> Result<(Self, usize), NotJson> {
        let mut object = Self { text, from: [ABSENT; Field::COUNT], twice: 0 };
        let mut at = json::space(text, at + 1);
        if text.as_bytes().get(at) == Some(&b'}') {
            return Ok((object, at + 1));
        }
        loop {
            let (key, value) = json::key(text, at)?;
            let known = match key.text() {
                Ok(name) => Field::find(&name),
                Err(_) => None,
            };
            if let Some(known) = known {
                let from = &mut object.from[known as usize];
                if *from != ABSENT {
                    object.twice |= 1 << known as usize;
                }
                *from = u32::try_from(value).map_err(|_| NotJson(value))?;
            }
            at = json::space(text, json::skip(text, value)?);
            match text.as_bytes().get(at) {
                Some(b',') => at = json::space(text, at + 1),
                Some(b'}') => return Ok((object, at + 1)),
                _ => return Err(NotJson(at)),
            }
        }
    }

    /// Where the field's value begins, null being absent where that is what null means.
    fn find(&self, field: Field, null: Null) -> Result<Option<usize>, Fault> {
        if self.twice & 1 << field as usize != 0 {
            return Err(Fault::frame(format!("`{}` is there twice", field.name())));
        }
        match self.from[field as usize] {
            ABSENT => Ok(None),
            from if null == Null::IsAbsent && self.text.as_bytes().get(from as usize) == Some(&b'n') => {
                Ok(None)
            }
            from => Ok(Some(from as usize)),
        }
    }

    fn text_at(&self, field: Field, at: usize) -> Result<(Cow<'a, str>, usize), Fault> {
        if self.text.as_bytes().get(at) != Some(&b'"') {
            return Err(Fault::kind(field, TEXT));
        }
        let quoted = json::string(self.text, at)?;
        Ok((quoted.text().map_err(|_| Fault::unicode(field))?, quoted.end))
    }

    fn object_at(&self, field: Field, at: usize) -> Result<(Self, usize), Fault> {
        if self.text.as_bytes().get(at) != Some(&b'{') {
            return Err(Fault::kind(field, OBJECT));
        }
        Ok(Self::read(self.text, at)?)
    }

    /// Goes through an array: `item` takes what begins at a place and says where it ends.
    fn list<T>(
        &self,
        field: Field,
        mut item: impl FnMut(usize) -> Result<(T, usize), Fault>,
    ) -> Result<Option<Vec<T>>, Fault> {
        let Some(at) = self.find(field, Null::IsAbsent)? else { return Ok(None) };
        let bytes = self.text.as_bytes();
        if bytes.get(at) != Some(&b'[') {
            return Err(Fault::kind(field, LIST));
        }
        let mut all = Vec::new();
        let mut at = json::space(self.text, at + 1);
        while bytes.get(at) != Some(&b']') {
            let (taken, end) = item(at)?;
            all.push(taken);
            at = json::space(self.text, end);
            if bytes.get(at) == Some(&b',') {
                at = json::space(self.text, at + 1);
            }
        }
        Ok(Some(all))
    }
}

impl<'a> Take<'a> for Object<'a> {
    type Inner = Object<'a>;

    fn blank(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn uint(&mut self, field: Field) -> Result<Option<u64>, Fault> {
        let Some(at) = self.find(field, Null::IsAbsent)? else { return Ok(None) };
        match json::number(self.text, at) {
            Ok(digits) if !digits.float => {
                let number = digits.raw.parse().map_err(|_| Fault::kind(field, UINT))?;
                below_end(field, number)
            }
            _ => Err(Fault::kind(field, UINT)),
        }
    }

    fn flag(&mut self, field: Field) -> Result<Option<bool>, Fault> {
        match self.find(field, Null::IsAbsent)? {
            None => Ok(None),
            Some(at) => match self.text.as_bytes().get(at) {
                Some(b't') => Ok(Some(true)),
                Some(b'f') => Ok(Some(false)),
                _ => Err(Fault::kind(field, FLAG)),
            },
        }
    }

    fn text(&mut self, field: Field) -> Result<Option<Cow<'a, str>>, Fault> {
        let Some(at) = self.find(field, Null::IsAbsent)? else { return Ok(None) };
        Ok(Some(self.text_at(field, at)?.0))
    }

    fn payload(&mut self, field: Field, null: Null) -> Result<Option<Payload>, Fault> {
        let value = self.find(field, null)?;
        let bytes = self.text(Field::B64)?;
        match (value, bytes) {
            (Some(_), Some(_)) => Err(Fault::frame("`data` and `b64` together")),
            (None, None) => Ok(None),
            (Some(_), None) => self.value(field, null),
            (None, Some(base64)) => match Payload::from_base64(&base64) {
                Ok(payload) => Ok(Some(payload)),
                Err(error) => Err(Fault::payload(Field::B64, &error)),
            },
        }
    }

    fn value(&mut self, field: Field, null: Null) -> Result<Option<Payload>, Fault> {
        let Some(at) = self.find(field, null)? else { return Ok(None) };
        match Payload::from_json_at(self.text, at) {
            Ok((payload, _)) => Ok(Some(payload)),
            Err(error) => Err(Fault::payload(field, &error)),
        }
    }

    fn inner(&mut self, field: Field) -> Result<Option<Self>, Fault> {
        let Some(at) = self.find(field, Null::IsAbsent)? else { return Ok(None) };
        Ok(Some(self.object_at(field, at)?.0))
    }

    fn each<T>(
        &mut self,
        field: Field,
        mut take: impl FnMut(&mut Self) -> Result<T, Fault>,
    ) -> Result<Option<Vec<T>>, Fault> {
        self.list(field, |at| {
            let (mut object, end) = self.object_at(field, at)?;
            Ok((take(&mut object)?, end))
        })
    }

    fn texts<T>(
        &mut self,
        field: Field,
        mut take: impl FnMut(Cow<'a, str>) -> Result<T, Fault>,
    ) -> Result<Option<Vec<T>>, Fault> {
        self.list(field, |at| {
            let (text, end) = self.text_at(field, at)?;
            Ok((take(text)?, end))
        })
    }
}

/// An object that is being written.
pub(super) struct ObjectOut<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> ObjectOut<'a> {
    /// Begins a frame with its type and its id.
    pub(super) fn begin(out: &'a mut Vec<u8>, kind: &str, id: Option<u64>) -> Self {
        out.extend_from_slice(b"{\"t\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.push(b'"');
        let mut object = Self { out, first: false };
        object.uint(Field::Id, id);
        object
    }

    pub(super) fn finish(self) {
        self.out.push(b'}');
    }

    /// Where the field's value goes.
    fn next(&mut self, field: Field) -> &mut Vec<u8> {
        self.out.extend_from_slice(if self.first { b"\"" } else { b",\"" });
        self.first = false;
        self.out.extend_from_slice(field.name().as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }
}

impl Put for ObjectOut<'_> {
    fn blank(&mut self) {}

    fn uint(&mut self, field: Field, value: Option<u64>) {
        if let Some(value) = value {
            json::write_uint(self.next(field), value);
        }
    }

    fn flag(&mut self, field: Field, value: Option<bool>) {
        if let Some(value) = value {
            self.next(field).extend_from_slice(if value { b"true" } else { b"false" });
        }
    }

    fn text(&mut self, field: Field, value: Option<&str>) {
        if let Some(value) = value {
            json::write_string(self.next(field), value);
        }
    }

    fn payload(&mut self, field: Field, value: Option<&Payload>) {
        if let Some(value) = value {
            let whole = field == Field::Data && value.is_bytes();
            value.write_json(self.next(if whole { Field::B64 } else { field }));
        }
    }

    fn inner<R: Row>(&mut self, field: Field, value: Option<&R>) {
        if let Some(value) = value {
            put_object(self.next(field), value);
        }
    }

    fn each<R: Row>(&mut self, field: Field, value: Option<&[R]>) {
        if let Some(rows) = value {
            put_list(self.next(field), rows, put_object);
        }
    }

    fn texts<S: AsRef<str>>(&mut self, field: Field, value: Option<&[S]>) {
        if let Some(texts) = value {
            put_list(self.next(field), texts, |out, text| json::write_string(out, text.as_ref()));
        }
    }
}

fn put_object<R: Row>(out: &mut Vec<u8>, row: &R) {
    out.push(b'{');
    row.put(&mut ObjectOut { out, first: true });
    out.push(b'}');
}

fn put_list<T>(out: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        put(out, item);
    }
    out.push(b']');
}
