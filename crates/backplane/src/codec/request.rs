//! Questions and answers.

use std::sync::Arc;

use bytes::Bytes;
use ringway_protocol::code::Code;
use ringway_ring::NodeId;

use super::Garbage;
use super::live::{read_epoch, read_publication, write_epoch, write_publication, write_traced};
use super::wire::{Reader, Writer};
use crate::message::{
    Answer, Ask, Fate, HistoryPage, Known, PageOf, Published, Question, Request, RoomTally,
};

/// What is asked, as the third element. Room questions have tenant and room after it.
mod asked {
    pub(super) const PUBLISH: u64 = 0;
    pub(super) const SYNC: u64 = 1;
    pub(super) const TAKE: u64 = 2;
    pub(super) const GREATER: u64 = 3;
    pub(super) const MEMBERS: u64 = 4;
    pub(super) const HISTORY: u64 = 5;
    pub(super) const FORGET: u64 = 6;
    pub(super) const TALLY: u64 = 32;
    pub(super) const PROBE: u64 = 33;
}

/// What is answered, as the second element.
mod answered {
    pub(super) const PUBLISHED: u64 = 0;
    pub(super) const STATE: u64 = 1;
    pub(super) const NOT_HELD: u64 = 2;
    pub(super) const REDIRECT: u64 = 3;
    pub(super) const MEMBERS: u64 = 4;
    pub(super) const DONE: u64 = 5;
    pub(super) const REFUSED: u64 = 6;
    pub(super) const LIMITED: u64 = 7;
    pub(super) const FATES: u64 = 8;
    pub(super) const HISTORY: u64 = 9;
}

/// `[version, from, kind, …]`.
pub(crate) fn write_request(request: &Request) -> Bytes {
    match &request.body {
        Question::Room { tenant, room, ask } => {
            let (kind, elements, body) = match ask {
                Ask::Publish { publications } => {
                    (asked::PUBLISH, 1, publications.iter().map(|publication| publication.wire_bound()).sum())
                }
                Ask::Sync { .. } => (asked::SYNC, 1, 128),
                Ask::Take { .. } => (asked::TAKE, 1, 128),
                Ask::Greater { .. } => (asked::GREATER, 3, 128),
                Ask::Members => (asked::MEMBERS, 0, 0),
                Ask::History { .. } => (asked::HISTORY, 1, 64),
                Ask::Forget => (asked::FORGET, 0, 0),
            };
            let mut writer = Writer::message(4 + elements, body + 400);
            writer.str(request.from.as_str()).u64(kind).str(tenant.as_str()).str(room.as_str());
            match ask {
                Ask::Publish { publications } => {
                    writer.list(publications);
                    for publication in publications {
                        write_traced(&mut writer, publication);
                    }
                }
                Ask::Sync { known } | Ask::Take { known } => write_known(&mut writer, known.as_ref()),
                Ask::Greater { epoch, holder, offset } => {
                    write_epoch(&mut writer, *epoch);
                    writer.opt_str(holder.as_ref().map(NodeId::as_str)).u64(*offset);
                }
                Ask::History { page } => write_page_of(&mut writer, page),
                Ask::Members | Ask::Forget => {}
            }
            writer.finish()
        }
        Question::Tally(tallies) => {
            let users: usize = tallies.iter().filter_map(|tally| tally.users.as_ref()).map(Vec::len).sum();
            let mut writer = Writer::message(3, 128 + tallies.len() * 320 + users * 9);
            writer.str(request.from.as_str()).u64(asked::TALLY).list(tallies);
            for tally in tallies {
                write_tally(&mut writer, tally);
            }
            writer.finish()
        }
        Question::Probe => {
            let mut writer = Writer::message(2, 80);
            writer.str(request.from.as_str()).u64(asked::PROBE);
            writer.finish()
        }
    }
}

pub(crate) fn read_request(bytes: &[u8], traceparent: Option<Arc<str>>) -> Result<Request, Garbage> {
    let mut reader = Reader::message(bytes, 2)?;
    let from = reader.name()?;
    let body = match reader.u64()? {
        asked::TALLY => Question::Tally(read_list(&mut reader, read_tally)?),
        asked::PROBE => Question::Probe,
        kind => Question::Room {
            tenant: reader.name()?,
            room: reader.name()?,
            ask: match kind {
                asked::PUBLISH => Ask::Publish { publications: read_list(&mut reader, read_publication)? },
                asked::SYNC => Ask::Sync { known: reader.opt(read_known)? },
                asked::TAKE => Ask::Take { known: reader.opt(read_known)? },
                asked::GREATER => Ask::Greater {
                    epoch: read_epoch(&mut reader)?,
                    holder: reader.opt(Reader::name)?,
                    offset: reader.u64()?,
                },
                asked::MEMBERS => Ask::Members,
                asked::HISTORY => Ask::History { page: read_page_of(&mut reader)? },
                asked::FORGET => Ask::Forget,
                _ => return Err(Garbage::Malformed("a question of an unknown kind")),
            },
        },
    };
    Ok(Request { from, body, traceparent })
}

/// `[version, kind, …]`.
pub(crate) fn write_answer(answer: &Answer) -> Bytes {
    let mut writer;
    match answer {
        Answer::Published(all) => {
            writer = Writer::message(2, 16 + all.len() * 40);
            write_published(writer.u64(answered::PUBLISHED), all);
        }
        Answer::Limited { published, retry_ms } => {
            writer = Writer::message(3, 32 + published.len() * 40);
            write_published(writer.u64(answered::LIMITED), published);
            match retry_ms {
                Some(retry_ms) => drop(writer.u64(*retry_ms)),
                None => drop(writer.nil()),
            }
        }
        Answer::State { epoch, offset, base, entries } => {
            let body: usize = entries.iter().map(|(_, publication)| publication.wire_bound() + 10).sum();
            writer = Writer::message(5, 64 + body);
            writer.u64(answered::STATE);
            write_epoch(&mut writer, *epoch);
            writer.u64(*offset).u64(*base).list(entries);
            for (offset, publication) in entries {
                writer.array(2).u64(*offset);
                write_publication(&mut writer, publication);
            }
        }
        Answer::NotHeld { known, holder } => {
            writer = Writer::message(3, 128);
            writer.u64(answered::NOT_HELD);
            match known {
                Some(epoch) => write_epoch(&mut writer, *epoch),
                None => drop(writer.nil()),
            }
            writer.opt_str(holder.as_ref().map(NodeId::as_str));
        }
        Answer::Redirect { to } => {
            writer = Writer::message(2, 80);
            writer.u64(answered::REDIRECT).opt_str(to.as_ref().map(NodeId::as_str));
        }
        Answer::Members { count, users } => {
            writer = Writer::message(3, 24);
            writer.u64(answered::MEMBERS).u64(*count);
            match users {
                Some(users) => drop(writer.u64(*users)),
                None => drop(writer.nil()),
            }
        }
        Answer::Fates(fates) => {
            writer = Writer::message(2, 16 + fates.len() * 44);
            writer.u64(answered::FATES).list(fates);
            for fate in fates {
                write_fate(&mut writer, fate);
            }
        }
        Answer::History(page) => {
            let body: usize = page.entries.iter().map(|(.., one)| one.wire_bound() + 20).sum();
            writer = Writer::message(6, 96 + body);
            writer.u64(answered::HISTORY);
            write_epoch(&mut writer, page.epoch);
            writer.list(&page.entries);
            for (offset, ts, publication) in &page.entries {
                writer.array(3).u64(*offset).u64(*ts);
                write_publication(&mut writer, publication);
            }
            writer.bool(page.more);
            write_opt(&mut writer, page.oldest);
            write_opt(&mut writer, page.newest);
        }
        Answer::Done => {
            writer = Writer::message(1, 4);
            writer.u64(answered::DONE);
        }
        Answer::Refused { code } => {
            writer = Writer::message(2, 80);
            writer.u64(answered::REFUSED).str(code.as_str());
        }
    }
    writer.finish()
}

pub(crate) fn read_answer(bytes: &[u8]) -> Result<Answer, Garbage> {
    let mut reader = Reader::message(bytes, 1)?;
    Ok(match reader.u64()? {
        answered::PUBLISHED => Answer::Published(read_list(&mut reader, read_published)?),
        answered::LIMITED => Answer::Limited {
            published: read_list(&mut reader, read_published)?,
            retry_ms: reader.opt(Reader::u64)?,
        },
        answered::STATE => Answer::State {
            epoch: read_epoch(&mut reader)?,
            offset: reader.u64()?,
            base: reader.u64()?,
            entries: read_list(&mut reader, |reader| {
                let unknown = reader.enter(2)?;
                let entry = (reader.u64()?, Arc::new(read_publication(reader)?));
                reader.leave(unknown)?;
                Ok(entry)
            })?,
        },
        answered::NOT_HELD => {
            Answer::NotHeld { known: reader.opt(read_epoch)?, holder: reader.opt(Reader::name)? }
        }
        answered::REDIRECT => Answer::Redirect { to: reader.opt(Reader::name)? },
        answered::MEMBERS => Answer::Members { count: reader.u64()?, users: reader.opt(Reader::u64)? },
        answered::FATES => Answer::Fates(read_list(&mut reader, read_fate)?),
        answered::HISTORY => Answer::History(HistoryPage {
            epoch: read_epoch(&mut reader)?,
            entries: read_list(&mut reader, |reader| {
                let unknown = reader.enter(3)?;
                let entry = (reader.u64()?, reader.u64()?, Arc::new(read_publication(reader)?));
                reader.leave(unknown)?;
                Ok(entry)
            })?,
            more: reader.bool()?,
            oldest: reader.opt(Reader::u64)?,
            newest: reader.opt(Reader::u64)?,
        }),
        answered::DONE => Answer::Done,
        answered::REFUSED => Answer::Refused { code: Code::lenient(reader.str()?) },
        _ => return Err(Garbage::Malformed("an answer of an unknown kind")),
    })
}

fn write_published(writer: &mut Writer, all: &[Published]) {
    writer.list(all);
    for published in all {
        writer.array(3);
        write_epoch(writer, published.epoch);
        writer.u64(published.offset).bool(published.duplicate);
    }
}

fn read_published(reader: &mut Reader<'_>) -> Result<Published, Garbage> {
    let unknown = reader.enter(3)?;
    let published =
        Published { epoch: read_epoch(reader)?, offset: reader.u64()?, duplicate: reader.bool()? };
    reader.leave(unknown)?;
    Ok(published)
}

fn write_known(writer: &mut Writer, known: Option<&Known>) {
    let Some(Known { epoch, holder, offset }) = known else {
        writer.nil();
        return;
    };
    writer.array(3);
    write_epoch(writer, *epoch);
    writer.opt_str(holder.as_ref().map(NodeId::as_str)).u64(*offset);
}

fn read_known(reader: &mut Reader<'_>) -> Result<Known, Garbage> {
    let unknown = reader.enter(3)?;
    let known =
        Known { epoch: read_epoch(reader)?, holder: reader.opt(Reader::name)?, offset: reader.u64()? };
    reader.leave(unknown)?;
    Ok(known)
}

fn write_tally(writer: &mut Writer, tally: &RoomTally) {
    writer.array(4).str(tally.tenant.as_str()).str(tally.room.as_str()).u64(tally.count);
    match &tally.users {
        Some(users) => {
            writer.list(users);
            for user in users {
                writer.u64(*user);
            }
        }
        None => drop(writer.nil()),
    }
}

fn read_tally(reader: &mut Reader<'_>) -> Result<RoomTally, Garbage> {
    let unknown = reader.enter(4)?;
    let tally = RoomTally {
        tenant: reader.name()?,
        room: reader.name()?,
        count: reader.u64()?,
        users: reader.opt(|reader| read_list(reader, |reader| reader.u64()))?,
    };
    reader.leave(unknown)?;
    Ok(tally)
}

/// Reads a list item by item: its memory grows with what is there, not with what its length says.
fn read_list<T>(
    reader: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, Garbage>,
) -> Result<Vec<T>, Garbage> {
    let length = reader.length()?;
    let mut list = Vec::new();
    for _ in 0..length {
        list.push(read(reader)?);
    }
    Ok(list)
}

/// What became of a publication, as the first element of its array.
mod fate {
    pub(super) const STORED: u64 = 0;
    pub(super) const PASSED: u64 = 1;
    pub(super) const FULL: u64 = 2;
    pub(super) const TOO_BIG: u64 = 3;
    pub(super) const UNAVAILABLE: u64 = 4;
    pub(super) const UNKNOWN: u64 = 5;
    pub(super) const LIMITED: u64 = 6;
}

fn write_fate(writer: &mut Writer, fate: &Fate) {
    match fate {
        Fate::Stored(Published { epoch, offset, duplicate }) => {
            writer.array(4).u64(fate::STORED);
            write_epoch(writer, *epoch);
            writer.u64(*offset).bool(*duplicate);
        }
        Fate::Limited { retry_ms } => {
            writer.array(2).u64(fate::LIMITED);
            write_opt(writer, *retry_ms);
        }
        Fate::Passed => drop(writer.array(1).u64(fate::PASSED)),
        Fate::Full => drop(writer.array(1).u64(fate::FULL)),
        Fate::TooBig => drop(writer.array(1).u64(fate::TOO_BIG)),
        Fate::Unavailable => drop(writer.array(1).u64(fate::UNAVAILABLE)),
        Fate::Unknown => drop(writer.array(1).u64(fate::UNKNOWN)),
    }
}

fn read_fate(reader: &mut Reader<'_>) -> Result<Fate, Garbage> {
    let mut unknown = reader.enter(1)?;
    let fate = match reader.u64()? {
        fate::STORED => {
            if !(unknown.take_one() && unknown.take_one() && unknown.take_one()) {
                return Err(Garbage::Malformed("too few elements"));
            }
            let (epoch, offset, duplicate) = (read_epoch(reader)?, reader.u64()?, reader.bool()?);
            Fate::Stored(Published { epoch, offset, duplicate })
        }
        fate::LIMITED => {
            let retry_ms = if unknown.take_one() { reader.opt(Reader::u64)? } else { None };
            Fate::Limited { retry_ms }
        }
        fate::PASSED => Fate::Passed,
        fate::FULL => Fate::Full,
        fate::TOO_BIG => Fate::TooBig,
        fate::UNAVAILABLE => Fate::Unavailable,
        // What a later release may tell of it isn't known here.
        _ => Fate::Unknown,
    };
    reader.leave(unknown)?;
    Ok(fate)
}

fn write_page_of(writer: &mut Writer, page: &PageOf) {
    let PageOf { after, before, limit, epoch } = page;
    writer.array(4);
    write_opt(writer, *after);
    write_opt(writer, *before);
    writer.u64(u64::from(*limit));
    match epoch {
        Some(epoch) => write_epoch(writer, *epoch),
        None => drop(writer.nil()),
    }
}

fn read_page_of(reader: &mut Reader<'_>) -> Result<PageOf, Garbage> {
    let unknown = reader.enter(4)?;
    let page = PageOf {
        after: reader.opt(Reader::u64)?,
        before: reader.opt(Reader::u64)?,
        limit: u32::try_from(reader.u64()?).map_err(|_| Garbage::Malformed("a page out of range"))?,
        epoch: reader.opt(read_epoch)?,
    };
    reader.leave(unknown)?;
    Ok(page)
}

fn write_opt(writer: &mut Writer, number: Option<u64>) {
    match number {
        Some(number) => drop(writer.u64(number)),
        None => drop(writer.nil()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn questions_come_back() {
        for request in samples::requests() {
            assert_eq!(read_request(&write_request(&request), request.traceparent.clone()), Ok(request));
        }
    }

    #[test]
    fn answers_come_back() {
        for answer in samples::answers() {
            assert_eq!(read_answer(&write_answer(&answer)), Ok(answer));
        }
    }

    proptest! {
        #[test]
        fn reading_anything_ends(bytes in proptest::collection::vec(any::<u8>(), 0..200), at: usize, byte: u8) {
            let _ = (read_request(&bytes, None), read_answer(&bytes));
            let written = samples::requests().iter().map(write_request).collect::<Vec<_>>();
            for whole in written.into_iter().chain(samples::answers().iter().map(write_answer)) {
                let mut damaged = whole.to_vec();
                let at = at % damaged.len();
                damaged[at] = byte;
                let _ = (read_request(&damaged, None), read_answer(&damaged));
                let _ = (read_request(&whole[..at], None), read_answer(&whole[..at]));
            }
        }
    }
}
