//! Clients of durable rooms: one thread, one poll. A client that waits has no buffer; what servers say is given to who asked,
//! frame by frame, and not decoded here.

use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::worker::connection::{Connection, Phase};
use crate::worker::frame::{self, BINARY, CLOSE, Outgoing, PING, PONG};
use crate::worker::upgrade::{Answer, Nonce};

/// Read at a time.
const BUFFER: usize = 128 * 1024;

/// What happened to a client.
#[derive(Debug)]
pub(super) enum Heard<'a> {
    /// The upgrade was taken.
    Open,
    /// A frame of the server's.
    Frame(&'a [u8]),
    /// The connection is gone, and how.
    Gone(String),
}

/// Clients by number.
pub(super) struct Crowd {
    poll: Poll,
    events: Events,
    clients: Vec<Option<Connection>>,
    buffer: Vec<u8>,
    nonce: Nonce,
}

impl Crowd {
    pub(super) fn new() -> anyhow::Result<Crowd> {
        let poll = Poll::new().context("a poll")?;
        let nonce = Nonce::new(rand::random());
        Ok(Crowd {
            poll,
            events: Events::with_capacity(1_024),
            clients: Vec::new(),
            buffer: vec![0; BUFFER],
            nonce,
        })
    }

    /// Begins to connect client `number`: [`Heard::Open`] or [`Heard::Gone`] follows. A client that was there is closed.
    /// `target`: path and query; `headers`: each with its line end.
    pub(super) fn open(
        &mut self,
        number: usize,
        address: SocketAddr,
        target: &str,
        headers: &str,
    ) -> anyhow::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP))
            .context("no socket")?;
        socket.set_tcp_nodelay(true).context("TCP_NODELAY")?;
        // Of one source there are 28,000 ports to an address.
        let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1 + (number / 10_000) as u8));
        socket.bind(&SocketAddr::new(source, 0).into()).with_context(|| format!("no {source} here"))?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => {
                return Err(error).context("can't connect");
            }
            _ => {}
        }
        let mut socket = TcpStream::from_std(socket.into());
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut socket, Token(number), both).context("the poll takes no more")?;
        let mut connection = Connection::new(socket, 0, 0);
        connection.prepare(self.nonce.request(address, target, headers));
        if self.clients.len() <= number {
            self.clients.resize_with(number + 1, || None);
        }
        self.clients[number] = Some(connection);
        Ok(())
    }

    /// Sends to a client's server; what its socket doesn't take now goes later.
    pub(super) fn send(&mut self, number: usize, frames: &[u8]) {
        if let Some(Some(client)) = self.clients.get_mut(number) {
            // One that fails is heard of when it is read.
            let _ = client.send(frames);
        }
    }

    /// Waits until something happens, at most so long, and tells it; what `hear` appends is sent to that client's server.
    pub(super) fn turn(
        &mut self,
        wait: Duration,
        hear: &mut impl FnMut(usize, Heard<'_>, &mut Vec<u8>),
    ) -> anyhow::Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other.context("the poll")?,
        }
        let Self { events, clients, buffer, nonce, .. } = self;
        for event in &*events {
            let number = event.token().0;
            let Some(Some(client)) = clients.get_mut(number) else { continue };
            let mut out = Vec::new();
            let mut done = Ok(());
            if event.is_writable() {
                if client.phase == Phase::Connecting {
                    client.phase = Phase::Upgrading;
                }
                done = client.flush().map_err(|error| error.to_string());
            }
            if done.is_ok() && (event.is_readable() || event.is_read_closed() || event.is_error()) {
                let ends = event.is_read_closed() || event.is_error();
                done = read(client, buffer, nonce, ends, &mut |heard| hear(number, heard, &mut out));
            }
            if done.is_ok() && !out.is_empty() {
                done = client.send(&out).map_err(|error| error.to_string());
            }
            if let Err(how) = done {
                clients[number] = None;
                hear(number, Heard::Gone(how), &mut Vec::new());
            }
        }
        Ok(())
    }
}

/// Reads all there is. `to_the_end`: there is an end to be read.
fn read(
    client: &mut Connection,
    buffer: &mut Vec<u8>,
    nonce: &Nonce,
    to_the_end: bool,
    hear: &mut impl FnMut(Heard<'_>),
) -> Result<(), String> {
    loop {
        let partial = client.partial().len();
        if buffer.len() < 2 * partial {
            buffer.resize(4 * partial, 0);
        }
        buffer[..partial].copy_from_slice(client.partial());
        match client.socket.read(&mut buffer[partial..]) {
            Ok(0) => return Err("an end without a close frame".to_owned()),
            Ok(read) => {
                take(client, &buffer[..partial + read], nonce, hear)?;
                // What isn't filled to the brim has taken all there was, and the next that comes is an event.
                if partial + read < buffer.len() && !to_the_end {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Takes what is whole of these bytes, and keeps the rest.
fn take(
    client: &mut Connection,
    bytes: &[u8],
    nonce: &Nonce,
    hear: &mut impl FnMut(Heard<'_>),
) -> Result<(), String> {
    let mut at = 0;
    if client.phase == Phase::Upgrading {
        match nonce.answer(bytes) {
            Answer::Incomplete => {
                client.keep(bytes);
                return Ok(());
            }
            Answer::Refused(why) => return Err(why),
            Answer::Taken(end) => at = end,
        }
        client.opened();
        hear(Heard::Open);
    }
    while let Some(head) = frame::head(&bytes[at..])?.filter(|head| at + head.end <= bytes.len()) {
        let payload = &bytes[at + head.at..at + head.end];
        at += head.end;
        match head.opcode {
            BINARY => hear(Heard::Frame(payload)),
            PING => {
                let mut pong = Outgoing::new(0);
                pong.frame(PONG, payload);
                client.send(pong.bytes()).map_err(|error| error.to_string())?;
            }
            CLOSE => return Err(frame::close_reason(payload)),
            _ => {}
        }
    }
    client.keep(&bytes[at..]);
    Ok(())
}
