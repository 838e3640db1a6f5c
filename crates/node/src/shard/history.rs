//! Pages of what durable rooms keep, for clients and for gateways; and rooms that are made to forget it.
//!
//! A page is read beside the shard, by any node: the store is asked, not the room. A client's request keeps its lane until
//! it is answered, so what it published before is stored by then. Few pages are under way at a time, others wait; none is
//! kept for a client that takes too little: it is read once more when there is room for it.

use std::sync::Arc;
use std::time::Duration;

use ringway_auth::Right;
use ringway_backplane::Replier;
use ringway_backplane::message::{
    Answer, Ask, Epoch, HistoryPage, LiveBody, LiveMessage, PageOf, Publication, STATE_LIMIT,
};
use ringway_backplane::store::{Newest, ReadError, RoomAt};
use ringway_protocol::Code;
use ringway_protocol::frame::{HistoryResult, Msg, OkResult, ServerFrame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::answers::{self, No};
use super::clients::{JOIN_AGAIN, JOIN_BEHIND, JOIN_PATIENCE};
use super::core::Wake;
use super::{Command, RoomKey, Shard};
use crate::conn::ConnRef;
use crate::encode::finished;
use crate::reader::Reader;

/// Pages that a shard reads, or has read and not yet sent, at a time: each has half a MiB at most.
const UNDER_WAY: usize = 16;

/// And that wait for that; further ones are refused.
const WAITING: usize = 1_024;

/// How long a page, or a room's forgetting, may take once it has its turn; and how long it waits for that.
const WITHIN: Duration = Duration::from_secs(4);

/// When it is worth asking again.
const AGAIN: Duration = Duration::from_secs(1);

/// Bytes that may wait for a connection when a page is sent to it; what doesn't fit is the next page's.
const PAGE_BEHIND: usize = 512 * 1024;

/// What bounds a shard's pages.
#[derive(Debug)]
pub(crate) struct Pages {
    waiting: Arc<Semaphore>,
    under_way: Arc<Semaphore>,
}

impl Default for Pages {
    fn default() -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { waiting: semaphore(WAITING), under_way: semaphore(UNDER_WAY) }
    }
}

/// A page that a client asked for.
#[derive(Debug)]
pub(crate) struct Wish {
    conn: ConnRef,
    room: RoomKey,
    id: u64,
    page: PageOf,
    /// When it is given up, if the connection is behind until then.
    until: Instant,
}

/// What came of reading it.
#[derive(Debug)]
pub(crate) struct Paged {
    wish: Box<Wish>,
    result: Result<HistoryPage, ReadError>,
    /// Held until the page is with the connection.
    _turn: Option<OwnedSemaphorePermit>,
}

/// What came of making a room forget what it kept, and who is to hear of it.
#[derive(Debug)]
pub(crate) struct Forgot {
    at: RoomAt,
    result: Result<Option<(Epoch, Newest)>, ReadError>,
    reply: Replier,
}

impl Wish {
    /// So much waits for the connection already that a page has to wait, too.
    fn is_behind(&self) -> bool {
        self.conn.way.waits_beyond(JOIN_BEHIND)
    }
}

impl Shard {
    /// A client asks for a page.
    pub(super) fn history(&mut self, conn: &ConnRef, room: &RoomKey, id: u64, page: PageOf) {
        let until = Instant::now() + JOIN_PATIENCE;
        self.read_page(Box::new(Wish { conn: conn.clone(), room: room.clone(), id, page, until }));
    }

    /// Has it read, once the connection isn't behind.
    pub(super) fn read_page(&mut self, wish: Box<Wish>) {
        if self.core.guests.is_gone(&wish.conn.id) {
            return self.finish(&wish.conn, &wish.room);
        }
        let (at, reader) = match self.may_read(&wish) {
            Ok(kept) => kept,
            Err(no) => return self.no_page(&wish, &no),
        };
        if wish.is_behind() {
            return self.core.timers.add(Instant::now() + JOIN_AGAIN, Wake::Page(wish));
        }
        let Some(place) = self.place_for_page() else {
            let no = No::for_now(Code::Unavailable, "too many pages wait to be read", AGAIN);
            return self.no_page(&wish, &no);
        };
        let (inbox, under_way) = (self.core.inbox.clone(), self.core.pages.under_way.clone());
        self.core.tasks.spawn(async move {
            let _place = place;
            let (turn, result) = in_turn(under_way, reader.history(&at, wish.page)).await;
            // A shard that has ended answers nobody.
            drop(inbox.send(Command::Paged(Box::new(Paged { wish, result, _turn: turn }))).await);
        });
    }

    fn may_read(&self, wish: &Wish) -> Result<(RoomAt, Reader), No> {
        let conn = &wish.conn;
        // Another token may have come while the request waited behind others.
        if !conn.grants.lock().allows(Right::History, &wish.room.room, conn.user.as_ref()) {
            return Err(No::new(Code::Forbidden, "the new token doesn't allow that in this room"));
        }
        let kept = self.kept(&wish.room)?;
        if wish.is_behind() && Instant::now() >= wish.until {
            let no = "too much of what this connection was sent waits for it";
            return Err(No::for_now(Code::Unavailable, no, AGAIN));
        }
        Ok(kept)
    }

    /// A page was read for a client.
    pub(super) fn paged(&mut self, paged: Paged) {
        let Paged { wish, result, .. } = paged;
        match result {
            // Kept for none: it is read again once this connection has taken what waits for it.
            Ok(_) if wish.is_behind() => return self.read_page(wish),
            Ok(page) => self.tell_page(&wish, page),
            Err(_) => {
                let no = No::for_now(Code::Unavailable, "the room's store can't be read now", AGAIN);
                return self.no_page(&wish, &no);
            }
        }
        self.finish(&wish.conn, &wish.room);
    }

    fn tell_page(&mut self, wish: &Wish, page: HistoryPage) {
        let HistoryPage { epoch, entries, mut more, oldest, newest } = page;
        let (conn, room) = (&wish.conn, &wish.room.room);
        let mut entries = entries.iter().peekable();
        while let Some((offset, ts, publication)) = entries.next() {
            let msg = line(wish, *offset, *ts, publication);
            self.core.push(conn, &finished(conn.format, &ServerFrame::Msg(msg)));
            if conn.way.waits_beyond(PAGE_BEHIND) && entries.peek().is_some() {
                more = true;
                break;
            }
        }
        let epoch = Some(answers::epoch_name(epoch));
        let result = OkResult::History(HistoryResult { epoch, more, oldest, newest });
        if let Some(frame) = answers::ok(Some(wish.id), room.clone(), Some(result)) {
            self.core.push(conn, &finished(conn.format, &frame));
        }
    }

    fn no_page(&mut self, wish: &Wish, no: &No) {
        self.refuse(&wish.conn, &wish.room, Some(wish.id), no);
        self.finish(&wish.conn, &wish.room);
    }

    /// Another node, or a gateway, asks for a page, or that a room forgets. Whoever is asked does it: who owns the room
    /// doesn't matter to its store.
    pub(super) fn asked_of_store(&mut self, key: &RoomKey, ask: &Ask, reply: Replier) {
        let (at, reader) = match self.kept(key) {
            Ok(kept) => kept,
            Err(no) => return reply.send(Answer::Refused { code: no.code }),
        };
        let Some(place) = self.place_for_page() else {
            return reply.send(Answer::Refused { code: Code::Unavailable });
        };
        let (inbox, under_way) = (self.core.inbox.clone(), self.core.pages.under_way.clone());
        match *ask {
            Ask::History { page } => {
                self.core.tasks.spawn(async move {
                    let _place = place;
                    let (_turn, result) = in_turn(under_way, reader.history(&at, page)).await;
                    reply.send(match result {
                        Ok(page) => Answer::History(page.limited(STATE_LIMIT)),
                        Err(_) => Answer::Refused { code: Code::Unavailable },
                    });
                });
            }
            _ => {
                self.core.tasks.spawn(async move {
                    let _place = place;
                    let (_turn, result) = in_turn(under_way, reader.forget(&at)).await;
                    // A shard that has ended leaves the asker to its time limit.
                    drop(inbox.send(Command::Forgot(Box::new(Forgot { at, result, reply }))).await);
                });
            }
        }
    }

    /// A room was made to forget what it kept: its members, here and elsewhere, are told.
    pub(super) fn forgot(&mut self, forgot: Forgot) {
        let Forgot { at, result, reply } = forgot;
        let done = match result {
            Ok(done) => done,
            // What was on its way may still be done.
            Err(ReadError::Timeout) => return reply.send(Answer::Refused { code: Code::OutcomeUnknown }),
            Err(_) => return reply.send(Answer::Refused { code: Code::Unavailable }),
        };
        if let Some((epoch, Newest { offset, ts })) = done {
            let message = LiveMessage {
                from: self.core.placement.me.clone(),
                count: self.core.count_live(),
                tenant: at.tenant.clone(),
                room: at.room.clone(),
                body: LiveBody::Forgotten { epoch, offset, ts },
                traceparent: None,
            };
            // Who doesn't hear it finds nothing there, if it ever looks.
            if self.core.backplane.publish_live(&at.group, at.slot, &message).is_err() {
                self.core.metrics.live_refused.inc();
            }
            let key = RoomKey { tenant: at.tenant, room: at.room };
            self.in_durable(&key, |room, around| room.forgotten(around, epoch, offset, ts));
        }
        reply.send(Answer::Done);
    }

    /// Where a room's publications are kept, and who reads them.
    fn kept(&self, room: &RoomKey) -> Result<(RoomAt, Reader), No> {
        let none = || No::new(Code::NoHistory, "this room's publications aren't stored");
        let at = self.core.room_at(room).ok_or_else(none)?;
        match &self.core.keeping {
            Some(keeping) => Ok((at, keeping.reader.clone())),
            None => Err(No::for_now(Code::Unavailable, "no store can be reached from here", AGAIN)),
        }
    }

    /// A place among those that wait; none: too many do.
    fn place_for_page(&self) -> Option<OwnedSemaphorePermit> {
        self.core.pages.waiting.clone().try_acquire_owned().ok()
    }
}

/// Does a piece of work when it has its turn, and within its time.
async fn in_turn<T>(
    under_way: Arc<Semaphore>,
    work: impl Future<Output = Result<T, ReadError>>,
) -> (Option<OwnedSemaphorePermit>, Result<T, ReadError>) {
    let turn = match tokio::time::timeout(WITHIN, under_way.acquire_owned()).await {
        Ok(Ok(turn)) => turn,
        // Its turn never came: nothing was done.
        Ok(Err(_)) | Err(_) => return (None, Err(ReadError::Busy)),
    };
    let result = tokio::time::timeout(WITHIN, work).await.unwrap_or(Err(ReadError::Timeout));
    (Some(turn), result)
}

fn line(wish: &Wish, offset: u64, ts: u64, publication: &Publication) -> Msg {
    Msg {
        id: Some(wish.id),
        room: Some(wish.room.room.clone()),
        data: publication.data.clone(),
        offset: Some(offset),
        ts: Some(ts),
        user: publication.user.clone(),
        event: publication.event.clone(),
        key: publication.key.clone(),
        mid: publication.mid.clone(),
        prev: None,
        trace: publication.trace.clone(),
    }
}

#[cfg(test)]
mod tests {
    use ringway_config::{Config, Environment};
    use ringway_protocol::Payload;
    use serde_json::{Value, json};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    use super::*;
    use crate::shard::guests::Entry;
    use crate::shard::{Op, scene};

    const FAR: Duration = Duration::from_secs(30);
    const EPOCH: Epoch = Epoch { ms: 1, node: 2, random: 3 };
    const PAGE: PageOf = PageOf { after: None, before: None, limit: 100, epoch: None };

    /// The next frame of a connection.
    async fn heard(client: &mut TcpStream) -> Value {
        let reading = async {
            let mut head = [0; 2];
            client.read_exact(&mut head).await.unwrap();
            let length = match head[1] {
                126 => usize::from(client.read_u16().await.unwrap()),
                127 => usize::try_from(client.read_u64().await.unwrap()).unwrap(),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            client.read_exact(&mut payload).await.unwrap();
            serde_json::from_slice(&payload).unwrap()
        };
        tokio::time::timeout(FAR, reading).await.expect("a frame comes")
    }

    fn publication(bytes: usize) -> Arc<Publication> {
        Arc::new(Publication {
            mid: Some("m".into()),
            echo: false,
            ..Publication::new(1, Payload::from_json(format!("{:?}", "x".repeat(bytes)).as_bytes()).unwrap())
        })
    }

    fn page(entries: u64, bytes: usize) -> HistoryPage {
        let entries = (1..=entries).map(|offset| (offset, offset * 10, publication(bytes))).collect();
        HistoryPage { epoch: EPOCH, entries, more: false, oldest: Some(1), newest: Some(9) }
    }

    /// A request whose page was read.
    fn paged(shard: &mut Shard, conn: &ConnRef, until: Instant, result: Result<HistoryPage, ReadError>) {
        let room = scene::room("a");
        let op = Op::History { id: 7, page: PAGE };
        assert!(matches!(shard.core.guests.enter(conn, &room, op), Entry::Now(_)));
        let wish = Box::new(Wish { conn: conn.clone(), room, id: 7, page: PAGE, until });
        shard.paged(Paged { wish, result, _turn: None });
    }

    /// A shard in which every room is durable, and no store can be reached.
    fn durable() -> Shard {
        let (mut shard, _) = scene::shard();
        let text = "[gateway]\nauth = \"off\"\n[stores.s]\nage = \"1h\"\n[[classes]]\nrooms = \"**\"\nstore = \"s\"\n";
        let config = Config::from_text(text, "r.toml".as_ref(), &Environment::new()).unwrap();
        shard.core.configure(config.tenants());
        shard
    }

    #[tokio::test]
    async fn a_page_is_its_lines_and_then_what_is_said_of_it() {
        let (mut shard, _) = scene::shard();
        let (conn, (mut client, _reader)) = scene::connection().await;
        paged(&mut shard, &conn, Instant::now(), Ok(page(2, 1)));
        shard.core.flush();
        for offset in [1, 2] {
            let expected = json!({
                "t": "msg", "id": 7, "room": "a", "data": "x", "offset": offset, "ts": offset * 10, "mid": "m"
            });
            assert_eq!(heard(&mut client).await, expected);
        }
        let result = json!({"epoch": EPOCH.to_string(), "more": false, "oldest": 1, "newest": 9});
        assert_eq!(heard(&mut client).await, json!({"t": "ok", "id": 7, "room": "a", "result": result}));
        shard.settle();
        assert!(shard.core.guests.is_gone(&conn.id), "its lane has ended");
    }

    #[tokio::test]
    async fn a_page_goes_no_further_than_the_connection_takes_it() {
        let (mut shard, _) = scene::shard();
        let (conn, (mut client, mut its_task)) = scene::connection().await;
        paged(&mut shard, &conn, Instant::now(), Ok(page(40, 60_000)));
        assert!(conn.way.queued_bytes() < PAGE_BEHIND + 70_000);
        shard.core.flush();
        let reader = tokio::spawn(async move {
            let mut lines = 0;
            loop {
                let frame = heard(&mut client).await;
                if frame["t"] == "ok" {
                    return (client, lines, frame["result"]["more"].clone());
                }
                lines += 1;
                assert_eq!(frame["offset"], lines);
            }
        });
        // Who writes what didn't fit is the connection's own task.
        let mut nothing = |_: ringway_edge::Message<'_>| {};
        let (_client, lines, more) = tokio::select! {
            told = reader => told.unwrap(),
            _ = its_task.read(&mut nothing) => panic!("it stands"),
        };
        assert_eq!((lines, more), (9, json!(true)), "the tenth would wait behind half a MiB");
    }

    #[tokio::test]
    async fn a_connection_that_is_behind_is_sent_no_line() {
        let mut shard = durable();
        let (conn, _held) = scene::connection().await;
        let filler = ringway_edge::Frame::text(&[b'x'; 300_000]);
        conn.way.push_for(&filler, ringway_edge::Due::Later);
        paged(&mut shard, &conn, Instant::now() + FAR, Ok(page(1, 1)));
        // No store can be reached here, so its second look ends it.
        assert_eq!(shard.core.done.len(), 1);
        shard.settle();
        let queued = conn.way.queued_bytes();
        assert!(queued > 300_000 && queued < 300_500, "refused, and no line sent: {queued}");
    }

    #[tokio::test]
    async fn what_isnt_stored_has_no_history() {
        let (mut shard, _) = scene::shard();
        let (conn, (mut client, _reader)) = scene::connection().await;
        shard.client(&conn, &scene::room("a"), Op::History { id: 7, page: PAGE });
        shard.core.flush();
        let told = heard(&mut client).await;
        assert_eq!((&told["code"], &told["id"], told.get("retry")), (&json!("no_history"), &json!(7), None));
        let mut shard = durable();
        shard.client(&conn, &scene::room("a"), Op::History { id: 8, page: PAGE });
        shard.core.flush();
        let told = heard(&mut client).await;
        assert_eq!((&told["code"], &told["retry"]), (&json!("unavailable"), &json!(1_000)));
        for (mut shard, code) in [(scene::shard().0, Code::NoHistory), (durable(), Code::Unavailable)] {
            for ask in [Ask::History { page: PAGE }, Ask::Forget] {
                let (reply, mut answer) = Replier::channel();
                shard.asked_of_store(&scene::room("a"), &ask, reply);
                assert_eq!(answer.try_recv(), Ok(Answer::Refused { code: code.clone() }), "{ask:?}");
            }
        }
    }

    #[tokio::test]
    async fn who_forgot_is_told_what_came_of_it() {
        let mut shard = durable();
        let newest = Newest { offset: 9, ts: 99 };
        for (result, told) in [
            (Ok(Some((EPOCH, newest))), Answer::Done),
            (Ok(None), Answer::Done),
            (Err(ReadError::Timeout), Answer::Refused { code: Code::OutcomeUnknown }),
            (Err(ReadError::Away), Answer::Refused { code: Code::Unavailable }),
        ] {
            let (reply, mut answer) = Replier::channel();
            let at = shard.core.room_at(&scene::room("a")).unwrap();
            let is_done = matches!(result, Ok(Some(_)));
            let before = shard.core.count_live();
            shard.forgot(Forgot { at, result, reply });
            assert_eq!(answer.try_recv(), Ok(told));
            assert_eq!(shard.core.count_live() - before, 1 + u64::from(is_done), "one message tells of it");
        }
    }
}
