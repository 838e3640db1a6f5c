//! Where a client's message goes, and when it has to wait.

use std::borrow::Cow;

use ringway_link::hello::CLIENT_WINDOW;
use ringway_link::{ConnNo, OpenAs, Up};
use ringway_names::NameNo;
use ringway_protocol::Code;
use ringway_protocol::frame::{Answer, Refusal, ServerFrame};
use ringway_protocol::name::RoomName;

use super::around::{Around, For, NodeNo};
use super::ask::{Ask, Kind};
use super::client::{Again, Asked, Auth, Client, Held, NOWHERE, Phase, Standing};
use super::seat::{Mark, Seat};
use super::{Flow, Rule, Table};

/// After which time, in milliseconds, what couldn't be asked now may be asked again.
pub(super) const RETRY: u64 = 1_000;

/// A join of more bytes isn't kept to be asked again: with the longest room, state and escapes it has fewer.
const JOIN: usize = 8 * 1024;

/// Nor are more bytes of joins kept for one client: asked again all together they must fit what a node takes of a client at a time.
const JOINS: usize = CLIENT_WINDOW as usize;

/// So many rooms beyond its limit may a client have asked something of not long ago.
const VISITS: usize = 256;

/// A client's message, and what it asks for.
#[derive(Clone, Copy)]
struct Message<'a> {
    text: bool,
    payload: &'a [u8],
    ask: &'a Ask,
}

/// What a gateway answers for a node.
#[derive(Clone)]
pub(super) struct No {
    pub(super) code: Code,
    pub(super) message: &'static str,
    pub(super) retry: Option<u64>,
}

impl No {
    pub(super) fn unavailable(message: &'static str) -> Self {
        Self { code: Code::Unavailable, message, retry: Some(RETRY) }
    }

    /// No node was found.
    pub(super) fn node() -> Self {
        Self::unavailable("no node could be reached")
    }

    fn not_joined() -> Self {
        Self { code: Code::NotJoined, message: "this connection isn't in that room", retry: None }
    }
}

impl<R> Table<R> {
    /// One message of a client that has begun, as it came, and what it asks for. It goes to the node where the client is in the
    /// room, else to the room's home, else to its own; what can't go yet waits here.
    pub(crate) fn frame<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        conn: ConnNo,
        text: bool,
        message: &[u8],
        ask: Ask,
    ) -> Flow {
        let Some(mut client) = self.clients.take(conn) else { return Flow::Stop };
        if client.phase == Phase::Gone {
            self.clients.put(conn, client);
            return Flow::Stop;
        }
        let behind = client.any_more().is_some_and(|more| !more.held.is_empty());
        let whole = Message { text, payload: message, ask: &ask };
        if behind || !self.pass(around, conn, &mut client, whole) {
            client.more().held.push_back(Held { text, message: message.into(), ask });
        }
        client.stopped |= client.flow(CLIENT_WINDOW) == Flow::Stop;
        self.settle(around, conn, client);
        if self.clients.get(conn).is_some_and(|client| !client.stopped) { Flow::Go } else { Flow::Stop }
    }

    /// What waited and can go on now goes on.
    pub(super) fn pass_held<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        conn: ConnNo,
        client: &mut Client,
    ) {
        while let Some(held) = client.any_more_mut().and_then(|more| more.held.pop_front()) {
            let message = Message { text: held.text, payload: &held.message, ask: &held.ask };
            if !self.pass(around, conn, client, message) {
                client.more().held.push_front(held);
                return;
            }
        }
    }

    /// A message goes on, or is answered. False: it has to wait, and nothing was done.
    fn pass<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        conn: ConnNo,
        client: &mut Client,
        message: Message<'_>,
    ) -> bool {
        let ask = message.ask;
        if client.holds() {
            return false;
        }
        if client.queued {
            self.place(around, conn, client);
        }
        let room = match (ask.kind, &ask.room) {
            (Kind::Auth | Kind::Other, _) => None,
            (_, Some(room)) => Some(Cow::Borrowed(room)),
            (_, None) if client.home_room == NameNo::NONE => None,
            (_, None) => Some(Cow::Owned(self.rooms.get(client.home_room).clone())),
        };
        let Some(room) = room else { return self.pass_home(around, conn, client, message) };
        let name = self.rooms.find(&room).unwrap_or(NameNo::NONE);
        if ask.kind == Kind::Join && client.is_full_for(name, around.rooms(conn)) && self.keeps(Rule::Limit) {
            let message = "this connection is in as many rooms as it may be";
            let no = No { code: Code::LimitRooms, message, retry: None };
            refuse(around, conn, ask.id, Some(&room), no);
            return true;
        }
        let seat = match client.seat(name) {
            Some(seat) => {
                let moves = client.seats[seat].is(Mark::Moving) && self.keeps(Rule::Hold);
                if moves || client.seats[seat].node == NOWHERE {
                    return false;
                }
                seat
            }
            None => {
                let not = client.not();
                let Some(node) = around.node_for(conn, For::Room(&room), &not) else {
                    // Who has no seat in a room is in it nowhere.
                    let no = if ask.kind == Kind::Leave { No::not_joined() } else { No::node() };
                    refuse(around, conn, ask.id, Some(&room), no);
                    return true;
                };
                if !self.is_open_at(around, conn, client, node) {
                    return false;
                }
                self.forget_visits(client, around.rooms(conn));
                let name = self.rooms.hold(&room);
                self.watch(conn, client);
                client.add_seat(Seat::new(name, node))
            }
        };
        let node = client.seats[seat].node;
        if is_window_used(client, node) && self.keeps(Rule::Window) {
            return false;
        }
        client.seats[seat].age = 0;
        if remember(client, seat, message) && ask.id.is_none() {
            self.watch(conn, client);
        }
        say(around, conn, client, node, message.text, message.payload);
        true
    }

    /// What is about no room, or about none that it names.
    fn pass_home<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        conn: ConnNo,
        client: &mut Client,
        message: Message<'_>,
    ) -> bool {
        let (node, ask) = (client.home, message.ask);
        if node == NOWHERE || (is_window_used(client, node) && self.keeps(Rule::Window)) {
            return false;
        }
        let kind = if ask.kind == Kind::Auth { Kind::Auth } else { Kind::Other };
        if kind == Kind::Auth && self.keeps(Rule::Auth) {
            client.more().auth = Some(Auth { id: ask.id, node });
        }
        if ask.id.is_some() {
            let asked = Asked { id: ask.id, kind, room: NameNo::NONE, node, age: 0, join: None };
            client.more().asked.push_back(asked);
        }
        say(around, conn, client, node, message.text, message.payload);
        true
    }

    /// Opens a client at a node, where it isn't yet. False: it is still being closed there.
    pub(super) fn is_open_at<A: Around<Room = R>>(
        &mut self,
        around: &mut A,
        conn: ConnNo,
        client: &mut Client,
        node: NodeNo,
    ) -> bool {
        match client.place(node) {
            Some(place) => {
                place.idle = 0;
                return place.standing != Standing::Closing;
            }
            None => self.open_at(around, conn, client, node, OpenAs::Further),
        }
        true
    }

    /// Where a client has asked something of very many rooms, those go first that it has nothing to do with by now. Looked at once
    /// for many.
    fn forget_visits(&mut self, client: &mut Client, limit: u32) {
        let count = client.seats.len();
        if count < (limit as usize).saturating_add(VISITS) || !count.is_multiple_of(VISITS / 4) {
            return;
        }
        let asked = client.asked_rooms();
        for seat in (0..count).rev() {
            let is_visitor = client.seats[seat].is_visitor();
            if is_visitor && asked.binary_search(&client.seats[seat].room).is_err() {
                self.remove_seat(client, seat);
            }
        }
    }
}

/// Remembers what has to be told if its node is lost. False: nothing has.
fn remember(client: &mut Client, seat: usize, message: Message<'_>) -> bool {
    let Message { text, payload, ask } = message;
    let (room, node) = (client.seats[seat].room, client.seats[seat].node);
    let marks = &client.seats[seat];
    let (member, asked) = (marks.is(Mark::Member), marks.is(Mark::ServerAsked));
    let by_server = asked || marks.is(Mark::ByServer);
    let joining = client.is_joining(room);
    let leaving = client.asked().any(|asked| asked.room == room && asked.kind == Kind::Leave);
    let known = ask.id.is_some();
    let join = match ask.kind {
        Kind::Join if known || !member || by_server || leaving => {
            let kept: usize =
                client.asked().filter_map(|asked| asked.join.as_ref()).map(|join| join.message.len()).sum();
            let fits = payload.len() <= JOIN && kept + payload.len() <= JOINS;
            let message = if fits { payload.into() } else { Box::default() };
            Some(Box::new(Again { text, message, since: ask.since.clone() }))
        }
        Kind::Leave if known || member || asked || joining => None,
        _ if known => None,
        _ => {
            // Nobody will say when it is done.
            client.seats[seat].set(Mark::Unsure, true);
            return false;
        }
    };
    client.more().asked.push_back(Asked { id: ask.id, kind: ask.kind, room, node, age: 0, join });
    true
}

/// Whether a node must be done with some of what it has of a client before it gets more.
fn is_window_used(client: &mut Client, node: NodeNo) -> bool {
    client.place(node).is_some_and(|place| place.in_flight >= CLIENT_WINDOW)
}

/// Passes a message on.
pub(super) fn say<A: Around>(
    around: &mut A,
    conn: ConnNo,
    client: &mut Client,
    node: NodeNo,
    text: bool,
    message: &[u8],
) {
    around.up(node, &Up::Frame { conn, text, message });
    if let Some(place) = client.place(node) {
        place.in_flight = place.in_flight.saturating_add(u32::try_from(message.len()).unwrap_or(u32::MAX));
        place.idle = 0;
    }
}

/// Answers for a node.
pub(super) fn refuse<A: Around>(
    around: &mut A,
    conn: ConnNo,
    id: Option<u64>,
    room: Option<&RoomName>,
    no: No,
) {
    let No { code, message, retry } = no;
    let message = Some(Cow::Borrowed(message));
    around.say(conn, ServerFrame::Err(Refusal { id, room: room.cloned(), code, message, retry }));
}

/// Says that a leave is done.
pub(super) fn done<A: Around>(around: &mut A, conn: ConnNo, id: u64, room: &RoomName) {
    around.say(
        conn,
        ServerFrame::Ok(Answer { id: Some(id), room: Some(room.clone()), data: None, result: None }),
    );
}
