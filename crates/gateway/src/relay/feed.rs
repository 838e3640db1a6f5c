//! A room's publications as its members' queues know them: what may be left out for one that is behind, and how that is
//! told and counted. As a node does it for the sockets that it holds.

use std::sync::Arc;

use ringway_edge::{Feed, Frame, Lost};
use ringway_protocol::codec::Format;
use ringway_protocol::frame::{Gap, GapReason, ServerFrame};
use ringway_protocol::name::{EpochName, RoomName};

use super::tenants::TenantHere;
use crate::encode::finished;

/// The publications of one room in one epoch, or before it has one.
#[derive(Debug)]
pub(crate) struct RoomFeed {
    room: RoomName,
    /// None: nothing of it has a number.
    epoch: Option<EpochName>,
    tenant: Arc<TenantHere>,
}

impl RoomFeed {
    pub(crate) fn new(room: RoomName, epoch: Option<EpochName>, tenant: Arc<TenantHere>) -> Arc<Self> {
        Arc::new(Self { room, epoch, tenant })
    }

    /// Whether what is published in that epoch belongs to it; what has no number belongs to whichever is there.
    pub(crate) fn is_of(&self, epoch: Option<&EpochName>) -> bool {
        epoch.is_none() || self.epoch.as_ref() == epoch
    }
}

impl Feed for RoomFeed {
    fn gap(&self, lost: Lost) -> Frame {
        self.tenant.counts.gaps.inc();
        let epoch = self.epoch.clone();
        let gap = Gap {
            room: self.room.clone(),
            reason: GapReason::Slow,
            epoch: epoch.expect("only what has a number can be told as lost, and that is in an epoch"),
            offset: lost.offset,
            ts: Some(lost.ts),
            lost: Some(lost.frames),
        };
        finished(if lost.text { Format::Json } else { Format::Msgpack }, &ServerFrame::Gap(gap))
    }

    fn dropped(&self, frames: u64) {
        self.tenant.counts.dropped.inc_by(frames);
    }

    fn conflated(&self, frames: u64) {
        self.tenant.counts.conflated.inc_by(frames);
    }
}
