//! The floor: one thread, epoll, and for each message one finished frame that is written by one `send(2)` to each open
//! connection. Messages that came in one read are still sent one by one. A socket that would block gets a buffer until
//! it is writable again.

use std::io::ErrorKind;
use std::mem;
use std::net::SocketAddr;

use anyhow::Context as _;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::connection::{Connection, Over, State};
use super::wire::{self, Bad};

/// For a herd of connections; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;

const LISTENER: Token = Token(usize::MAX);

/// How a frame gets to many.
pub(super) trait Spread {
    /// Sends to all that are open at `/`; who is over, or has begun to wait, goes to `outcome`.
    fn spread(&mut self, frame: &[u8], all: &mut [Option<Connection>], outcome: &mut Outcome);
}

/// Whom the server has to look after when a frame was spread, by place.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) over: Vec<usize>,
    pub(super) behind: Vec<usize>,
}

impl Outcome {
    /// Notes how a send ended.
    pub(super) fn note(&mut self, place: usize, sent: Result<bool, Over>) {
        match sent {
            Ok(false) => {}
            Ok(true) => self.behind.push(place),
            Err(Over) => self.over.push(place),
        }
    }
}

/// One `send(2)` after the other.
#[derive(Debug)]
pub(super) struct OneByOne;

impl Spread for OneByOne {
    fn spread(&mut self, frame: &[u8], all: &mut [Option<Connection>], outcome: &mut Outcome) {
        for (place, slot) in all.iter_mut().enumerate() {
            if let Some(connection) = slot
                && connection.state == State::Broadcast
            {
                outcome.note(place, connection.send(frame));
            }
        }
    }
}

/// Serves for ever.
pub(super) fn run(listen: SocketAddr, spread: impl Spread) -> anyhow::Result<()> {
    let mut listener = listener(listen).with_context(|| format!("can't listen on {listen}"))?;
    let poll = Poll::new().context("no epoll")?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server = Server {
        poll,
        spread,
        all: Vec::new(),
        free: Vec::new(),
        buffer: vec![0; 64 * 1024],
        frame: Vec::new(),
        outcome: Outcome::default(),
    };
    let mut events = Events::with_capacity(1_024);
    loop {
        match server.poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other.context("epoll_wait")?,
        }
        for event in &events {
            if event.token() == LISTENER {
                server.accept(&listener);
                continue;
            }
            let place = event.token().0;
            if event.is_writable() {
                server.catch_up(place);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                server.read(place, event.is_read_closed() || event.is_error());
            }
        }
    }
}

fn listener(listen: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(listen), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

struct Server<S> {
    poll: Poll,
    spread: S,
    /// By place, which is also the token.
    all: Vec<Option<Connection>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
    /// The frame at hand, kept for its memory.
    frame: Vec<u8>,
    outcome: Outcome,
}

impl<S: Spread> Server<S> {
    /// Accepts until nobody waits. Without descriptors, who waits is left waiting until the next comes.
    fn accept(&mut self, listener: &TcpListener) {
        loop {
            match listener.accept() {
                Ok((stream, _)) => self.add(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The client has gone already.
                Err(error)
                    if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                Err(_) => return,
            }
        }
    }

    fn add(&mut self, mut stream: TcpStream) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            self.all.len() - 1
        });
        let ready = stream.set_nodelay(true);
        let ready =
            ready.and_then(|()| self.poll.registry().register(&mut stream, Token(place), Interest::READABLE));
        match ready {
            Ok(()) => self.all[place] = Some(Connection::new(stream)),
            Err(_) => self.free.push(place),
        }
    }

    fn end(&mut self, place: usize) {
        // Closing takes the socket out of epoll.
        if self.all[place].take().is_some() {
            self.free.push(place);
        }
    }

    /// Reads what there is. A read that doesn't fill the buffer has emptied the socket, unless its end has come as well.
    fn read(&mut self, place: usize, to_the_end: bool) {
        loop {
            let Some(connection) = &mut self.all[place] else { return };
            match connection.read(&mut self.buffer) {
                Ok(None) => return,
                Ok(Some(n)) => {
                    let buffer = mem::take(&mut self.buffer);
                    let taken = self.take(place, &buffer[..n]);
                    self.buffer = buffer;
                    if taken.is_err() {
                        return self.end(place);
                    }
                    if n < self.buffer.len() && !to_the_end {
                        return;
                    }
                }
                Err(Over) => return self.end(place),
            }
        }
    }

    /// Takes what was read: the request, then frames; what isn't whole is kept.
    fn take(&mut self, place: usize, read: &[u8]) -> Result<(), Bad> {
        let Some(connection) = &mut self.all[place] else { return Ok(()) };
        let joined;
        let mut bytes = read;
        if !connection.partial.is_empty() {
            joined = connection.take_partial(read);
            bytes = &joined;
        }
        if connection.state == State::Upgrading {
            let Some(upgrade) = wire::upgrade(bytes)? else {
                connection.partial = bytes.to_vec();
                return Ok(());
            };
            connection.state = if upgrade.path == "/echo" { State::Echo } else { State::Broadcast };
            let sent = connection.send(upgrade.answer.as_bytes());
            self.outcome.note(place, sent);
            self.look_after();
            bytes = &bytes[upgrade.used..];
        }
        while let Some(header) = wire::frame(bytes)? {
            self.answer(place, header.opcode, &bytes[header.begin..header.end], header.mask)?;
            bytes = &bytes[header.end..];
        }
        if let Some(connection) = &mut self.all[place]
            && !bytes.is_empty()
        {
            connection.partial = bytes.to_vec();
        }
        Ok(())
    }

    /// Carries out one frame.
    fn answer(&mut self, place: usize, opcode: u8, payload: &[u8], mask: [u8; 4]) -> Result<(), Bad> {
        let Some(connection) = &mut self.all[place] else { return Err(Bad) };
        match opcode {
            wire::TEXT | wire::BINARY => {
                wire::finish(opcode, payload, mask, &mut self.frame);
                if connection.state == State::Echo {
                    let sent = connection.send(&self.frame);
                    self.outcome.note(place, sent);
                } else {
                    self.spread.spread(&self.frame, &mut self.all, &mut self.outcome);
                }
            }
            wire::PING => {
                wire::finish(wire::PONG, payload, mask, &mut self.frame);
                let sent = connection.send(&self.frame);
                self.outcome.note(place, sent);
            }
            wire::PONG => {}
            _ => {
                wire::finish(wire::CLOSE, payload, mask, &mut self.frame);
                // The answer to a close is a courtesy.
                let _ = connection.send(&self.frame);
                return Err(Bad);
            }
        }
        self.look_after();
        Ok(())
    }

    /// Closes who is over, and waits for who has begun to be behind.
    fn look_after(&mut self) {
        let mut outcome = mem::take(&mut self.outcome);
        for place in outcome.over.drain(..) {
            self.end(place);
        }
        for place in outcome.behind.drain(..) {
            self.watch(place, Interest::READABLE | Interest::WRITABLE);
        }
        self.outcome = outcome;
    }

    fn catch_up(&mut self, place: usize) {
        let Some(connection) = &mut self.all[place] else { return };
        match connection.catch_up() {
            Ok(true) => self.watch(place, Interest::READABLE),
            Ok(false) => {}
            Err(Over) => self.end(place),
        }
    }

    fn watch(&mut self, place: usize, interest: Interest) {
        let Some(connection) = &mut self.all[place] else { return };
        if self.poll.registry().reregister(&mut connection.stream, Token(place), interest).is_err() {
            self.end(place);
        }
    }
}
