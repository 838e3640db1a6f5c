//! Messages to a user's connections, or to all of a tenant's, wherever they joined.

use ringway_backplane::message::Direct;
use ringway_protocol::frame::{Msg, ServerFrame};

use crate::encode::Shared;
use crate::registry::Registry;

/// Delivers to this node's connections that are meant. Tells how many those are.
pub(crate) fn deliver(registry: &Registry, direct: &Direct) -> usize {
    let publication = &direct.publication;
    let frame = ServerFrame::Msg(Msg {
        id: None,
        room: None,
        data: publication.data.clone(),
        offset: None,
        ts: Some(publication.ts),
        user: publication.user.clone(),
        event: publication.event.clone(),
        key: publication.key.clone(),
        mid: publication.mid.clone(),
        prev: None,
        trace: publication.trace.clone(),
    });
    let mut shared = Shared::new(&frame);
    let meant = registry.of(&direct.tenant, direct.user.as_ref());
    let mut reached = 0;
    for conn in meant {
        let left_out = !publication.echo && publication.conn.as_ref() == Some(&conn.id);
        if !left_out {
            conn.send(shared.of(conn.format));
            reached += 1;
        }
    }
    reached
}
