//! What the kernel says of a connection's other end, which is on this machine: how many bytes its process has written into
//! it so far. By `sock_diag` (netlink), one question a connection, since a look into `/proc/net/tcp` costs milliseconds.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// `AF_NETLINK`, `NETLINK_SOCK_DIAG`, `SOCK_DIAG_BY_FAMILY`, `NLM_F_REQUEST`, `INET_DIAG_INFO`: linux/sock_diag.h and its like.
const NETLINK: i32 = 16;
const SOCK_DIAG: i32 = 4;
const BY_FAMILY: u16 = 20;
const REQUEST: u16 = 1;
const INFO: u16 = 2;

const HEADER: usize = 16;
const ANSWER: usize = 72;

/// Where `idiag_wqueue` lies in an answer: what was written and isn't acknowledged.
const UNACKNOWLEDGED: usize = HEADER + 60;

/// Where `tcpi_bytes_acked` lies in a `tcp_info`.
const ACKNOWLEDGED: usize = 120;

/// Asks the kernel.
#[derive(Debug)]
pub(super) struct Diag {
    socket: Socket,
}

impl Diag {
    /// Fails where the kernel has no such interface.
    pub(super) fn new() -> io::Result<Diag> {
        let socket = Socket::new(Domain::from(NETLINK), Type::RAW, Some(Protocol::from(SOCK_DIAG)))?;
        Ok(Diag { socket })
    }

    /// Bytes that the end at `local`, whose peer is `remote`, was given to send since it was opened.
    pub(super) fn written(&mut self, local: SocketAddr, remote: SocketAddr) -> io::Result<u64> {
        self.socket.send(&question(local, remote))?;
        let mut answer = [0; 2048];
        let len = self.socket.read(&mut answer)?;
        written(&answer[..len]).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn question(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let tcp = 6;
    let family = if local.is_ipv4() { 2 } else { 10 };
    let mut out = Vec::with_capacity(HEADER + 56);
    out.extend(((HEADER + 56) as u32).to_ne_bytes());
    out.extend(BY_FAMILY.to_ne_bytes());
    out.extend(REQUEST.to_ne_bytes());
    out.extend([0; 8]);
    // Which family, protocol and further answers (the bit of INFO); in whatever state.
    out.extend([family, tcp, 1 << (INFO - 1), 0]);
    out.extend(u32::MAX.to_ne_bytes());
    out.extend(local.port().to_be_bytes());
    out.extend(remote.port().to_be_bytes());
    for address in [local.ip(), remote.ip()] {
        match address {
            IpAddr::V4(address) => {
                out.extend(address.octets());
                out.extend([0; 12]);
            }
            IpAddr::V6(address) => out.extend(address.octets()),
        }
    }
    // Of whatever interface, and with whatever cookie.
    out.extend([0; 4]);
    out.extend([0xff; 8]);
    out
}

/// What an answer says; none: it is an error, or says nothing of it.
fn written(answer: &[u8]) -> Option<u64> {
    let kind = u16::from_ne_bytes(*answer.get(4..)?.first_chunk()?);
    if kind != BY_FAMILY {
        return None;
    }
    let waiting = u32::from_ne_bytes(*answer.get(UNACKNOWLEDGED..)?.first_chunk()?);
    let mut rest = answer.get(HEADER + ANSWER..)?;
    loop {
        let len = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        if kind == INFO {
            let acknowledged = rest.get(4 + ACKNOWLEDGED..len)?.first_chunk()?;
            return Some(u64::from_ne_bytes(*acknowledged) + u64::from(waiting));
        }
        // Attributes begin at multiples of four.
        rest = rest.get(len.next_multiple_of(4).max(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn counts_what_the_other_end_was_given_read_or_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let mut diag = Diag::new().unwrap();
        let mut ask =
            |near: &TcpStream| diag.written(near.peer_addr().unwrap(), near.local_addr().unwrap()).unwrap();
        let before = ask(&near);
        far.write_all(&[7; 1_000]).unwrap();
        assert_eq!(ask(&near) - before, 1_000);
        near.read_exact(&mut [0; 600]).unwrap();
        far.write_all(&[7; 500]).unwrap();
        assert_eq!(ask(&near) - before, 1_500);
    }

    #[test]
    fn who_isnt_there_is_not_found() {
        let nobody = "127.0.0.1:1".parse().unwrap();
        let error = Diag::new().unwrap().written(nobody, nobody).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
