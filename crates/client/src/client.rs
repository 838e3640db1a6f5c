//! One client across its reconnects: the handles that the application holds. `driver` is the task
//! behind them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use ringway_protocol::frame::{
    Auth, AuthResult, History, HistoryResult, JoinResult, Members, MembersResult, Msg, OkResult, Pub,
    PubResult,
};
use ringway_protocol::{ClientFrame, EpochName, Format, Key, Payload, RoomName};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connect::ConnectOptions;
use crate::driver::Driver;
use crate::event::{Event, JoinOptions, RequestError};
use crate::machine::{Answered, Machine, Settings};

/// How many commands may wait for the task; who gives more waits.
const COMMANDS: usize = 1_024;

/// Gives a token: asked for at the first connection, and again each time one was refused.
pub type FetchToken = dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, String>> + Send>> + Send + Sync;

/// Where tokens come from.
#[derive(Clone, Default)]
pub enum TokenSource {
    /// Authentication is off.
    #[default]
    None,
    /// Always the same: a refused one is the end.
    Fixed(String),
    /// Asked for when one is needed. An error is tried again later; the same token as the refused
    /// one is the end.
    Fetch(Arc<FetchToken>),
}

/// Tokens don't belong into logs.
impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Fixed(_) => "Fixed",
            Self::Fetch(_) => "Fetch",
        })
    }
}

/// What a client is made with.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How each connection is opened. Its `room` is the home room (none: the first one joined);
    /// its `session` is that of an earlier client, to go on as the same; `token` and `since` are
    /// not used: see `token` here, and [`JoinOptions::since`].
    pub connect: ConnectOptions,
    /// Where tokens come from.
    pub token: TokenSource,
    /// How long a request may wait for its answer, reconnects included. Servers know a repeated
    /// `mid` for about 30 s: with more, a publication whose answer was lost may come twice.
    pub answer_within: Duration,
    /// How many requests may wait for an answer; further ones fail with [`RequestError::Busy`].
    pub most_waiting: usize,
    /// How many events may wait for the application. When so many do, nothing more is read: the
    /// server's policy for slow consumers does the rest, and a reconnect resumes.
    pub events: usize,
}

impl ClientOptions {
    /// Answers within 30 s, 1,000 requests and 1,024 events waiting, no token.
    pub fn new(connect: ConnectOptions) -> Self {
        Self {
            connect,
            token: TokenSource::None,
            answer_within: Duration::from_secs(30),
            most_waiting: 1_000,
            events: 1_024,
        }
    }
}

/// What is published beside the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// What is published.
    pub data: Payload,
    /// A name for the kind of publication, at most 64 bytes.
    pub event: Option<Arc<str>>,
    /// What it is the newest of.
    pub key: Option<Key>,
    /// An id of one's own, at most 64 bytes; none: the client makes one.
    pub mid: Option<Arc<str>>,
    /// Whether this connection hears it live, too.
    pub echo: bool,
    /// False in a durable room: a passing signal.
    pub store: bool,
    /// W3C `traceparent`.
    pub trace: Option<Arc<str>>,
}

impl From<Payload> for Publish {
    fn from(data: Payload) -> Self {
        Self { data, event: None, key: None, mid: None, echo: true, store: true, trace: None }
    }
}

/// Who waits for an answer.
pub(crate) type Reply = oneshot::Sender<Result<Answered, RequestError>>;

/// What the application wants.
pub(crate) enum Command {
    Join(RoomName, JoinOptions, Reply),
    Leave(RoomName, oneshot::Sender<bool>),
    Request(Box<ClientFrame>, Reply),
    Token(String),
}

/// The handle of one client. Clones are the same client; with the last one it ends.
#[derive(Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    end: CancellationToken,
    tasks: TaskTracker,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// What happens, in order. It has to be read, by a task of its own where requests are made, too:
/// while it is full, answers wait behind it. Dropped, events are dropped as well.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Event>);

impl Events {
    /// The next event; none: the client is closed, and this was all. Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

impl Client {
    /// Starts a client. It connects, and comes back, by itself; [`Event::State`] says how it goes.
    pub fn start(options: ClientOptions) -> (Self, Events) {
        let (commands, commanded) = mpsc::channel(COMMANDS);
        let (events, happened) = mpsc::channel(options.events.max(1));
        let (end, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut random = rand::rng();
        let machine = Machine::new(Settings {
            format: options.connect.format.unwrap_or(Format::Json),
            home: options.connect.room.clone(),
            session: options.connect.session.as_deref().map(Arc::from),
            renewable: matches!(options.token, TokenSource::Fetch(_)),
            prefix: format!("{:024x}", random.random::<u128>() >> 32),
            seed: random.random(),
            most_waiting: options.most_waiting,
        });
        let driver = Driver::new(options, machine, commanded, events, tasks.clone(), end.clone());
        tasks.spawn(driver.run());
        tasks.close();
        (Self { commands, end, tasks }, Events(happened))
    }

    /// Joins a room, here and after each reconnect, and waits for the first answer.
    ///
    /// # Errors
    /// Where the server refuses it for good, or the client is in the room already.
    pub async fn join(&self, room: &RoomName, options: JoinOptions) -> Result<JoinResult, RequestError> {
        let answered = self.ask(|reply| Command::Join(room.clone(), options, reply)).await?;
        Ok(answered.answer.result.map(OkResult::into_join).unwrap_or_default())
    }

    /// Leaves a room: nothing of it is told after this. Whether the client was in it.
    pub async fn leave(&self, room: &RoomName) -> bool {
        let (reply, left) = oneshot::channel();
        self.commands.send(Command::Leave(room.clone(), reply)).await.is_ok() && left.await.unwrap_or(false)
    }

    /// Publishes to a room and waits for the answer. Over reconnects it is sent again with the same
    /// `mid`, so that it is published once.
    ///
    /// # Errors
    /// Where it is refused, or isn't answered in time.
    pub async fn publish(
        &self,
        room: &RoomName,
        publish: impl Into<Publish>,
    ) -> Result<PubResult, RequestError> {
        let Publish { data, event, key, mid, echo, store, trace } = publish.into();
        let frame = Pub { id: None, room: Some(room.clone()), data, event, key, mid, echo, store, trace };
        Ok(self.result(ClientFrame::Pub(frame)).await?.map(OkResult::into_pub).unwrap_or_default())
    }

    /// Asks who is in a room: the page behind `after`, of at most `limit` (≤ 1,000).
    ///
    /// # Errors
    /// Where it is refused, or isn't answered in time.
    pub async fn members(
        &self,
        room: &RoomName,
        after: Option<Arc<str>>,
        limit: Option<u32>,
    ) -> Result<MembersResult, RequestError> {
        let frame = Members { id: None, room: Some(room.clone()), after, limit };
        Ok(self.result(ClientFrame::Members(frame)).await?.map(OkResult::into_members).unwrap_or_default())
    }

    /// Asks for a page of a room's history: its lines, and what the server says of it.
    ///
    /// # Errors
    /// Where it is refused, or isn't answered in time.
    pub async fn history(
        &self,
        room: &RoomName,
        after: Option<u64>,
        before: Option<u64>,
        limit: Option<u32>,
        epoch: Option<EpochName>,
    ) -> Result<(Vec<Msg>, HistoryResult), RequestError> {
        let frame = History { id: None, room: Some(room.clone()), after, before, limit, epoch };
        let answered =
            self.ask(|reply| Command::Request(Box::new(ClientFrame::History(frame)), reply)).await?;
        let result = answered.answer.result.map(OkResult::into_history).unwrap_or_default();
        Ok((answered.lines, result))
    }

    /// Hands in a fresh token, which counts for later connections as well.
    ///
    /// # Errors
    /// Where it is refused, or isn't answered in time.
    pub async fn renew(&self, token: &str) -> Result<AuthResult, RequestError> {
        let frame = ClientFrame::Auth(Auth { id: None, token: token.into() });
        let result = self.result(frame).await?.map(OkResult::into_auth).unwrap_or_default();
        self.commands.send(Command::Token(token.to_owned())).await.map_err(|_| RequestError::Closed)?;
        Ok(result)
    }

    /// Sends any frame as a request, and waits for its answer. The frame's `id` is replaced.
    ///
    /// # Errors
    /// Where it is refused, or isn't answered in time.
    pub async fn result(&self, frame: ClientFrame) -> Result<Option<OkResult>, RequestError> {
        Ok(self.ask(|reply| Command::Request(Box::new(frame), reply)).await?.answer.result)
    }

    /// Says goodbye, and waits until all is done.
    pub async fn close(&self) {
        self.end.cancel();
        self.tasks.wait().await;
    }

    async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<Answered, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| RequestError::Closed)?;
        answer.await.unwrap_or(Err(RequestError::Closed))
    }
}
