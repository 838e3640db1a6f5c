//! Asks a gateway where a connection is to go: one question after the other over one connection, and nothing else happens
//! meanwhile. Good for scripts in which opening isn't what is measured.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A longer answer is none, bytes.
const LONGEST: usize = 64 * 1024;

/// A connection to a gateway.
#[derive(Debug)]
pub(super) struct Locator {
    gateway: SocketAddr,
    stream: BufReader<TcpStream>,
}

/// What matters of the answer.
#[derive(Debug, Deserialize)]
struct Place {
    url: Option<String>,
}

impl Locator {
    pub(super) fn new(gateway: SocketAddr) -> anyhow::Result<Locator> {
        let stream = TcpStream::connect_timeout(&gateway, PATIENCE).context("connecting to the gateway")?;
        stream.set_nodelay(true).context("TCP_NODELAY")?;
        stream.set_read_timeout(Some(PATIENCE)).context("a time-out")?;
        Ok(Locator { gateway, stream: BufReader::new(stream) })
    }

    /// The node's address, and path and query to ask it for.
    ///
    /// # Errors
    /// The gateway doesn't answer, or gives no URL.
    pub(super) fn ask(&mut self, target: &str, headers: &str) -> anyhow::Result<(SocketAddr, String)> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.gateway);
        self.stream.get_mut().write_all(request.as_bytes()).context("asking the gateway")?;
        let body = answer(&mut self.stream).context("the gateway's answer")?;
        let place: Place = serde_json::from_slice(&body).context("the gateway's answer")?;
        url(&place.url.context("the gateway knows no URL of the node")?)
    }
}

/// The body of an answer of a known length.
fn answer(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Vec<u8>> {
    let mut line = String::new();
    let (mut status, mut length) = (None, 0);
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let text = line.trim_end();
        match (&status, text.split_once(':')) {
            (None, _) => status = Some(text.to_owned()),
            (Some(_), Some((name, value))) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().context("a length")?;
            }
            _ => {}
        }
        if text.is_empty() {
            break;
        }
    }
    if length > LONGEST {
        bail!("{length} bytes");
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    match status {
        Some(status) if status.split(' ').nth(1) == Some("200") => Ok(body),
        status => bail!("{}: {}", status.unwrap_or_default(), String::from_utf8_lossy(&body)),
    }
}

/// The parts of `ws://127.0.0.1:7001/v1/ws?ticket=…`.
fn url(url: &str) -> anyhow::Result<(SocketAddr, String)> {
    let rest = url.strip_prefix("ws://").with_context(|| format!("no ws: URL: {url}"))?;
    let (host, path) = rest.split_once('/').with_context(|| format!("no path in {url}"))?;
    Ok((host.parse().with_context(|| format!("no address in {url}"))?, format!("/{path}")))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_gateway_is_asked_over_and_over() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let gateway = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let answers = [
                "200 OK\r\nContent-Length: 47\r\n\r\n{\"node\":\"n\",\"url\":\"ws://127.0.0.1:7/v1/ws?t=a\"}",
                "200 OK\r\nContent-Length: 12\r\n\r\n{\"node\":\"n\"}",
                "503 Service Unavailable\r\nContent-Length: 4\r\n\r\nnone",
            ];
            for answer in answers {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                assert!(request.starts_with(b"GET /v1/locate?room=a HTTP/1.1\r\n"));
                stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).unwrap();
            }
        });
        let mut locator = Locator::new(address).unwrap();
        let mut ask = || locator.ask("/v1/locate?room=a", "");
        let node = SocketAddr::from(([127, 0, 0, 1], 7));
        assert_eq!(ask().unwrap(), (node, "/v1/ws?t=a".to_owned()));
        assert!(ask().unwrap_err().to_string().contains("no URL"));
        assert!(format!("{:#}", ask().unwrap_err()).contains("503 Service Unavailable: none"));
        gateway.join().unwrap();
    }
}
