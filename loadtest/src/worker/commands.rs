//! What commands do.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use mio::{Interest, Token};

use super::clock;
use super::connection::Connection;
use super::engine::{AT_A_TIME, Engine, Setup};
use super::job::{Arrivals, Collecting, Job, Opening};
use super::membership::Rooms;
use super::pace::Pace;
use super::publish::{Load, Publishing};
use super::tally::Tally;
use super::trickle::Trickle;
use super::upgrade::Nonce;
use crate::control::{Collected, Command, Event, Membership, Silence, Standing};
use crate::dialect::{Spec, stamp};

impl Engine {
    /// Begins what is asked for. An event: that was all of it already.
    pub(super) fn begin(&mut self, command: Command, now: u64) -> anyhow::Result<Option<Event>> {
        if let Command::Configure { dialect, addresses, sources, first, total, spin } = command {
            self.spin = clock::nanoseconds(spin);
            self.configure(&dialect, addresses, sources, first, total)?;
            return Ok(Some(Event::Configured));
        }
        let total = self.setup.as_ref().context("the worker isn't configured")?.total;
        let done = match command {
            Command::Configure { .. } | Command::End => None,
            Command::Open { count, in_flight, per_second, rooms, receive_buffer } => {
                ensure!(in_flight > 0 || per_second.is_some(), "none may be in flight");
                check_rate(per_second.unwrap_or(1.0))?;
                self.rooms = plan(&rooms)?;
                self.receive_buffer = receive_buffer;
                self.arrivals = Arrivals::new(now);
                let pace = per_second.map(|rate| Pace::new(now, rate, count as u64));
                self.places.reserve_exact(count);
                self.job = Some(Job::Open(Opening { left: count, pace, in_flight }));
                None
            }
            Command::Churn { per_second, seconds, rooms } => {
                check_rate(per_second)?;
                self.rooms = plan(&rooms)?;
                self.arrivals = Arrivals::new(now);
                self.job = Some(Job::Churn(Pace::lasting(now, per_second, seconds)));
                None
            }
            Command::Publish { per_second, burst, seconds, body, publishers, to, keys, patience } => {
                check_rate(per_second)?;
                ensure!(body >= stamp::LEN, "a body has {} bytes at least", stamp::LEN);
                ensure!((1..=self.places.len()).contains(&publishers), "there aren't as many publishers");
                let burst = burst.max(1);
                let load = Load { per_second, seconds, burst, body, publishers, to, keys, patience };
                let publishing = Publishing::new(load, &self.rooms, total);
                self.next_send = publishing.began();
                self.job = Some(Job::Publish(Box::new(publishing)));
                None
            }
            Command::Collect { deliveries, within, quiet, silences } => {
                let end = now.saturating_add(clock::nanoseconds(within));
                let quiet = quiet.map(clock::nanoseconds);
                self.job = Some(Job::Collect(Collecting { deliveries, end, quiet, silences, began: now }));
                None
            }
            Command::Close { count, abruptly } => {
                self.close(count, abruptly, now);
                self.job = Some(Job::Close);
                None
            }
            Command::Reset => {
                self.tally = Tally::new(now);
                self.trickle.reset();
                self.next_number = 0;
                self.places.iter_mut().flatten().for_each(Connection::reset);
                Some(Event::Done)
            }
            Command::Stall { count } => {
                self.stall(count)?;
                Some(Event::Done)
            }
            Command::Trickle { count, bytes, every, keys } => {
                self.trickle(count, bytes, clock::nanoseconds(every), keys, now)?;
                Some(Event::Done)
            }
            Command::Stand => Some(Event::Standing(self.standing())),
        };
        Ok(done)
    }

    /// Goes on with what is under way. An event: it is done.
    pub(super) fn pursue(&mut self, now: u64) -> Option<Event> {
        match self.job.as_mut()? {
            Job::Open(_) => self.open_more(now),
            Job::Churn(_) => self.churn(now),
            Job::Publish(_) => {
                self.publish(now);
                self.published(now)
            }
            Job::Collect(collecting) => {
                let done = collecting.is_done(&self.tally, now);
                let silences = collecting.silences;
                done.then(|| {
                    let (lags, orders) = (self.trickle.told(), self.orders());
                    let silences = if silences { self.silences() } else { Vec::new() };
                    Event::Collected(Collected { lags, orders, silences, ..self.tally.collected() })
                })
            }
            Job::Close => self.leaving.is_empty().then_some(Event::Done),
        }
    }

    /// In which orders open connections got what came: a few at most, where it isn't one.
    fn orders(&self) -> BTreeSet<u32> {
        const MOST: usize = 8;
        let mut orders = BTreeSet::new();
        for connection in self.places.iter().flatten().filter(|connection| connection.is_open()) {
            orders.insert(connection.order);
            if orders.len() == MOST {
                break;
            }
        }
        orders
    }

    /// The longest silence of each open connection.
    fn silences(&self) -> Vec<Silence> {
        let open = self.places.iter().flatten().filter(|connection| connection.is_open());
        let until = self.tally.newest.max(self.last_sent);
        open.map(|connection| connection.silence(until)).collect()
    }

    fn open_more(&mut self, now: u64) -> Option<Event> {
        for _ in 0..AT_A_TIME {
            let Some(Job::Open(opening)) = &mut self.job else { return None };
            let started = match &mut opening.pace {
                Some(pace) => pace.take(now).map(|(_, due)| due),
                None => {
                    let now = clock::now();
                    (opening.left > 0 && self.arrivals.pending < opening.in_flight).then_some(now)
                }
            };
            let Some(started) = started else { break };
            opening.left -= 1;
            self.places.push(None);
            self.start(self.places.len() - 1, started);
        }
        let Some(Job::Open(opening)) = &self.job else { return None };
        (opening.left == 0 && self.arrivals.pending == 0)
            .then(|| Event::Opened(self.arrivals.told(clock::now())))
    }

    fn churn(&mut self, now: u64) -> Option<Event> {
        for _ in 0..AT_A_TIME {
            let Some(Job::Churn(pace)) = &mut self.job else { return None };
            let Some((_, due)) = pace.take(now) else { break };
            let places = self.places.len().max(1);
            // Those that still open are passed over: they aren't the oldest.
            let next = (0..places).map(|step| (self.oldest + step) % places).find(|place| {
                self.places.get(*place).is_some_and(|place| place.as_ref().is_none_or(Connection::is_open))
            });
            let Some(place) = next else {
                self.arrivals.failed("there is none to be closed".to_owned());
                continue;
            };
            self.oldest = (place + 1) % places;
            if let Some(connection) = self.places[place].take() {
                self.open -= 1;
                self.leaving.take(connection, &self.registry, &mut self.outgoing, now);
            }
            self.start(place, due);
        }
        let Some(Job::Churn(pace)) = &self.job else { return None };
        (pace.due().is_none() && self.arrivals.pending == 0)
            .then(|| Event::Opened(self.arrivals.told(clock::now())))
    }

    /// Closes the newest. Their numbers are given to whoever is opened next.
    fn close(&mut self, count: Option<usize>, abruptly: bool, now: u64) {
        let mut left = count.unwrap_or(usize::MAX);
        while left > 0
            && let Some(place) = self.places.pop()
        {
            let Some(connection) = place else { continue };
            left -= 1;
            self.open -= 1;
            if abruptly {
                // A reset. What can't be set is closed all the same.
                _ = socket2::SockRef::from(&connection.socket).set_linger(Some(Duration::ZERO));
            } else {
                self.leaving.take(connection, &self.registry, &mut self.outgoing, now);
            }
        }
    }

    fn stall(&mut self, count: usize) -> anyhow::Result<()> {
        let mut before = 0;
        for (place, connection) in self.places.iter_mut().enumerate() {
            let Some(connection) = connection else { continue };
            let stall = before < count;
            before += 1;
            if stall && !connection.stalled {
                self.registry.deregister(&mut connection.socket).context("stalling")?;
            } else if !stall && connection.stalled {
                let interest = Interest::READABLE | Interest::WRITABLE;
                self.registry
                    .register(&mut connection.socket, Token(place), interest)
                    .context("reading again")?;
            }
            connection.stalled = stall;
        }
        Ok(())
    }

    fn trickle(&mut self, count: usize, bytes: usize, every: u64, keys: u32, now: u64) -> anyhow::Result<()> {
        ensure!(count == 0 || (bytes > 0 && every > 0), "nothing at a time is no reading");
        let mut readers = Vec::new();
        let open = self.places.iter_mut().enumerate().rev();
        let open = open.filter_map(|(place, connection)| Some((place, connection.as_mut()?)));
        for (nth, (place, connection)) in open.enumerate() {
            let slow = nth < count;
            if slow && !connection.stalled {
                self.registry.deregister(&mut connection.socket).context("slowing down")?;
            } else if !slow && self.trickle.reader(place).is_some() {
                let interest = Interest::READABLE | Interest::WRITABLE;
                self.registry
                    .register(&mut connection.socket, Token(place), interest)
                    .context("reading on")?;
            }
            connection.stalled = slow;
            if slow {
                let ends = (connection.socket.local_addr(), connection.socket.peer_addr());
                if let (Ok(near), Ok(far)) = ends {
                    readers.push((place, near, far));
                }
            }
        }
        readers.reverse();
        self.trickle = Trickle::new(readers, bytes, every, keys, now);
        Ok(())
    }

    fn configure(
        &mut self,
        dialect: &Spec,
        addresses: Vec<SocketAddr>,
        sources: Vec<IpAddr>,
        first: usize,
        total: usize,
    ) -> anyhow::Result<()> {
        ensure!(self.places.is_empty(), "there are connections already");
        ensure!(!addresses.is_empty(), "no address to connect to");
        let speak = dialect.speak()?;
        self.setup = Some(Setup {
            speak,
            addresses,
            sources,
            first,
            total,
            nonce: Nonce::new(rand::random()),
            locator: None,
        });
        Ok(())
    }

    pub(super) fn standing(&self) -> Standing {
        Standing {
            connections: self.open,
            opening: self.arrivals.pending,
            sent: self.tally.sent,
            deliveries: self.tally.deliveries,
            closed: self.tally.closed,
        }
    }
}

fn check_rate(per_second: f64) -> anyhow::Result<()> {
    ensure!(per_second.is_finite() && per_second > 0.0, "a rate is above 0");
    Ok(())
}

/// The plan, if a dialect can go by it.
fn plan(membership: &Membership) -> anyhow::Result<Rooms> {
    /// Answers that a connection waits for are counted in a byte.
    const MOST: usize = 200;
    if let Membership::Zipf { count, each, .. } = *membership {
        ensure!((1..=MOST.min(count)).contains(&each), "each of {each} of {count} rooms, at most {MOST}");
    }
    Ok(Rooms::new(membership))
}
