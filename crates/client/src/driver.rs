//! The task behind a client: it moves frames and time to and from the machine, which decides. It
//! owns the connections' tasks, and never waits for one of them.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use ringway_protocol::{CloseCode, RoomName};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::{ClientOptions, Command, Reply, TokenSource};
use crate::connect::ConnectOptions;
use crate::connection::Closed;
use crate::event::Event;
use crate::link::{self, News};
use crate::machine::{Action, Machine};

/// How many frames may wait between the connections' tasks and this one.
const NEWS: usize = 256;

/// The queue to one connection's task, and its end.
struct LinkHandle {
    outgoing: mpsc::Sender<Bytes>,
    end: CancellationToken,
}

/// What a connection that waits for its token will be opened with.
struct Dialling {
    link: u64,
    home: Option<RoomName>,
    session: Option<String>,
    /// The token that was refused, where it was.
    refused: Option<String>,
}

/// See the module.
pub(crate) struct Driver {
    options: ClientOptions,
    machine: Machine<Reply>,
    /// The token that connections are opened with.
    token: Option<String>,
    dialling: Option<Dialling>,
    links: HashMap<u64, LinkHandle>,
    /// Events that the application hasn't room for yet.
    pending: VecDeque<Event>,
    began: Instant,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    heard: mpsc::Receiver<(u64, News)>,
    /// For the connections' tasks.
    news: mpsc::Sender<(u64, News)>,
    tasks: TaskTracker,
    /// The application wants the end.
    end: CancellationToken,
}

impl Driver {
    pub(crate) fn new(
        options: ClientOptions,
        machine: Machine<Reply>,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
        tasks: TaskTracker,
        end: CancellationToken,
    ) -> Self {
        let (news, heard) = mpsc::channel(NEWS);
        let token = match &options.token {
            TokenSource::Fixed(token) => Some(token.clone()),
            TokenSource::None | TokenSource::Fetch(_) => None,
        };
        Self {
            options,
            machine,
            token,
            dialling: None,
            links: HashMap::new(),
            pending: VecDeque::new(),
            began: Instant::now(),
            commands,
            events,
            heard,
            news,
            tasks,
            end,
        }
    }

    pub(crate) async fn run(mut self) {
        // What was asked for right after the start is known before the first connection: its home
        // room may be the first one joined.
        tokio::task::yield_now().await;
        while let Ok(command) = self.commands.try_recv() {
            self.command(command);
        }
        self.machine.dial(self.began.elapsed());
        loop {
            self.act();
            if self.machine.is_closed() && (self.pending.is_empty() || self.end.is_cancelled()) {
                return; // who asked for the end doesn't read on before it came
            }
            let due = self.machine.due();
            tokio::select! {
                () = self.end.cancelled(), if !self.machine.is_closed() => self.machine.close(),
                () = async { drop(self.events.reserve().await) }, if !self.pending.is_empty() => self.tell_pending(),
                command = self.commands.recv(), if !self.machine.is_closed() => match command {
                    Some(command) => self.command(command),
                    None => self.machine.close(),
                },
                // Nothing more is read while the application lags.
                Some((link, news)) = self.heard.recv(), if self.pending.is_empty() => self.news(link, news),
                () = tokio::time::sleep_until(self.began + due.unwrap_or_default()), if due.is_some() => {
                    self.machine.tick(self.began.elapsed());
                }
            }
        }
    }

    fn command(&mut self, command: Command) {
        let now = self.began.elapsed();
        match command {
            Command::Join(room, options, reply) => self.machine.join(&room, options, reply),
            Command::Leave(room, reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(self.machine.leave(&room));
            }
            Command::Request(frame, reply) => {
                self.machine.request(*frame, reply, self.options.answer_within, now);
            }
            Command::Token(token) => self.token = Some(token),
        }
    }

    fn news(&mut self, link: u64, news: News) {
        let now = self.began.elapsed();
        match news {
            News::Token(token) => self.fetched(link, token),
            News::Opened => self.machine.opened(link, now),
            News::Frame(frame) => self.machine.frame(link, *frame, now),
            News::Closed(closed) => self.machine.closed(link, closed, now),
        }
    }

    /// Events that wait, as far as the application has room for them.
    fn tell_pending(&mut self) {
        while let Some(event) = self.pending.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
                return self.pending.push_front(event);
            } // or nobody listens
        }
    }

    /// Does what the machine wants done.
    fn act(&mut self) {
        while let Some(action) = self.machine.action() {
            match action {
                Action::Dial { link, home, session, new_token } => {
                    self.dial(link, home, session.as_deref().map(str::to_owned), new_token);
                }
                Action::Send { link, bytes } => {
                    let Some(handle) = self.links.get(&link) else { continue };
                    // One that has ended says so itself, and how: perhaps that we mustn't come back.
                    if let Err(mpsc::error::TrySendError::Full(_)) = handle.outgoing.try_send(bytes) {
                        self.lost(link, "the connection takes nothing".to_owned());
                    }
                }
                Action::End { link } => {
                    if let Some(link) = self.links.remove(&link) {
                        link.end.cancel();
                    }
                }
                Action::Event(event) => self.pending.push_back(event),
                // Whoever asked may have gone.
                Action::Reply { to, answer } => drop(to.send(answer)),
            }
        }
        self.tell_pending();
    }

    fn lost(&mut self, link: u64, reason: String) {
        self.machine.closed(link, Closed { code: CloseCode(1006), reason }, self.began.elapsed());
    }

    /// Opens a connection; first asks for a token, where one is needed.
    fn dial(&mut self, link: u64, home: Option<RoomName>, session: Option<String>, new_token: bool) {
        let mut dialling = Dialling { link, home, session, refused: None };
        let TokenSource::Fetch(fetch) = &self.options.token else { return self.open(dialling) };
        if new_token {
            dialling.refused = self.token.take().or(self.dialling.take().and_then(|before| before.refused));
        } else if self.token.is_some() {
            return self.open(dialling);
        }
        self.dialling = Some(dialling);
        let (fetching, news) = (fetch(), self.news.clone());
        self.tasks.spawn(async move {
            // The driver may have gone.
            let _ = news.send((link, News::Token(fetching.await))).await;
        });
    }

    fn fetched(&mut self, link: u64, token: Result<String, String>) {
        let Some(dialling) = self.dialling.take_if(|dialling| dialling.link == link) else { return };
        match token {
            Ok(token) if dialling.refused.as_ref() == Some(&token) => {
                self.machine.finish(Closed { code: CloseCode::TOKEN, reason: "no new token".to_owned() });
            }
            Ok(token) => {
                self.token = Some(token);
                self.open(dialling);
            }
            Err(why) => {
                self.dialling = Some(dialling); // what was refused is remembered
                self.lost(link, format!("no token for now: {why}"));
            }
        }
    }

    fn open(&mut self, dialling: Dialling) {
        let Dialling { link, home, session, .. } = dialling;
        let connect = self.options.connect.clone();
        let options =
            ConnectOptions { room: home, since: None, token: self.token.clone(), session, ..connect };
        let (outgoing, queue) = mpsc::channel(link::OUTGOING);
        let end = CancellationToken::new();
        self.links.insert(link, LinkHandle { outgoing, end: end.clone() });
        self.tasks.spawn(link::run(link, options, queue, self.news.clone(), end));
    }
}
