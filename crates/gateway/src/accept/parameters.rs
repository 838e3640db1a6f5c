//! What an upgrade asks for in its query.

use ringway_protocol::frame::Position;
use ringway_protocol::{Code, EpochName, RoomName, TenantId, UserId};

use super::{Problem, Query};

/// The longest `client`, in bytes.
const CLIENT_LIMIT: usize = 64;
/// Numbers on the wire are below this (what a JavaScript number can hold).
const NUMBER_LIMIT: u64 = 1 << 53;

/// The parameters of `GET /v1/ws`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters {
    /// The home room.
    pub(crate) room: Option<RoomName>,
    /// Where to resume in it.
    pub(crate) since: Option<Position>,
    /// What the client's software is called; for logs.
    pub(crate) client: Option<String>,
}

impl Parameters {
    pub(crate) fn read(query: &Query) -> Result<Self, Problem> {
        let room = room(query)?;
        let since = query.get("since").map(since).transpose()?;
        if since.is_some() && room.is_none() {
            return Err(Problem::new(Code::BadSince, "`since` is a position in a room: give `room` too"));
        }
        let client = query.get("client").map(client).transpose()?;
        Ok(Self { room, since, client })
    }
}

/// The parameter `room`.
pub(crate) fn room(query: &Query) -> Result<Option<RoomName>, Problem> {
    query.get("room").map(room_name).transpose()
}

/// A room's name as a parameter or a field has it.
pub(crate) fn room_name(text: &str) -> Result<RoomName, Problem> {
    text.parse().map_err(|error: ringway_protocol::NameError| Problem::new(Code::BadRoom, error.to_string()))
}

/// The parameter `user`.
pub(crate) fn user(query: &Query) -> Result<Option<UserId>, Problem> {
    name(query, "user")
}

/// The parameter `tenant`.
pub(crate) fn tenant(query: &Query) -> Result<Option<TenantId>, Problem> {
    name(query, "tenant")
}

fn name<T: std::str::FromStr<Err = ringway_protocol::NameError>>(
    query: &Query,
    name: &str,
) -> Result<Option<T>, Problem> {
    let parsed = query.get(name).map(str::parse).transpose();
    parsed.map_err(|error| Problem::bad_request(format!("{name}: {error}")))
}

/// A number as a parameter.
pub(crate) fn number(query: &Query, name: &str) -> Result<Option<u64>, Problem> {
    let wrong = || Problem::bad_request(format!("`{name}` is a whole number below 2^53"));
    query.get(name).map(|text| digits(text).ok_or_else(wrong)).transpose()
}

/// `EPOCH:OFFSET[:TS]`.
fn since(text: &str) -> Result<Position, Problem> {
    let bad = || Problem::new(Code::BadSince, "`since` is EPOCH:OFFSET or EPOCH:OFFSET:TS");
    let mut parts = text.split(':');
    let (Some(epoch), Some(offset), ts, None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad());
    };
    let epoch: EpochName = epoch.parse().map_err(|_| bad())?;
    let offset = digits(offset).ok_or_else(bad)?;
    let ts = ts.map(|ts| digits(ts).ok_or_else(bad)).transpose()?;
    Ok(Position { epoch, offset, ts })
}

/// Digits and nothing else: no sign, no blank.
fn digits(text: &str) -> Option<u64> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| all && *number < NUMBER_LIMIT)
}

fn client(text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.len() > CLIENT_LIMIT || text.chars().any(char::is_control) {
        return Err(Problem::bad_request("`client` has 1 to 64 bytes and no control characters"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Parameters, Code> {
        let query = Query::parse(Some(query)).map_err(|_| Code::BadRequest)?;
        Parameters::read(&query).map_err(|problem| problem.code)
    }

    #[test]
    fn a_room_is_its_name_decoded() {
        let room =
            |query: &str| read(query).map(|parameters| parameters.room.map(|room| room.as_str().to_owned()));
        for (query, expected) in [
            ("room=a", Some("a")),
            ("room=a%2Fb", Some("a/b")),
            ("room=a+b", Some("a b")),
            ("room=*", Some("*")),
            ("room=%F0%9F%98%80", Some("😀")),
            ("", None),
            ("other=1", None),
        ] {
            assert_eq!(room(query), Ok(expected.map(str::to_owned)), "{query}");
        }
        let long = format!("room={}", "x".repeat(256));
        for (query, code) in [
            ("room=", Code::BadRoom),
            ("?&&=&room", Code::BadRoom),
            ("room=%00", Code::BadRoom),
            ("room=a%0D%0AX", Code::BadRoom),
            ("room=%C2%85", Code::BadRoom),
            (&long, Code::BadRoom),
            ("room=a&room=b", Code::BadRequest),
            ("room=%zz", Code::BadRequest),
            ("room=%FF", Code::BadRequest),
        ] {
            assert_eq!(room(query), Err(code), "{query}");
        }
    }

    #[test]
    fn a_position_is_read_exactly() {
        let epoch = "0193f0c0-aa-1";
        let since = read(&format!("room=r&since={epoch}:7")).expect("good").since.expect("one");
        assert_eq!((since.epoch.as_str(), since.offset, since.ts), (epoch, 7, None));
        let since =
            read(&format!("room=r&since={epoch}%3A0:9007199254740991")).expect("good").since.expect("one");
        assert_eq!((since.offset, since.ts), (0, Some(9_007_199_254_740_991)));
        for bad in [
            "",
            ":",
            "e",
            "e:",
            ":7",
            "e:7:",
            "e:7:8:9",
            "e:-1",
            "e:+1",
            "e: 1",
            "e:1.5",
            "e:0x1",
            "e:9007199254740992",
            "e:7:99999999999999999999",
            "e_:7",
            "e%00:7",
        ] {
            assert_eq!(read(&format!("room=r&since={bad}")).map(|_| ()), Err(Code::BadSince), "{bad}");
        }
        assert_eq!(read("since=e:7").map(|_| ()), Err(Code::BadSince), "a position belongs to a room");
    }

    #[test]
    fn a_client_names_its_software() {
        assert_eq!(read("client=ringway-js/1.2").expect("good").client.as_deref(), Some("ringway-js/1.2"));
        let long = format!("client={}", "x".repeat(65));
        for bad in ["client=", "client=a%0Ab", &long] {
            assert_eq!(read(bad).map(|_| ()), Err(Code::BadRequest), "{bad}");
        }
    }
}
