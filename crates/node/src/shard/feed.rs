//! A room's publications as its members' queues know them: what may be left out for one that is behind, and how that is
//! told and counted.

use std::sync::Arc;

use ringway_backplane::message::Epoch;
use ringway_config::SlowConsumer;
use ringway_edge::{Feed, Frame, Label, Lost, Policy};
use ringway_protocol::codec::Format;
use ringway_protocol::frame::{Gap, GapReason, ServerFrame};
use ringway_protocol::name::{Key, RoomName};

use super::answers;
use crate::encode::finished;
use crate::tenant::TenantHere;

/// What may become of a room's publications where a member is behind. None: they are never left out.
pub(super) fn policy(of: SlowConsumer) -> Option<Policy> {
    match of {
        SlowConsumer::Disconnect => None,
        SlowConsumer::DropOldest => Some(Policy::DropOldest),
        SlowConsumer::Conflate => Some(Policy::Conflate),
    }
}

/// The publications of one room in one epoch, or before it has one.
#[derive(Debug)]
pub(crate) struct RoomFeed {
    room: RoomName,
    /// None: nothing of it has a number.
    epoch: Option<Epoch>,
    tenant: Arc<TenantHere>,
}

impl RoomFeed {
    /// The feed of an epoch: the present one, or a new one in its place. What has no number belongs to whichever is there.
    pub(super) fn of<'a>(
        present: &'a mut Option<Arc<RoomFeed>>,
        epoch: Option<Epoch>,
        room: &RoomName,
        tenant: &Arc<TenantHere>,
    ) -> &'a Arc<RoomFeed> {
        if epoch.is_some() && present.as_ref().is_some_and(|feed| feed.epoch != epoch) {
            *present = None;
        }
        present
            .get_or_insert_with(|| Arc::new(RoomFeed { room: room.clone(), epoch, tenant: tenant.clone() }))
    }

    /// The label of one of its publications. `offset`: where it has one.
    pub(super) fn label(
        self: &Arc<Self>,
        policy: Policy,
        offset: Option<u64>,
        ts: u64,
        key: Option<&Key>,
    ) -> Arc<Label> {
        Arc::new(Label { feed: self.clone(), policy, offset, ts, key: key.cloned() })
    }
}

impl Feed for RoomFeed {
    fn gap(&self, lost: Lost) -> Frame {
        self.tenant.counts.gaps.inc();
        let epoch = self.epoch.expect("only what has a number can be told as lost, and that is in an epoch");
        let gap = Gap {
            room: self.room.clone(),
            reason: GapReason::Slow,
            epoch: answers::epoch_name(epoch),
            offset: lost.offset,
            ts: Some(lost.ts),
            lost: Some(lost.frames),
        };
        let format = if lost.text { Format::Json } else { Format::Msgpack };
        finished(format, &ServerFrame::Gap(gap))
    }

    fn dropped(&self, frames: u64) {
        self.tenant.counts.dropped.inc_by(frames);
    }

    fn conflated(&self, frames: u64) {
        self.tenant.counts.conflated.inc_by(frames);
    }
}
