//! Streams that keep what durable rooms publish: made, watched, written to and read from.
//!
//! | file | what |
//! |---|---|
//! | `watching` | who asks for a look at a store, and when there is one |
//! | `looking`, `mending` | a look: streams are found and made; one is put right |
//! | `findings` | what a look found, in words |
//! | `shape` | what streams should be like |
//! | `epochs` | which epoch a stream's numbers belong to |
//! | `api` | questions to JetStream about streams |
//! | `publishing`, `underway` | a publication is stored: in order, so many at a time (`underway/state`: a value) |
//! | `acknowledgement` | what the server says to it |
//! | `reading` | what is read, and how |
//! | `batches`, `leader` | questions with many answers; questions to a stream's leader |
//! | `kept`, `stamp` | a message as a stream keeps it, and its time |
//! | `standing` | whether who answers as a leader still is it |
//! | `splitting`, `moving` | one stream becomes several; parts of it move |

mod acknowledgement;
mod api;
mod batches;
mod epochs;
mod findings;
mod holding;
pub(super) mod kept;
mod leader;
mod looking;
mod mending;
mod moving;
mod publishing;
mod reading;
mod shape;
mod splitting;
mod stamp;
mod standing;
mod underway;
mod watching;

use std::sync::Arc;

use async_nats::{Client, Subscriber};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use batches::Batches;
use underway::UnderWay;

use super::link::LinkState;
use super::questions::Questions;
use crate::store::Known;
use crate::subject::Subjects;
use crate::{Closed, Counters};

pub use publishing::{MessageId, ToStore};
pub use splitting::{SplitError, SplitProgress};

/// Where the server's answers come in.
pub(super) struct Listening {
    acknowledgements: Subscriber,
    answers: Subscriber,
}

/// The stores of one connection to NATS.
pub struct Stores {
    client: Client,
    subjects: Subjects,
    questions: Arc<Questions>,
    link: Arc<LinkState>,
    counters: Arc<Counters>,
    under_way: UnderWay,
    batches: Batches,
    known: watch::Sender<Arc<Known>>,
    wanted: Mutex<watching::Wanted>,
}

impl Stores {
    pub(super) fn new(
        client: Client,
        subjects: Subjects,
        questions: Arc<Questions>,
        link: Arc<LinkState>,
        counters: Arc<Counters>,
    ) -> Self {
        let known = watch::Sender::new(Arc::default());
        let under_way = UnderWay::new(&client, &link, known.subscribe());
        let batches = Batches::new(&client, &link);
        Self {
            client,
            subjects,
            questions,
            link,
            counters,
            under_way,
            batches,
            known,
            wanted: Mutex::default(),
        }
    }

    /// Subscribes to what will be answered, before anything is asked.
    pub(super) async fn listen(&self) -> Result<Listening, Closed> {
        let subscribe = |inbox: String| self.client.subscribe(inbox);
        let acknowledgements = subscribe(self.under_way.subject()).await.map_err(|_| Closed)?;
        let answers = subscribe(self.batches.subject()).await.map_err(|_| Closed)?;
        Ok(Listening { acknowledgements, answers })
    }

    /// Sends what is published and receives what is answered, until stopped.
    pub(super) async fn run(&self, listening: Listening, stop: &CancellationToken) {
        let Listening { acknowledgements, answers } = listening;
        tokio::join!(self.under_way.run(self, acknowledgements, stop), self.batches.run(answers, stop));
    }

    /// What is known of the stores that were asked for, and its changes.
    #[must_use]
    pub fn known(&self) -> watch::Receiver<Arc<Known>> {
        self.known.subscribe()
    }

    /// Takes this for what is known, without a look at any stream.
    #[doc(hidden)]
    pub fn know(&self, known: Known) {
        self.known.send_replace(Arc::new(known));
    }

    /// What is known now.
    #[must_use]
    pub fn now(&self) -> Arc<Known> {
        self.known.borrow().clone()
    }
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}
