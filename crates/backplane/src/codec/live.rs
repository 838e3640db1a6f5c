//! Publications, live and direct. Tenant and room are the subject's: a sender can't say one and write to another.

use std::sync::Arc;

use bytes::Bytes;
use ringway_protocol::name::{Key, RoomName, TenantId, UserId};
use ringway_ring::NodeId;

use super::Garbage;
use super::wire::{Reader, Writer};
use crate::message::{Direct, Epoch, LiveBody, LiveMessage, Publication, Unread};

const PUBLICATION: u64 = 0;
const MARK: u64 = 1;
const SIGNAL: u64 = 2;
const FORGOTTEN: u64 = 3;
const MARK_KEYS: u64 = 4;

/// Where a store sends on what it keeps, the headers hold number and time: the body has neither.
const NO_EPOCH: Epoch = Epoch { ms: 0, node: 0, random: 0 };

/// `[version, from, count, 0, epoch, offset, publication]`, `[version, from, count, 1, epoch, offset]` (a mark),
/// `[version, from, count, 2, epoch, 0, publication]` (a signal), `[version, from, count, 3, epoch, offset, ts]` (forgotten) or
/// `[version, from, count, 4, epoch, 0, [[key, offset], …]]` (a mark by key).
///
/// What a store keeps is written like a signal, see [`write_stored`]: its number is the server's to give.
pub(crate) fn write_live(message: &LiveMessage) -> Bytes {
    let (kind, epoch, offset, last, bound) = match &message.body {
        LiveBody::Publication { epoch, offset, publication } => {
            (PUBLICATION, *epoch, *offset, 1, publication.wire_bound())
        }
        LiveBody::Unread { epoch, offset, publication } => {
            (PUBLICATION, *epoch, *offset, 1, publication.wire_bound())
        }
        LiveBody::Mark { epoch, offset } => (MARK, *epoch, *offset, 0, 0),
        LiveBody::Signal(publication) => (SIGNAL, NO_EPOCH, 0, 1, publication.wire_bound()),
        LiveBody::Forgotten { epoch, offset, .. } => (FORGOTTEN, *epoch, *offset, 1, 10),
        LiveBody::MarkKeys { epoch, keys } => {
            let bytes = keys.iter().map(|(key, _)| 16 + key.as_ref().map_or(0, |key| key.as_str().len()));
            (MARK_KEYS, *epoch, 0, 1, 5 + bytes.sum::<usize>())
        }
        LiveBody::Stored(stored) => (SIGNAL, NO_EPOCH, 0, 1, stored.publication.wire_bound()),
    };
    let mut writer = Writer::message(5 + last, 64 + bound);
    writer.str(message.from.as_str()).u64(message.count).u64(kind);
    write_epoch(&mut writer, epoch);
    writer.u64(offset);
    match &message.body {
        LiveBody::Publication { publication, .. } | LiveBody::Signal(publication) => {
            write_publication(&mut writer, publication);
        }
        LiveBody::Unread { publication, .. } => writer.written(&publication.0),
        LiveBody::Stored(stored) => writer.written(&stored.publication.0),
        LiveBody::Forgotten { ts, .. } => drop(writer.u64(*ts)),
        LiveBody::MarkKeys { keys, .. } => {
            writer.list(keys);
            for (key, offset) in keys {
                writer.array(2).opt_str(key.as_ref()).u64(*offset);
            }
        }
        LiveBody::Mark { .. } => {}
    }
    writer.finish()
}

/// What a store is given to keep: `[version, from, 0, 2, no epoch, 0, publication]`. Of the same shape as all that travels
/// on live subjects, so that a reader who doesn't see the headers takes it for a signal, and never for a numbered publication.
pub(crate) fn write_stored(from: &NodeId, publication: &Publication) -> Bytes {
    let mut writer = Writer::message(6, 64 + publication.wire_bound());
    writer.str(from.as_str()).u64(0).u64(SIGNAL);
    write_epoch(&mut writer, NO_EPOCH);
    writer.u64(0);
    write_publication(&mut writer, publication);
    writer.finish()
}

/// Reads what [`write_stored`] wrote, but for the publication, which it leaves unread.
pub(crate) fn read_stored(bytes: &Bytes) -> Result<Unread, Garbage> {
    stored_parts(bytes).map(|(_, publication)| publication)
}

/// By whom it was stored, and what was published.
fn stored_parts(bytes: &Bytes) -> Result<(&str, Unread), Garbage> {
    let mut reader = Reader::message(bytes, 6)?;
    let from = reader.str()?;
    let (_, kind) = (reader.u64()?, reader.u64()?);
    if kind != SIGNAL {
        return Err(Garbage::Malformed("not what a store keeps"));
    }
    let (_, _) = (read_epoch(&mut reader)?, reader.u64()?);
    Ok((from, Unread(bytes.slice(bytes.len() - reader.rest().len()..))))
}

/// Reads live messages, one after another. Most are of the same sender as the one before, and share its name.
#[derive(Debug, Default)]
pub(crate) struct LiveReader {
    from: Option<NodeId>,
}

impl LiveReader {
    /// Reads a message but for what was published, which it leaves [unread](Unread).
    pub(crate) fn read(
        &mut self,
        bytes: &Bytes,
        (tenant, room): (TenantId, RoomName),
        traceparent: Option<Arc<str>>,
    ) -> Result<LiveMessage, Garbage> {
        let mut reader = Reader::message(bytes, 5)?;
        let (from, count) = (self.sender(reader.str()?)?, reader.u64()?);
        let kind = reader.u64()?;
        let (epoch, offset) = (read_epoch(&mut reader)?, reader.u64()?);
        let body = match kind {
            PUBLICATION => {
                let publication = Unread(bytes.slice(bytes.len() - reader.rest().len()..));
                LiveBody::Unread { epoch, offset, publication }
            }
            MARK => LiveBody::Mark { epoch, offset },
            SIGNAL => LiveBody::Signal(Arc::new(read_publication(&mut reader)?)),
            FORGOTTEN => LiveBody::Forgotten { epoch, offset, ts: reader.u64()? },
            MARK_KEYS => LiveBody::MarkKeys { epoch, keys: read_keys(&mut reader)? },
            _ => return Err(Garbage::Malformed("a live message of an unknown kind")),
        };
        Ok(LiveMessage { from, count, tenant, room, body, traceparent })
    }

    /// Reads what [`write_stored`] wrote, but for the publication, which it leaves unread; and by whom it was stored.
    pub(crate) fn read_stored(&mut self, bytes: &Bytes) -> Result<(NodeId, Unread), Garbage> {
        let (from, publication) = stored_parts(bytes)?;
        Ok((self.sender(from)?, publication))
    }

    fn sender(&mut self, name: &str) -> Result<NodeId, Garbage> {
        if let Some(last) = self.from.as_ref().filter(|last| last.as_str() == name) {
            return Ok(last.clone());
        }
        let from: NodeId = name.parse().map_err(|_| Garbage::Malformed("a name that breaks its rules"))?;
        self.from = Some(from.clone());
        Ok(from)
    }
}

fn read_keys(reader: &mut Reader<'_>) -> Result<Vec<(Option<Key>, u64)>, Garbage> {
    let count = reader.length()?;
    if count as usize > crate::message::MARK_KEYS {
        return Err(Garbage::Malformed("a mark of too many keys"));
    }
    let mut keys = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let unknown = reader.enter(2)?;
        keys.push((reader.opt(Reader::name::<Key>)?, reader.u64()?));
        reader.leave(unknown)?;
    }
    Ok(keys)
}

/// Reads what was published, once somebody needs it.
pub(crate) fn read_unread(bytes: &[u8]) -> Result<Publication, Garbage> {
    read_publication(&mut Reader::go_on(bytes))
}

/// `[version, user, publication]`.
pub(crate) fn write_direct(direct: &Direct) -> Bytes {
    let mut writer = Writer::message(2, 160 + direct.publication.wire_bound());
    writer.opt_str(direct.user.as_ref());
    write_publication(&mut writer, &direct.publication);
    writer.finish()
}

pub(crate) fn read_direct(
    bytes: &[u8],
    tenant: TenantId,
    traceparent: Option<Arc<str>>,
) -> Result<Direct, Garbage> {
    let mut reader = Reader::message(bytes, 2)?;
    let user = reader.opt(Reader::name::<UserId>)?;
    let publication = Arc::new(read_publication(&mut reader)?);
    Ok(Direct { tenant, user, publication, traceparent })
}

pub(super) fn write_epoch(writer: &mut Writer, epoch: Epoch) {
    writer.array(3).u64(epoch.ms).u64(epoch.node).u64(u64::from(epoch.random));
}

pub(super) fn read_epoch(reader: &mut Reader<'_>) -> Result<Epoch, Garbage> {
    let unknown = reader.enter(3)?;
    let (ms, node) = (reader.u64()?, reader.u64()?);
    let random = u32::try_from(reader.u64()?).map_err(|_| Garbage::Malformed("an epoch out of range"))?;
    reader.leave(unknown)?;
    Ok(Epoch { ms, node, random })
}

/// Without its span.
pub(super) fn write_publication(writer: &mut Writer, publication: &Publication) {
    writer.array(11);
    write_fields(writer, publication);
}

/// With its span, and whether it is a signal, as last elements.
pub(super) fn write_traced(writer: &mut Writer, publication: &Publication) {
    writer.array(13);
    write_fields(writer, publication);
    writer.opt_str(publication.span.as_ref()).bool(publication.signal);
}

fn write_fields(writer: &mut Writer, publication: &Publication) {
    let Publication { ts, user, event, key, mid, trace, data, conn, session, echo, span: _, signal: _ } =
        publication;
    writer.u64(*ts).opt_str(user.as_ref()).opt_str(event.as_ref()).opt_str(key.as_ref());
    writer.opt_str(mid.as_ref()).opt_str(trace.as_ref()).opt_str(conn.as_ref()).opt_str(session.as_ref());
    writer.bool(*echo).payload(data);
}

pub(super) fn read_publication(reader: &mut Reader<'_>) -> Result<Publication, Garbage> {
    let text = |reader: &mut Reader<'_>| reader.str().map(Arc::from);
    let mut unknown = reader.enter(11)?;
    let mut publication = Publication {
        ts: reader.u64()?,
        user: reader.opt(Reader::name)?,
        event: reader.opt(text)?,
        key: reader.opt(Reader::name)?,
        mid: reader.opt(text)?,
        trace: reader.opt(text)?,
        conn: reader.opt(Reader::name)?,
        session: reader.opt(Reader::name)?,
        echo: reader.bool()?,
        data: reader.payload()?,
        span: None,
        signal: false,
    };
    if unknown.take_one() {
        publication.span = reader.opt(text)?;
    }
    if unknown.take_one() {
        publication.signal = reader.bool()?;
    }
    reader.leave(unknown)?;
    Ok(publication)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use proptest::prelude::*;

    fn place(message: &LiveMessage) -> (TenantId, RoomName) {
        (message.tenant.clone(), message.room.clone())
    }

    /// With its publication read too.
    fn read_live(bytes: &[u8], of: &LiveMessage) -> Result<LiveMessage, Garbage> {
        let traceparent = of.traceparent.clone();
        let mut message =
            LiveReader::default().read(&Bytes::copy_from_slice(bytes), place(of), traceparent)?;
        if let LiveBody::Unread { epoch, offset, publication } = message.body {
            let publication = Arc::new(read_unread(&publication.0)?);
            message.body = LiveBody::Publication { epoch, offset, publication };
        }
        Ok(message)
    }

    #[test]
    fn live_messages_come_back() {
        for message in samples::live() {
            assert_eq!(read_live(&write_live(&message), &message).as_ref(), Ok(&message));
        }
    }

    #[test]
    fn unread_they_say_the_same_and_can_be_sent_on() {
        let mut reader = LiveReader::default();
        for message in samples::live() {
            let bytes = write_live(&message);
            let unread = reader.read(&bytes, place(&message), message.traceparent.clone());
            let unread = unread.expect("readable");
            assert!(!matches!(unread.body, LiveBody::Publication { .. }));
            assert_eq!(unread, message);
            assert_eq!(write_live(&unread), bytes);
        }
    }

    #[test]
    fn a_sender_is_who_it_says_whoever_came_before() {
        let mut reader = LiveReader::default();
        for from in ["n1", "n1", "n2", "n1", "n", "n11"] {
            let mut message = samples::live().remove(0);
            message.from = from.parse().expect("an id");
            let read = reader.read(&write_live(&message), place(&message), None);
            assert_eq!(read.map(|read| read.from), Ok(message.from));
        }
    }

    #[test]
    fn direct_messages_come_back() {
        for direct in samples::direct() {
            let bytes = write_direct(&direct);
            assert_eq!(read_direct(&bytes, direct.tenant.clone(), None), Ok(direct));
        }
    }

    #[test]
    fn a_publication_never_outgrows_its_bound() {
        for publication in samples::publications() {
            let mut writer = Writer::message(1, 0);
            write_traced(&mut writer, &publication);
            let bytes = writer.finish();
            assert!(
                bytes.len() <= publication.wire_bound(),
                "{} > {}",
                bytes.len(),
                publication.wire_bound()
            );
        }
    }

    #[test]
    fn elements_of_later_releases_are_passed_over() {
        let publication = samples::publications().remove(0);
        let mut writer = Writer::message(7, 0);
        writer.str("node-b").u64(9).u64(PUBLICATION);
        writer.array(4).u64(1).u64(2).u64(3).str("later");
        writer.u64(5);
        writer.array(15).u64(publication.ts).nil().nil().nil().nil().nil().nil().nil();
        writer.bool(true).payload(&publication.data).nil().bool(true);
        writer.array(2).array(1).nil().bool(true).bin(b"later");
        writer.array(1).u64(1);
        let bytes = writer.finish();
        let sample = samples::live().remove(0);
        let read = read_live(&bytes, &sample).map(|message| message.body);
        let Ok(LiveBody::Publication { epoch, offset: 5, publication: read }) = read else {
            panic!("{read:?}")
        };
        assert_eq!(epoch, Epoch { ms: 1, node: 2, random: 3 });
        assert_eq!((&read.data, read.signal), (&publication.data, true));
    }

    #[test]
    fn garbage_is_told_apart_and_never_read() {
        let sample = samples::live().remove(0);
        let read = |bytes: &[u8]| read_live(bytes, &sample);
        let mut other = write_live(&sample).to_vec();
        other[1] = 2;
        assert_eq!(read(&other), Err(Garbage::Version(2)));
        for bytes in
            [&b""[..], b"\xff\xfe", b"hello", &[0x90], &[0xdd, 0xff, 0xff, 0xff, 0xff, 1], &[0; 1 << 20]]
        {
            assert!(read(bytes).is_err());
        }
        let whole = write_live(&sample);
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn reading_anything_ends(bytes in proptest::collection::vec(any::<u8>(), 0..200), which in 0_usize..3, at: usize, byte: u8) {
            let samples = samples::live();
            let sample = &samples[which % samples.len()];
            let _ = read_live(&bytes, sample);
            let mut damaged = write_live(sample).to_vec();
            let at = at % damaged.len();
            damaged[at] = byte;
            let _ = read_live(&damaged, sample);
        }
    }
}
