//! What a client's frames ask for.

use ringway_auth::{Right, TokenError};
use ringway_backplane::message::{PageOf, Publication};
use ringway_protocol::Code;
use ringway_protocol::frame::{
    Answer, Auth, AuthResult, ClientFrame, History, OkResult, Pub, Refusal, ServerFrame,
};
use ringway_protocol::name::{EpochName, RoomName};

use super::{Session, Wait};
use crate::clock;
use crate::conn::ConnRef;
use crate::encode::finished;
use crate::shard::{Command, Join, No, Op};
use crate::trace;

impl Session {
    /// Does what a frame asks for. What comes back is to be awaited before the next.
    pub(super) fn handle(&mut self, frame: ClientFrame) -> Option<Wait> {
        match frame {
            ClientFrame::Ping { id } => self.ok(id, None),
            ClientFrame::Auth(auth) => return self.authenticate(&auth),
            ClientFrame::Join(join) => {
                let wish =
                    Join { id: join.id, since: join.since, last: join.last, by_server: false, span: None };
                return self.if_allowed(Right::Join, join.id, join.room, Op::Join(wish));
            }
            ClientFrame::Leave(leave) => return self.hand_to_shard(leave.room, Op::Leave { id: leave.id }),
            ClientFrame::Pub(publish) => return self.publish(publish),
            ClientFrame::Members(members) => {
                let room = match self.room_or_home(members.id, members.room) {
                    Ok(room) => room,
                    Err(wait) => return wait,
                };
                return self.if_allowed(Right::Presence, members.id, room, Op::Members { id: members.id });
            }
            ClientFrame::State(state) => {
                let room = state.room.or_else(|| self.home.clone());
                return self.no(
                    state.id,
                    room,
                    &No::new(Code::NoPresence, "presence states aren't kept yet"),
                );
            }
            ClientFrame::History(history) => return self.history(history),
            ClientFrame::Call(call) => {
                let room = call.room.or_else(|| self.home.clone());
                return self.no(
                    call.id,
                    room,
                    &No::new(Code::NoWorker, "no worker of the application answers calls"),
                );
            }
        }
        None
    }

    fn publish(&mut self, publish: Pub) -> Option<Wait> {
        let room = match self.room_or_home(publish.id, publish.room) {
            Ok(room) => room,
            Err(wait) => return wait,
        };
        let span = trace::publish(&self.conn.tenant.id, &room, publish.trace.as_deref());
        let publication = Publication {
            ts: clock::wall_ms(),
            user: self.conn.user.clone(),
            event: publish.event,
            key: publish.key,
            mid: publish.mid,
            trace: publish.trace,
            data: publish.data,
            conn: Some(self.conn.id.clone()),
            session: Some(self.conn.session.clone()),
            echo: publish.echo,
            span: trace::traceparent_of(&span),
            signal: !publish.store,
        };
        let op = Op::Publish { id: publish.id, publication: Box::new(publication), span };
        self.if_allowed(Right::Publish, publish.id, room, op)
    }

    fn history(&mut self, history: History) -> Option<Wait> {
        let History { id, room, after, before, limit, epoch } = history;
        let room = match self.room_or_home(id, room) {
            Ok(room) => room,
            Err(wait) => return wait,
        };
        let epoch = epoch.as_ref().map(EpochName::as_str);
        let asked = PageOf::asked(after, before, limit.map(u64::from), epoch);
        let no = match (id, asked) {
            (Some(id), Ok(page)) => {
                return self.if_allowed(Right::History, Some(id), room, Op::History { id, page });
            }
            (_, Err(bad)) => bad.meaning(),
            // Its lines would look like live publications.
            (None, Ok(_)) => "a `history` frame needs an `id`",
        };
        self.no(id, Some(room), &No::new(Code::BadRequest, no))
    }

    fn authenticate(&mut self, auth: &Auth) -> Option<Wait> {
        let now = clock::wall_seconds();
        let configured = self.node.configured.borrow().clone();
        let Some(keys) = configured.keys.get(&self.conn.tenant.id) else {
            if self.node.settings.open {
                self.ok(auth.id, Some(OkResult::Auth(AuthResult { expires: None })));
            } else {
                return self.no(auth.id, None, &No::new(Code::TokenInvalid, "the tenant has no keys"));
            }
            return None;
        };
        let identity = match keys.verify(&auth.token, now) {
            Ok(identity) if identity.tenant == self.conn.tenant.id && identity.user == self.conn.user => {
                identity
            }
            Ok(_) | Err(TokenError::OtherTenant) => {
                let no = No::new(Code::TokenInvalid, "the token is another tenant's or user's");
                return self.no(auth.id, None, &no);
            }
            Err(error) => {
                return self.refuse(Refusal {
                    id: auth.id,
                    room: None,
                    code: error.code(),
                    message: Some(error.to_string().into()),
                    retry: None,
                });
            }
        };
        let grants = self.node.grants.same(identity.grants);
        self.conn.renew(grants.clone(), identity.expires);
        self.node.registry.watch_end(&self.conn, now);
        self.tell_gateway_of_rights();
        let told = self.tell_shards(|| Command::Regranted(self.conn.clone(), grants.clone()));
        let (conn, id) = (self.conn.clone(), auth.id);
        let expires = identity.expires.map(|at| at.saturating_sub(now));
        let answer = move || {
            ok(&conn, id, Some(OkResult::Auth(AuthResult { expires })));
        };
        match told {
            None => answer(),
            Some(wait) => {
                return Some(Box::pin(async move {
                    wait.await;
                    answer();
                }));
            }
        }
        None
    }

    fn if_allowed(&mut self, right: Right, id: Option<u64>, room: RoomName, op: Op) -> Option<Wait> {
        if self.may(right, &room) {
            return self.hand_to_shard(room, op);
        }
        self.no(id, Some(room), &No::new(Code::Forbidden, "the token doesn't allow that in this room"))
    }

    pub(super) fn may(&self, right: Right, room: &RoomName) -> bool {
        self.conn.grants.lock().allows(right, room, self.conn.user.as_ref())
    }

    /// Where there is none, that was refused.
    fn room_or_home(&mut self, id: Option<u64>, room: Option<RoomName>) -> Result<RoomName, Option<Wait>> {
        if let Some(room) = room.or_else(|| self.home.clone()) {
            return Ok(room);
        }
        Err(self.no(id, None, &No::new(Code::BadRoom, "this connection has no home room: name a room")))
    }

    fn ok(&self, id: Option<u64>, result: Option<OkResult>) {
        ok(&self.conn, id, result);
    }
}

fn ok(conn: &ConnRef, id: Option<u64>, result: Option<OkResult>) {
    if id.is_some() {
        let frame = ServerFrame::Ok(Answer { id, room: None, data: None, result });
        conn.send(&finished(conn.format, &frame));
    }
}
