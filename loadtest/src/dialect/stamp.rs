//! What a message's body begins with: when it was to be sent, and which one it is.
//!
//! `~rw`, then sixteen hexadecimal digits of the intended time (nanoseconds of the machine's monotonic clock, the same
//! for all its processes), eight of the message's number, four of the worker that sent it, and `o` or `u`: whether its
//! receivers must see the numbers grow. No format has to escape any of it.

/// Bytes of a stamp: the shortest body.
pub(crate) const LEN: usize = 32;

/// What a stamp begins with, and what a receiver searches for.
pub(crate) const MARK: &[u8] = b"~rw";

/// A message's stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Nanoseconds of the monotonic clock.
    pub(crate) intended: u64,
    /// Counted by the worker that sent it, from its last reset.
    pub(crate) number: u32,
    /// That worker: the number of its first connection, the last 16 bits.
    pub(crate) origin: u16,
    /// Whether the numbers must grow on each connection.
    pub(crate) ordered: bool,
}

impl Stamp {
    /// As bytes.
    pub(crate) fn bytes(self) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[..3].copy_from_slice(MARK);
        write_hex(self.intended, &mut out[3..19]);
        write_hex(self.number.into(), &mut out[19..27]);
        write_hex(self.origin.into(), &mut out[27..31]);
        out[31] = if self.ordered { b'o' } else { b'u' };
        out
    }

    /// The hash of a sequence of messages that goes on with this one.
    #[inline]
    pub(crate) fn after(self, before: u32) -> u32 {
        (before.rotate_left(5) ^ self.number ^ (u32::from(self.origin) << 16)).wrapping_mul(0x9e37_79b1)
    }

    /// Reads what begins at a mark; none: it isn't a stamp.
    pub(crate) fn read(bytes: &[u8]) -> Option<Stamp> {
        let bytes: &[u8; LEN] = bytes.first_chunk()?;
        let ordered = match bytes[31] {
            b'o' => true,
            b'u' => false,
            _ => return None,
        };
        let [_, _, _, digits @ .., _] = bytes;
        let group = |at: usize| -> u64 {
            eight(u64::from_be_bytes(digits[at..at + 8].try_into().expect("eight of 28 bytes")))
        };
        Some(Stamp {
            intended: group(0) << 32 | group(8),
            number: group(16) as u32,
            // The last eight overlap the number by four.
            origin: group(20) as u16,
            ordered,
        })
    }
}

/// A body of so many bytes, at least [`LEN`], with room for a stamp at its beginning.
pub(crate) fn body(len: usize) -> Vec<u8> {
    let blank = Stamp { intended: 0, number: 0, origin: 0, ordered: false };
    let filler = b"abcdefghijklmnopqrstuvwxyz0123456789".iter().copied().cycle();
    blank.bytes().into_iter().chain(filler).take(len.max(LEN)).collect()
}

fn write_hex(mut value: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

/// The value of eight hexadecimal digits at once: this is done for every delivery.
fn eight(digits: u64) -> u64 {
    let letters = (digits >> 6) & 0x0101_0101_0101_0101;
    let nibbles = (digits & 0x0f0f_0f0f_0f0f_0f0f) + letters * 9;
    let bytes = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff;
    let pairs = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    (pairs | pairs >> 16) & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_is_written() {
        for (intended, number, origin, ordered) in [
            (0, 0, 0, false),
            (u64::MAX, u32::MAX, u16::MAX, true),
            (0x0123_4567_89ab_cdef, 0xfedc_ba98, 0x9abc, true),
            (86_400_000_000_000, 17, 1_000, false),
        ] {
            let stamp = Stamp { intended, number, origin, ordered };
            let bytes = stamp.bytes();
            assert_eq!(Stamp::read(&bytes), Some(stamp));
            assert!(bytes.iter().all(u8::is_ascii_graphic));
            assert_eq!(Stamp::read(&bytes[..LEN - 1]), None);
        }
    }

    #[test]
    fn another_order_or_another_message_is_another_sequence() {
        let stamp = |number, origin| Stamp { intended: 1, number, origin, ordered: false };
        let hash = |stamps: &[Stamp]| stamps.iter().fold(0, |before, stamp| stamp.after(before));
        let all = [stamp(0, 0), stamp(1, 0), stamp(2, 0)];
        assert_eq!(hash(&all), hash(&all));
        let others = [
            vec![all[1], all[0], all[2]],
            vec![all[0], all[2], all[1]],
            all[..2].to_vec(),
            vec![all[0], all[1], all[1], all[2]],
            vec![all[0], all[1], stamp(2, 7)],
        ];
        assert!(others.iter().all(|other| hash(other) != hash(&all)));
    }

    #[test]
    fn a_mark_alone_is_no_stamp() {
        assert_eq!(Stamp::read(b"~rw and then words that are 32 bytes or more"), None);
    }

    #[test]
    fn a_body_has_its_length_and_one_mark() {
        for len in [LEN, 33, 128, 16_384] {
            let body = body(len);
            assert_eq!(body.len(), len);
            assert_eq!(memchr::memmem::find_iter(&body, MARK).count(), 1);
        }
        assert_eq!(body(1).len(), LEN);
    }
}
