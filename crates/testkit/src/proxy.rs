//! A TCP proxy between two parts of a system, for faults of the network: connections that break, and packets that
//! get lost without anybody being told.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// They go through.
    Open,
    /// Nothing goes through, and nobody is told: connections stand, and stay silent.
    Silent,
    /// There is nobody: connections are broken off at once.
    Shut,
}

/// A proxy on a free port. Dropped, it breaks all connections off.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
    /// Counts up to break off what stands.
    life: Arc<watch::Sender<u64>>,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of the loop-back address, and hands on to `target`.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (mode, life) = (Arc::new(watch::Sender::new(Mode::Open)), Arc::new(watch::Sender::new(0)));
        let connections = Arc::new(AtomicUsize::new(0));
        let (modes, lives, counted) = (Arc::clone(&mode), Arc::clone(&life), Arc::clone(&connections));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mode, life) = (modes.subscribe(), lives.subscribe());
                counted.fetch_add(1, Ordering::Relaxed);
                // Ends with its connections, or when the proxy is dropped: both senders are gone then.
                tokio::spawn(carry(client, target, mode, life));
            }
        });
        Ok(Self { address, mode, life, connections, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections have come so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Breaks all connections off (RST, so that nobody takes it for a goodbye). New ones go through.
    pub fn cut(&self) {
        self.life.send_modify(|life| *life += 1);
    }

    /// Breaks all connections off, and each new one at once, until [`open`](Self::open).
    pub fn shut(&self) {
        self.mode.send_replace(Mode::Shut);
        self.cut();
    }

    /// Lets nothing through from now on, until [`open`](Self::open), and tells nobody: as when every packet gets lost.
    /// Afterwards comes what was sent meanwhile, as TCP has it.
    pub fn silence(&self) {
        self.mode.send_replace(Mode::Silent);
    }

    /// Lets bytes through again.
    pub fn open(&self) {
        self.mode.send_replace(Mode::Open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shut();
    }
}

async fn carry(
    client: TcpStream,
    target: SocketAddr,
    mode: watch::Receiver<Mode>,
    mut life: watch::Receiver<u64>,
) {
    let both = async {
        let mut mode = mode;
        // Who is behind may be met only once bytes go through.
        if mode.wait_for(|mode| *mode != Mode::Silent).await.is_err() || *mode.borrow() == Mode::Shut {
            return;
        }
        let Ok(server) = TcpStream::connect(target).await else { return };
        for socket in [&client, &server] {
            let _ = socket.set_nodelay(true);
            let _ = socket.set_zero_linger();
        }
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::join!(copy(from_client, to_server, mode.clone()), copy(from_server, to_client, mode));
    };
    tokio::select! {
        // Dropped here, both sockets are reset.
        _ = life.changed() => {}
        () = both => {}
    }
}

/// Until one side ends. Both halves are dropped then: the end is handed on.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if mode.wait_for(|mode| *mode != Mode::Silent).await.is_err()
            || to.write_all(&bytes[..read]).await.is_err()
        {
            return;
        }
    }
    let _ = mode.wait_for(|mode| *mode != Mode::Silent).await;
    let _ = to.shutdown().await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Sends back what it gets.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = socket.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    /// What comes back; none: the connection ended.
    async fn say(socket: &mut TcpStream) -> Option<[u8; 2]> {
        let mut back = [0; 2];
        socket.write_all(b"hi").await.ok()?;
        socket.read_exact(&mut back).await.ok()?;
        Some(back)
    }

    #[tokio::test]
    async fn a_cut_breaks_what_stands_and_lets_others_through() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut socket).await, Some(*b"hi"));
        proxy.cut();
        assert!(socket.read_u8().await.is_err());
        let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut socket).await, Some(*b"hi"));
        assert_eq!(proxy.connections(), 2);
    }

    #[tokio::test]
    async fn a_shut_proxy_has_nobody_behind_it_until_it_opens() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        proxy.shut();
        let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut socket).await, None);
        proxy.open();
        let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut socket).await, Some(*b"hi"));
    }

    #[tokio::test]
    async fn in_silence_connections_stand_and_nothing_comes() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut socket).await, Some(*b"hi"));
        proxy.silence();
        let silent = tokio::time::timeout(Duration::from_millis(100), say(&mut socket)).await;
        assert!(silent.is_err(), "{silent:?}");
        let mut later = TcpStream::connect(proxy.address()).await.unwrap();
        let silent = tokio::time::timeout(Duration::from_millis(100), say(&mut later)).await;
        assert!(silent.is_err(), "{silent:?}");
        proxy.open();
        for socket in [&mut socket, &mut later] {
            let mut back = [0; 2];
            socket.read_exact(&mut back).await.unwrap();
            assert_eq!(back, *b"hi", "what was sent meanwhile");
        }
    }
}
