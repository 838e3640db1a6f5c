//! From a socket to a ready connection: connect, upgrade, the dialect's greeting.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use anyhow::Context as _;
use mio::net::TcpStream;
use mio::{Interest, Token};
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, Protocol, Socket, Type};

use super::clock;
use super::connection::{Connection, Phase};
use super::engine::{Engine, Setup};
use super::locate::Locator;
use super::membership::{Room, Rooms};
use crate::dialect::Who;

/// How long a connection may take until it is ready.
const PATIENCE: u64 = 10 * clock::SECOND;

/// When those that open must be ready: `(deadline, place, birth)`, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Deadlines(VecDeque<(u64, usize, u32)>);

impl Deadlines {
    pub(super) fn due(&self) -> Option<u64> {
        self.0.front().map(|(deadline, ..)| *deadline)
    }
}

impl Setup {
    fn address(&self, number: usize) -> SocketAddr {
        self.addresses[number % self.addresses.len()]
    }

    /// Where connection `number` comes from, where that is chosen.
    pub(super) fn source(&self, number: usize) -> Option<IpAddr> {
        // The sources take turns among those that go to one address.
        let turn = number / self.addresses.len();
        self.sources.get(turn % self.sources.len().max(1)).copied()
    }

    /// Where connection `number` goes, and what it asks for there if that is known already.
    fn way(&mut self, number: usize, plan: &Rooms) -> anyhow::Result<(SocketAddr, Option<String>)> {
        let address = self.address(number);
        let Some(headers) = self.speak.located() else { return Ok((address, None)) };
        let rooms = rooms(plan, number);
        let who = Who { number, source: self.source(number), rooms: &rooms, plan };
        let upgrade = self.speak.upgrade(&who);
        if self.locator.is_none() {
            self.locator = Some(Locator::new(address)?);
        }
        let locator = self.locator.as_mut().expect("it was just made");
        let asked = locator.ask(&upgrade.target, &upgrade.headers);
        let (node, target) = asked.inspect_err(|_| self.locator = None)?;
        Ok((node, Some(self.nonce.request(node, &target, &headers))))
    }

    fn connect(
        &self,
        number: usize,
        address: SocketAddr,
        receive_buffer: Option<usize>,
    ) -> anyhow::Result<TcpStream> {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))
                .context("no socket")?;
        socket.set_tcp_nodelay(true).context("TCP_NODELAY")?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).context("SO_RCVBUF")?;
        }
        if let Some(source) = self.source(number) {
            // The port is chosen when the peer is known, so that each peer has all of them.
            setsockopt(&socket, IpBindAddressNoPort, &true).context("IP_BIND_ADDRESS_NO_PORT")?;
            socket.bind(&SocketAddr::new(source, 0).into()).with_context(|| format!("no {source} here"))?;
        }
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => {
                Err(error).with_context(|| format!("connecting to {address}"))
            }
            _ => Ok(TcpStream::from_std(socket.into())),
        }
    }
}

/// The rooms of a connection, as its dialect wants them.
pub(super) fn rooms(plan: &Rooms, number: usize) -> Vec<Room> {
    plan.of(number).into_iter().map(|room| plan.room(room)).collect()
}

impl Engine {
    /// Begins opening the connection of a place, which was to be at `started`.
    pub(super) fn start(&mut self, place: usize, started: u64) {
        let setup = self.setup.as_mut().expect("nothing opens before it is configured");
        self.arrivals.pending += 1;
        let number = setup.first + place;
        let registered = setup.way(number, &self.rooms).and_then(|(address, request)| {
            let mut socket = setup.connect(number, address, self.receive_buffer)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.registry.register(&mut socket, Token(place), interest).context("registering")?;
            Ok((socket, request))
        });
        match registered {
            Ok((socket, request)) => {
                self.births = self.births.wrapping_add(1);
                let mut connection = Connection::new(socket, self.births, started);
                if let Some(request) = request {
                    connection.prepare(request);
                }
                self.places[place] = Some(connection);
                self.deadlines.0.push_back((clock::now() + PATIENCE, place, self.births));
            }
            Err(error) => self.arrivals.failed(format!("{error:#}")),
        }
    }

    /// The socket can be written to: the upgrade goes out.
    pub(super) fn upgrade(&mut self, place: usize) {
        let (Some(setup), Some(Some(connection))) = (&self.setup, self.places.get_mut(place)) else { return };
        connection.phase = Phase::Upgrading;
        let sent = if connection.has_unsent() {
            connection.flush()
        } else {
            let number = setup.first + place;
            let rooms = rooms(&self.rooms, number);
            let who = Who { number, source: setup.source(number), rooms: &rooms, plan: &self.rooms };
            let upgrade = setup.speak.upgrade(&who);
            let request = setup.nonce.request(setup.address(number), &upgrade.target, &upgrade.headers);
            connection.send(request.as_bytes())
        };
        if let Err(error) = sent {
            self.gone(place, format!("connecting: {error}"));
        }
    }

    /// All answers have come.
    pub(super) fn ready(&mut self, place: usize, now: u64) {
        let Some(Some(connection)) = self.places.get_mut(place) else { return };
        self.arrivals.opened(connection.started(), now);
        self.open += 1;
        connection.opened();
    }

    /// Gives up on those that take too long.
    pub(super) fn expire(&mut self, now: u64) {
        while let Some((deadline, place, birth)) = self.deadlines.0.front().copied() {
            let opening = match self.places.get(place) {
                Some(Some(connection)) if connection.birth == birth && !connection.is_open() => {
                    connection.phase
                }
                _ => {
                    self.deadlines.0.pop_front();
                    continue;
                }
            };
            if deadline > now {
                return;
            }
            self.deadlines.0.pop_front();
            let doing = match opening {
                Phase::Connecting => "connected",
                Phase::Upgrading => "upgraded",
                Phase::Greeting | Phase::Open => "joined",
            };
            self.gone(place, format!("not {doing} within {} s", PATIENCE / clock::SECOND));
        }
    }
}

/// How a socket's error is told.
pub(super) fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "reset".to_owned(),
        _ => error.to_string(),
    }
}
