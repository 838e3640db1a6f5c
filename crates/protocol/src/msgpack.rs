//! MessagePack below frames and payloads: one token at a time, and its smallest form.
//!
//! Knows nothing of what tokens mean. Reading goes over a slice that holds all of the message;
//! a length that points beyond it is malformed before anything is made of it.

use rmp::Marker;

/// The bytes aren't MessagePack, or are cut short, at this byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) usize);

/// What stands at a place. Integers that aren't negative are [`Token::Uint`] however they came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'a> {
    Nil,
    Bool(bool),
    Uint(u64),
    Negative(i64),
    Float(f64),
    Str(&'a [u8]),
    Bin(&'a [u8]),
    /// So many elements follow. No more than there are bytes left.
    Array(u32),
    /// So many pairs follow. No more than half of the bytes left.
    Map(u32),
    Ext,
}

/// A place in MessagePack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Reads what stands here and goes behind it (behind the head, for arrays and maps), and says
    /// whether it was in its smallest form: the one that [`put`] writes. A 32-bit float never is,
    /// as floats have one form, of 64 bits.
    #[inline]
    pub(crate) fn token(&mut self) -> Result<(Token<'a>, bool), Malformed> {
        let start = self.at;
        let first = *self.bytes.get(start).ok_or(Malformed(start))?;
        self.at += 1;
        Ok(match Marker::from_u8(first) {
            Marker::Null => (Token::Nil, true),
            Marker::False => (Token::Bool(false), true),
            Marker::True => (Token::Bool(true), true),
            Marker::FixPos(number) => (Token::Uint(number.into()), true),
            Marker::U8 => {
                let [number] = self.array()?;
                (Token::Uint(number.into()), number > 0x7f)
            }
            Marker::U16 => {
                let number = u16::from_be_bytes(self.array()?);
                (Token::Uint(number.into()), number > u8::MAX.into())
            }
            Marker::U32 => {
                let number = u32::from_be_bytes(self.array()?);
                (Token::Uint(number.into()), number > u16::MAX.into())
            }
            Marker::U64 => {
                let number = u64::from_be_bytes(self.array()?);
                (Token::Uint(number), number > u32::MAX.into())
            }
            Marker::FixNeg(number) => (Token::Negative(number.into()), true),
            Marker::I8 => {
                let number = i8::from_be_bytes(self.array()?);
                (integer(number.into()), number < -32)
            }
            Marker::I16 => {
                let number = i16::from_be_bytes(self.array()?);
                (integer(number.into()), number < i8::MIN.into())
            }
            Marker::I32 => {
                let number = i32::from_be_bytes(self.array()?);
                (integer(number.into()), number < i16::MIN.into())
            }
            Marker::I64 => {
                let number = i64::from_be_bytes(self.array()?);
                (integer(number), number < i32::MIN.into())
            }
            Marker::F32 => (Token::Float(f32::from_be_bytes(self.array()?).into()), false),
            Marker::F64 => (Token::Float(f64::from_be_bytes(self.array()?)), true),
            Marker::FixStr(length) => (Token::Str(self.take(length.into())?), true),
            Marker::Str8 => {
                let length = self.length8()?;
                (Token::Str(self.take(length)?), length > 31)
            }
            Marker::Str16 => {
                let length = self.length16()?;
                (Token::Str(self.take(length)?), length > usize::from(u8::MAX))
            }
            Marker::Str32 => {
                let length = self.length32()?;
                (Token::Str(self.take(length)?), length > usize::from(u16::MAX))
            }
            Marker::Bin8 => {
                let length = self.length8()?;
                (Token::Bin(self.take(length)?), true)
            }
            Marker::Bin16 => {
                let length = self.length16()?;
                (Token::Bin(self.take(length)?), length > usize::from(u8::MAX))
            }
            Marker::Bin32 => {
                let length = self.length32()?;
                (Token::Bin(self.take(length)?), length > usize::from(u16::MAX))
            }
            Marker::FixArray(length) => (Token::Array(self.fits(length.into(), 1)?), true),
            Marker::Array16 => {
                let length = self.length16()?;
                (Token::Array(self.fits(length, 1)?), length > 15)
            }
            Marker::Array32 => {
                let length = self.length32()?;
                (Token::Array(self.fits(length, 1)?), length > usize::from(u16::MAX))
            }
            Marker::FixMap(length) => (Token::Map(self.fits(length.into(), 2)?), true),
            Marker::Map16 => {
                let length = self.length16()?;
                (Token::Map(self.fits(length, 2)?), length > 15)
            }
            Marker::Map32 => {
                let length = self.length32()?;
                (Token::Map(self.fits(length, 2)?), length > usize::from(u16::MAX))
            }
            Marker::FixExt1 => self.ext(1)?,
            Marker::FixExt2 => self.ext(2)?,
            Marker::FixExt4 => self.ext(4)?,
            Marker::FixExt8 => self.ext(8)?,
            Marker::FixExt16 => self.ext(16)?,
            Marker::Ext8 => {
                let length = self.length8()?;
                self.ext(length)?
            }
            Marker::Ext16 => {
                let length = self.length16()?;
                self.ext(length)?
            }
            Marker::Ext32 => {
                let length = self.length32()?;
                self.ext(length)?
            }
            Marker::Reserved => return Err(Malformed(start)),
        })
    }

    /// Goes behind what stands here, whatever is in it: without recursion, and as deep as it likes.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        let mut left = 1_u64;
        while left > 0 {
            left -= 1;
            match self.token()?.0 {
                Token::Array(length) => left += u64::from(length),
                Token::Map(length) => left += u64::from(length) * 2,
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let taken = self.bytes[self.at..].get(..length).ok_or(Malformed(self.at))?;
        self.at += length;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let taken = self.bytes[self.at..].first_chunk::<N>().ok_or(Malformed(self.at))?;
        self.at += N;
        Ok(*taken)
    }

    fn length8(&mut self) -> Result<usize, Malformed> {
        self.array().map(|[length]| length.into())
    }

    fn length16(&mut self) -> Result<usize, Malformed> {
        self.array().map(|bytes| u16::from_be_bytes(bytes).into())
    }

    fn length32(&mut self) -> Result<usize, Malformed> {
        self.array().map(|bytes| u32::from_be_bytes(bytes) as usize)
    }

    /// Every element has a byte at least, so a greater count is a lie.
    #[inline]
    fn fits(&self, count: usize, each: usize) -> Result<u32, Malformed> {
        if count > (self.bytes.len() - self.at) / each {
            return Err(Malformed(self.at));
        }
        u32::try_from(count).map_err(|_| Malformed(self.at))
    }

    fn ext(&mut self, length: usize) -> Result<(Token<'a>, bool), Malformed> {
        self.take(1)?;
        self.take(length)?;
        Ok((Token::Ext, true))
    }
}

#[inline]
fn integer<'a>(number: i64) -> Token<'a> {
    u64::try_from(number).map_or(Token::Negative(number), Token::Uint)
}

/// Writing, always in the smallest form. A `Vec` takes every write, so the results of `rmp`, made
/// for writers that may refuse, are dropped.
pub(crate) mod put {
    use rmp::encode;

    #[inline]
    pub(crate) fn nil(out: &mut Vec<u8>) {
        out.push(0xc0);
    }

    #[inline]
    pub(crate) fn flag(out: &mut Vec<u8>, value: bool) {
        out.push(if value { 0xc3 } else { 0xc2 });
    }

    #[inline]
    pub(crate) fn uint(out: &mut Vec<u8>, number: u64) {
        let _ = encode::write_uint(out, number);
    }

    #[inline]
    pub(crate) fn int(out: &mut Vec<u8>, number: i64) {
        let _ = encode::write_sint(out, number);
    }

    #[inline]
    pub(crate) fn float(out: &mut Vec<u8>, number: f64) {
        let _ = encode::write_f64(out, number);
    }

    /// `text` is UTF-8: whoever calls has looked.
    #[inline]
    pub(crate) fn str(out: &mut Vec<u8>, text: &[u8]) {
        let _ = encode::write_str_len(out, text.len() as u32);
        out.extend_from_slice(text);
    }

    #[inline]
    pub(crate) fn bin(out: &mut Vec<u8>, bytes: &[u8]) {
        let _ = encode::write_bin(out, bytes);
    }

    #[inline]
    pub(crate) fn array(out: &mut Vec<u8>, length: u32) {
        let _ = encode::write_array_len(out, length);
    }

    #[inline]
    pub(crate) fn map(out: &mut Vec<u8>, length: u32) {
        let _ = encode::write_map_len(out, length);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(bytes: &[u8]) -> Result<(Token<'_>, bool), Malformed> {
        Cursor::new(bytes, 0).token()
    }

    fn write(token: Token<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        match token {
            Token::Nil => put::nil(&mut out),
            Token::Bool(value) => put::flag(&mut out, value),
            Token::Uint(number) => put::uint(&mut out, number),
            Token::Negative(number) => put::int(&mut out, number),
            Token::Float(number) => put::float(&mut out, number),
            Token::Str(text) => put::str(&mut out, text),
            Token::Bin(bytes) => put::bin(&mut out, bytes),
            Token::Array(length) => put::array(&mut out, length),
            Token::Map(length) => put::map(&mut out, length),
            Token::Ext => {}
        }
        out
    }

    #[test]
    fn the_smallest_form_is_the_one_that_is_written() {
        let numbers = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for number in numbers.chain([u64::MAX]) {
            let mut forms = vec![[vec![0xcf], number.to_be_bytes().to_vec()].concat()];
            if let Ok(number) = u32::try_from(number) {
                forms.push([vec![0xce], number.to_be_bytes().to_vec()].concat());
            }
            if let Ok(number) = u16::try_from(number) {
                forms.push([vec![0xcd], number.to_be_bytes().to_vec()].concat());
            }
            if let Ok(number) = u8::try_from(number) {
                forms.push(vec![0xcc, number]);
            }
            if number < 128 {
                forms.push(vec![u8::try_from(number).unwrap()]);
            }
            if let Ok(number) = i64::try_from(number) {
                forms.push([vec![0xd3], number.to_be_bytes().to_vec()].concat());
            }
            let smallest = write(Token::Uint(number));
            for form in forms {
                assert_eq!(token(&form), Ok((Token::Uint(number), form == smallest)), "{form:02x?}");
            }
        }
        for bit in 0..64 {
            for number in [-(1_i64 << bit.min(62)), -(1_i64 << bit.min(62)) - 1, i64::MIN] {
                let mut forms = vec![[vec![0xd3], number.to_be_bytes().to_vec()].concat()];
                if let Ok(number) = i32::try_from(number) {
                    forms.push([vec![0xd2], number.to_be_bytes().to_vec()].concat());
                }
                if let Ok(number) = i16::try_from(number) {
                    forms.push([vec![0xd1], number.to_be_bytes().to_vec()].concat());
                }
                if let Ok(number) = i8::try_from(number) {
                    forms.push(vec![0xd0, number.to_be_bytes()[0]]);
                    if number >= -32 {
                        forms.push(vec![number.to_be_bytes()[0]]);
                    }
                }
                let smallest = write(Token::Negative(number));
                for form in forms {
                    assert_eq!(token(&form), Ok((Token::Negative(number), form == smallest)), "{form:02x?}");
                }
            }
        }
    }

    #[test]
    fn lengths_have_a_smallest_form_too() {
        for length in [0_usize, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
            let text = vec![b'x'; length];
            for written in [write(Token::Str(&text)), write(Token::Bin(&text))] {
                assert!(token(&written).unwrap().1);
            }
            let long = [&[0xdb], &u32::try_from(length).unwrap().to_be_bytes()[..], &text].concat();
            assert_eq!(token(&long), Ok((Token::Str(&text), length > 65_535)));
            let mut array = write(Token::Array(u32::try_from(length).unwrap()));
            array.extend(vec![0; length]);
            assert_eq!(token(&array), Ok((Token::Array(u32::try_from(length).unwrap()), true)));
        }
    }

    #[test]
    fn lengths_beyond_the_end_are_lies() {
        for lie in [
            &b"\xdd\xff\xff\xff\xff"[..],
            b"\xdf\xff\xff\xff\xff\x01\x01",
            b"\xdb\xff\xff\xff\xffxxx",
            b"\xc6\xff\xff\xff\xff",
            b"\xc9\xff\xff\xff\xff\x01",
            b"\xd9",
            b"\xcd\x01",
            b"\x92\x01",
            b"\x81\x01",
            b"\xd4\x01",
            b"\xc1",
            b"",
        ] {
            assert!(Cursor::new(lie, 0).skip().is_err(), "{lie:02x?}");
        }
    }

    #[test]
    fn skipping_goes_as_deep_as_it_likes() {
        let deep = [vec![0x91; 100_000], vec![0xc0]].concat();
        let mut cursor = Cursor::new(&deep, 0);
        assert_eq!(cursor.skip(), Ok(()));
        assert!(cursor.at_end());
    }

    proptest! {
        #![proptest_config(crate::seeded::seeded(2000))]

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut cursor = Cursor::new(&bytes, 0);
            while cursor.skip().is_ok() {}
            prop_assert!(cursor.at <= bytes.len());
        }
    }
}
