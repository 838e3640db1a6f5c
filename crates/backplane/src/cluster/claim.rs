//! A name is one node's: who is about to start under it asks first whether somebody has it.

use std::time::Duration;

use ringway_ring::{Announcement, NodeId};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::message::ClusterEvent;
use crate::{Backplane, Closed};

/// How long a node that has the name may take to say so. It answers a hello within 50 ms, and speaks twice a second anyway.
/// One that is slower than this is heard later, and then the elder of the two leaves.
const ANSWER: Duration = Duration::from_millis(300);

/// Once the name was heard: how long until it is heard again. One that lives answers the second hello too; what was only late
/// on its way comes once.
const AGAIN: Duration = Duration::from_secs(1);

/// How many words about the cluster wait to be looked at.
const WORDS: usize = 1_024;

/// Another node with the same name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another node is called \"{id}\": it is reached at {advertise}")]
pub struct Twin {
    /// The name of both.
    pub id: NodeId,
    /// Which run the other is.
    pub incarnation: u64,
    /// Where gateways reach the other.
    pub advertise: String,
}

impl Twin {
    pub(super) fn of(said: &Announcement) -> Self {
        Self { id: said.id.clone(), incarnation: said.incarnation, advertise: said.advertise.clone() }
    }
}

/// Why a node can't have its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Somebody has it, and lives.
    #[error(transparent)]
    Taken(#[from] Twin),
    /// The backplane was closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Asks who has this name, and gives the incarnation to take it with: `clock` (milliseconds since 1970), or more than that
/// of any run that was heard of, should this machine's clock have gone back. Takes 300 ms where nobody has it; while the
/// link is away nobody can be asked, and the name is taken.
///
/// # Errors
/// [`ClaimError`].
pub async fn claim(backplane: &dyn Backplane, name: &NodeId, clock: u64) -> Result<u64, ClaimError> {
    let (words, mut heard) = mpsc::channel(WORDS);
    let _subscription = backplane.watch_cluster(words).await?;
    if backplane.hello().is_err() {
        return Ok(clock);
    }
    let mut until = Instant::now() + ANSWER;
    let mut incarnation = clock;
    let mut once = false;
    while let Ok(word) = timeout_at(until, heard.recv()).await {
        match word.ok_or(Closed)? {
            ClusterEvent::Announced(said) if said.id == *name => {
                if once {
                    return Err(Twin::of(&said).into());
                }
                once = true;
                incarnation = incarnation.max(said.incarnation + 1);
                // Should it be refused, the next announcement comes by itself.
                let _ = backplane.hello();
                until = Instant::now() + AGAIN;
            }
            ClusterEvent::Departed { id, incarnation: ended } if id == *name => {
                once = false;
                incarnation = incarnation.max(ended + 1);
            }
            ClusterEvent::Announced(_) | ClusterEvent::Departed { .. } | ClusterEvent::Hello => {}
        }
    }
    Ok(incarnation)
}
