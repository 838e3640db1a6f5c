//! A frame's array element by element, an object inside it by its names.

use std::borrow::Cow;

use crate::codec::field::{FLAG, Fault, Field, LIST, Null, OBJECT, TEXT, Take, UINT, below_end};
use crate::msgpack::{Cursor, Malformed, Token};
use crate::payload::{Payload, PayloadError, Source};

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Self::Unreadable
    }
}

/// A frame that is being read: an array, element by element.
pub(in crate::codec) struct Elements<'a> {
    source: Source<'a>,
    cursor: Cursor<'a>,
    left: u32,
}

impl<'a> Elements<'a> {
    /// Opens the frame's array.
    pub(in crate::codec) fn open(source: Source<'a>) -> Result<Self, Fault> {
        let mut cursor = Cursor::new(source.bytes(), 0);
        match cursor.token()?.0 {
            Token::Array(left) => Ok(Self { source, cursor, left }),
            _ => Err(Fault::frame("a frame is an array")),
        }
    }

    /// The frame's type. Whatever stands there, the next element is the id.
    pub(in crate::codec) fn kind(&mut self) -> Result<u64, Fault> {
        if self.left == 0 {
            return Err(Fault::missing(Field::T));
        }
        let mut element = self.cursor;
        self.cursor.skip()?;
        self.left -= 1;
        match element.token()?.0 {
            Token::Uint(number) => Ok(number),
            _ => Err(Fault::frame("the type is to be a number")),
        }
    }

    /// Passes over what this release doesn't know; then nothing may follow.
    pub(in crate::codec) fn finish(&mut self) -> Result<(), Fault> {
        while self.left > 0 {
            self.left -= 1;
            self.cursor.skip()?;
        }
        if self.cursor.at_end() { Ok(()) } else { Err(Fault::Unreadable) }
    }

    /// The next element, unless it is absent.
    #[inline]
    fn next(&mut self) -> Result<Option<Token<'a>>, Fault> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        match self.cursor.token()?.0 {
            Token::Nil => Ok(None),
            token => Ok(Some(token)),
        }
    }
}

/// Whether the bytes are one MessagePack value and nothing else.
pub(in crate::codec) fn is_msgpack(bytes: &[u8]) -> bool {
    let mut cursor = Cursor::new(bytes, 0);
    cursor.skip().is_ok() && cursor.at_end()
}

impl<'a> Take<'a> for Elements<'a> {
    type Inner = Map<'a>;

    #[inline]
    fn blank(&mut self) -> Result<(), Fault> {
        if self.left > 0 {
            self.left -= 1;
            self.cursor.skip()?;
        }
        Ok(())
    }

    #[inline]
    fn uint(&mut self, field: Field) -> Result<Option<u64>, Fault> {
        self.next()?.map_or(Ok(None), |token| uint(field, token))
    }

    #[inline]
    fn flag(&mut self, field: Field) -> Result<Option<bool>, Fault> {
        self.next()?.map(|token| flag(field, token)).transpose()
    }

    #[inline]
    fn text(&mut self, field: Field) -> Result<Option<Cow<'a, str>>, Fault> {
        self.next()?.map(|token| text(field, token)).transpose()
    }

    #[inline]
    fn payload(&mut self, field: Field, null: Null) -> Result<Option<Payload>, Fault> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        payload(self.source, &mut self.cursor, field, null)
    }

    fn value(&mut self, field: Field, null: Null) -> Result<Option<Payload>, Fault> {
        self.payload(field, null)?.map(|payload| no_bytes(field, payload)).transpose()
    }

    fn inner(&mut self, field: Field) -> Result<Option<Map<'a>>, Fault> {
        let Some(token) = self.next()? else { return Ok(None) };
        Map::open(self.source, &mut self.cursor, field, token).map(Some)
    }

    fn each<T>(
        &mut self,
        field: Field,
        take: impl FnMut(&mut Map<'a>) -> Result<T, Fault>,
    ) -> Result<Option<Vec<T>>, Fault> {
        let Some(token) = self.next()? else { return Ok(None) };
        each(self.source, &mut self.cursor, field, token, take).map(Some)
    }

    fn texts<T>(
        &mut self,
        field: Field,
        take: impl FnMut(Cow<'a, str>) -> Result<T, Fault>,
    ) -> Result<Option<Vec<T>>, Fault> {
        let Some(token) = self.next()? else { return Ok(None) };
        texts(&mut self.cursor, field, token, take).map(Some)
    }
}

/// An object inside a frame: where the value of each name begins.
pub(in crate::codec) struct Map<'a> {
    source: Source<'a>,
    from: [u32; Field::COUNT],
    twice: u64,
}

const ABSENT: u32 = u32::MAX;
// One bit of `twice` a field.
const _: () = assert!(Field::COUNT <= 64);

impl<'a> Map<'a> {
    /// Reads the map whose head was `token`, and goes behind it.
    fn open(
        source: Source<'a>,
        cursor: &mut Cursor<'a>,
        field: Field,
        token: Token<'a>,
    ) -> Result<Self, Fault> {
        let Token::Map(pairs) = token else { return Err(Fault::kind(field, OBJECT)) };
        let mut map = Self { source, from: [ABSENT; Field::COUNT], twice: 0 };
        for _ in 0..pairs {
            let key = *cursor;
            cursor.skip()?;
            let known = match { key }.token()?.0 {
                Token::Str(name) => std::str::from_utf8(name).ok().and_then(Field::find),
                _ => None,
            };
            if let Some(known) = known {
                let from = &mut map.from[known as usize];
                if *from != ABSENT {
                    map.twice |= 1 << known as usize;
                }
                *from = u32::try_from(cursor.at).map_err(|_| Fault::Unreadable)?;
            }
            cursor.skip()?;
        }
        Ok(map)
    }

    fn cursor(&self, field: Field) -> Result<Option<Cursor<'a>>, Fault> {
        if self.twice & 1 << field as usize != 0 {
            return Err(Fault::frame(format!("`{}` is there twice", field.name())));
        }
        match self.from[field as usize] {
            ABSENT => Ok(None),
            from => Ok(Some(Cursor::new(self.source.bytes(), from as usize))),
        }
    }

    fn find(&self, field: Field) -> Result<Option<(Token<'a>, Cursor<'a>)>, Fault> {
        let Some(mut cursor) = self.cursor(field)? else { return Ok(None) };
        match cursor.token()?.0 {
            Token::Nil => Ok(None),
            token => Ok(Some((token, cursor))),
        }
    }
}

impl<'a> Take<'a> for Map<'a> {
    type Inner = Map<'a>;

    fn blank(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn uint(&mut self, field: Field) -> Result<Option<u64>, Fault> {
        self.find(field)?.map_or(Ok(None), |(token, _)| uint(field, token))
    }

    fn flag(&mut self, field: Field) -> Result<Option<bool>, Fault> {
        self.find(field)?.map(|(token, _)| flag(field, token)).transpose()
    }

    fn text(&mut self, field: Field) -> Result<Option<Cow<'a, str>>, Fault> {
        self.find(field)?.map(|(token, _)| text(field, token)).transpose()
    }

    fn payload(&mut self, field: Field, null: Null) -> Result<Option<Payload>, Fault> {
        match self.cursor(field)? {
            None => Ok(None),
            Some(mut cursor) => payload(self.source, &mut cursor, field, null),
        }
    }

    fn value(&mut self, field: Field, null: Null) -> Result<Option<Payload>, Fault> {
        self.payload(field, null)?.map(|payload| no_bytes(field, payload)).transpose()
    }

    fn inner(&mut self, field: Field) -> Result<Option<Map<'a>>, Fault> {
        let Some((token, mut cursor)) = self.find(field)? else { return Ok(None) };
        Map::open(self.source, &mut cursor, field, token).map(Some)
    }

    fn each<T>(
        &mut self,
        field: Field,
        take: impl FnMut(&mut Map<'a>) -> Result<T, Fault>,
    ) -> Result<Option<Vec<T>>, Fault> {
        let Some((token, mut cursor)) = self.find(field)? else { return Ok(None) };
        each(self.source, &mut cursor, field, token, take).map(Some)
    }

    fn texts<T>(
        &mut self,
        field: Field,
        take: impl FnMut(Cow<'a, str>) -> Result<T, Fault>,
    ) -> Result<Option<Vec<T>>, Fault> {
        let Some((token, mut cursor)) = self.find(field)? else { return Ok(None) };
        texts(&mut cursor, field, token, take).map(Some)
    }
}

#[inline]
fn uint(field: Field, token: Token<'_>) -> Result<Option<u64>, Fault> {
    match token {
        Token::Uint(number) => below_end(field, number),
        _ => Err(Fault::kind(field, UINT)),
    }
}

#[inline]
fn flag(field: Field, token: Token<'_>) -> Result<bool, Fault> {
    match token {
        Token::Bool(value) => Ok(value),
        _ => Err(Fault::kind(field, FLAG)),
    }
}

#[inline]
fn text<'a>(field: Field, token: Token<'a>) -> Result<Cow<'a, str>, Fault> {
    match token {
        Token::Str(text) => std::str::from_utf8(text).map(Cow::Borrowed).map_err(|_| Fault::unicode(field)),
        _ => Err(Fault::kind(field, TEXT)),
    }
}

#[inline]
fn payload<'a>(
    source: Source<'a>,
    cursor: &mut Cursor<'a>,
    field: Field,
    null: Null,
) -> Result<Option<Payload>, Fault> {
    if null == Null::IsAbsent && cursor.bytes.get(cursor.at) == Some(&0xc0) {
        cursor.at += 1;
        return Ok(None);
    }
    match Payload::take_msgpack(source, cursor.at) {
        Ok((payload, end)) => {
            cursor.at = end;
            Ok(Some(payload))
        }
        Err(error) => Err(Fault::payload(field, &error)),
    }
}

fn no_bytes(field: Field, payload: Payload) -> Result<Payload, Fault> {
    if payload.is_bytes() { Err(Fault::payload(field, &PayloadError::BytesNotAllowed)) } else { Ok(payload) }
}

fn each<'a, T>(
    source: Source<'a>,
    cursor: &mut Cursor<'a>,
    field: Field,
    token: Token<'a>,
    mut take: impl FnMut(&mut Map<'a>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let Token::Array(count) = token else { return Err(Fault::kind(field, LIST)) };
    // No capacity from a count that somebody else wrote.
    let mut all = Vec::new();
    for _ in 0..count {
        let token = cursor.token()?.0;
        all.push(take(&mut Map::open(source, cursor, field, token)?)?);
    }
    Ok(all)
}

fn texts<'a, T>(
    cursor: &mut Cursor<'a>,
    field: Field,
    token: Token<'a>,
    mut take: impl FnMut(Cow<'a, str>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let Token::Array(count) = token else { return Err(Fault::kind(field, LIST)) };
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(take(text(field, cursor.token()?.0)?)?);
    }
    Ok(all)
}
