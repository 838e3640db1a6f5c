//! The processes that connections are opened to: a node, and a bare server beside it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) const SECRET: &str = "a secret for measuring, long enough";

/// Bytes after the 101 that the bare server writes as its hello and its answer to a join: what the node's come to.
const BARE_FRAMES: [usize; 2] = [560, 110];

/// A process that connections are opened to.
pub(crate) struct Server {
    child: Child,
    port: u16,
    _directory: Option<Directory>,
}

struct Directory(std::path::PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Server {
    /// `nats`: joined with others by that; else it is alone.
    pub(crate) fn start_node(binary: &Path, nats: Option<&str>) -> Server {
        let [port, gateway, admin, other] = free_ports();
        let directory = std::env::temp_dir().join(format!("open-cost-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let config = format!(
            "[gateway]\nlisten = \"127.0.0.1:{gateway}\"\nadmin = \"127.0.0.1:{admin}\"\nauth = \"off\"\n\
             [node]\nid = \"n1\"\nlisten = \"0.0.0.0:{port}\"\nadvertise = \"127.0.0.1:{port}\"\n\
             admin = \"127.0.0.1:{other}\"\n\
             [cluster]\nsecret = \"env:OPEN_COST_SECRET\"\n[tenants.acme]\n\
             [[classes]]\nrooms = \"**\"\nreplay = {{ messages = 100, age = \"1s\" }}\n"
        );
        let nats = nats.map(|url| format!("[nats]\nurls = [\"{url}\"]\n")).unwrap_or_default();
        std::fs::write(directory.join("ringway.toml"), config + &nats).unwrap();
        let child = Command::new(binary)
            .args(["serve", "--config"])
            .arg(directory.join("ringway.toml"))
            .env("OPEN_COST_SECRET", SECRET)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Server::ready(child, port, Some(Directory(directory)))
    }

    pub(crate) fn start_bare(count: usize) -> Server {
        let [port] = free_ports();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["bare", &count.to_string()])
            .env("OPEN_COST_PORT", port.to_string())
            .spawn()
            .unwrap();
        Server::ready(child, port, None)
    }

    fn ready(child: Child, port: u16, directory: Option<Directory>) -> Server {
        let server = Server { child, port, _directory: directory };
        while TcpStream::connect(server.address(1)).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(1_500));
        server
    }

    /// Each wave has an address of its own, so that no port is still waiting from the one before.
    pub(crate) fn address(&self, wave: u8) -> SocketAddr {
        (Ipv4Addr::new(127, 0, 0, wave), self.port).into()
    }

    /// Processor time of all its threads, in nanoseconds (proc(5), `schedstat`).
    pub(crate) fn processor(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let text =
            tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("schedstat")).ok());
        text.map(|text| text.split(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// In microseconds.
    pub(crate) fn processor_since(&self, before: u64) -> f64 {
        (self.processor() - before) as f64 / 1e3
    }

    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// A server in one thread that does what the kernel has to do for a connection, and nothing else.
pub(crate) fn bare(count: usize) {
    let port: u16 = std::env::var("OPEN_COST_PORT").unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: ringway.v1.msgpack\r\n\
                  Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
    let mut open = Vec::with_capacity(count);
    let mut buffer = vec![0; 64 * 1024];
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_nodelay(true).unwrap();
        if stream.read(&mut buffer).unwrap() == 0 {
            continue;
        }
        stream.write_all(answer.as_bytes()).unwrap();
        for length in BARE_FRAMES {
            let mut frame = vec![0x82, 126, (length >> 8) as u8, length as u8];
            frame.resize(4 + length, 0);
            stream.write_all(&frame).unwrap();
        }
        open.push(stream);
    }
}
