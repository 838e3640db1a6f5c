//! `POST /v1/messages`: one publication to a room, to a user's connections, or to the whole tenant.

use std::sync::Arc;

use hyper::body::Incoming;
use ringway_auth::Right;
use ringway_backplane::Refused;
use ringway_backplane::message::{Direct, Publication};
use ringway_protocol::{Code, RoomName, UserId};

use super::publication::{Details, PAYLOAD_LIMIT, Placed};
use super::sent::Sent;
use super::{Call, body};
use crate::accept::{Problem, Query, room_name, user};
use crate::clock::now_ms;

/// To whom a publication goes.
#[derive(Debug, PartialEq, Eq)]
enum To {
    Room(RoomName),
    User(UserId),
    All,
}

impl To {
    fn read(query: &Query) -> Result<Self, Problem> {
        match (query.get("room"), query.get("user"), query.get("all")) {
            (Some(room), None, None) => Ok(Self::Room(room_name(room)?)),
            (None, Some(_), None) => user(query)?.map(Self::User).ok_or_else(Self::unclear),
            (None, None, Some("true")) => Ok(Self::All),
            _ => Err(Self::unclear()),
        }
    }

    fn unclear() -> Problem {
        Problem::bad_request("give one of `room`, `user` and `all=true`")
    }
}

pub(super) async fn post(call: &Call<'_>, incoming: Incoming) -> Result<Placed, Problem> {
    let to = To::read(&call.query)?;
    match &to {
        To::Room(room) => call.caller.require(Right::Publish, room)?,
        To::User(_) | To::All => call.caller.require_manage()?,
    }
    let kind = body::Kind::of(&call.head.headers)?;
    let details = Details::from_headers(&call.head.headers)?;
    let payload = kind.payload(body::read(incoming, PAYLOAD_LIMIT).await?)?;
    // Who may speak to users or to all is no user itself; where authentication is off, `user` names the receiver.
    let from = if let To::Room(_) = to { call.caller.user().cloned() } else { None };
    let publication = details.with(payload, from, now_ms());
    match to {
        To::Room(room) => {
            let Sent { outcomes, refused } = call.publish(&room, vec![publication]).await?;
            match (outcomes.into_iter().next(), refused) {
                (Some(outcome), _) => outcome,
                (None, Some(problem)) => Err(problem),
                (None, None) => Err(Problem::new(Code::Internal, "no answer was given")),
            }
        }
        To::User(user) => to_connections(call, Some(user), publication),
        To::All => to_connections(call, None, publication),
    }
}

/// To all nodes of the group: where the connections are nobody keeps. It has no place in a history, and at most once
/// is what is promised.
fn to_connections(
    call: &Call<'_>,
    user: Option<UserId>,
    publication: Publication,
) -> Result<Placed, Problem> {
    let tenant = call.caller.tenant();
    call.gateway.rates.publish_to_connections(tenant, publication.data.msgpack_len())?;
    let direct = Direct {
        tenant: tenant.id.clone(),
        user,
        publication: Arc::new(publication),
        traceparent: call.traceparent.as_deref().map(Into::into),
    };
    match call.gateway.backplane.publish_direct(&tenant.group, &direct) {
        Ok(()) => Ok(Placed::default()),
        Err(Refused::Full) => Err(Problem::unavailable("too much is waiting to be sent")),
        Err(Refused::Away) => Err(Problem::unavailable("the backplane is away")),
        Err(Refused::TooLarge) => Err(Problem::new(Code::TooBig, "it is larger than the backplane takes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_and_no_other() {
        let to = |query: &str| {
            let query = Query::parse(Some(query)).expect("well formed");
            To::read(&query).map_err(|problem| problem.code)
        };
        assert_eq!(to("room=a+b"), Ok(To::Room("a b".parse().expect("a room"))));
        assert_eq!(to("user=u&tenant=t"), Ok(To::User("u".parse().expect("a user"))));
        assert_eq!(to("all=true"), Ok(To::All));
        for bad in ["", "room=a&user=u", "room=a&all=true", "user=u&all=true", "all=1", "all", "user="] {
            assert_eq!(to(bad), Err(Code::BadRequest), "{bad}");
        }
        assert_eq!(to("room="), Err(Code::BadRoom));
    }
}
