//! The groups in which this node answers questions and hears messages to users.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_backplane::message::Direct;
use ringway_backplane::{Backplane, Closed, Inbox, IncomingRequest, Subscription};
use ringway_protocol::GroupId;
use ringway_ring::NodeId;
use tokio::sync::mpsc;

/// How long a group is served that nobody here needs any more: whoever still takes this node for its rooms' owner, by a
/// configuration that is older, is better told who is than left to wait.
const LEFT_AFTER: Duration = Duration::from_secs(60);

/// See the module. Dropped, nothing is served any more.
pub(crate) struct Served {
    backplane: Arc<dyn Backplane>,
    node: NodeId,
    questions: mpsc::Sender<IncomingRequest>,
    directs: mpsc::Sender<Direct>,
    groups: HashMap<GroupId, Group>,
}

struct Group {
    _questions: Subscription,
    _directs: Subscription,
    /// Since when nobody needs it.
    needless: Option<Instant>,
}

impl Served {
    /// Nothing is served yet. Questions and messages go to these.
    pub(crate) fn new(
        backplane: Arc<dyn Backplane>,
        node: NodeId,
        questions: mpsc::Sender<IncomingRequest>,
        directs: mpsc::Sender<Direct>,
    ) -> Self {
        Self { backplane, node, questions, directs, groups: HashMap::new() }
    }

    /// Serves these too, and waits until it does.
    ///
    /// # Errors
    /// [`Closed`].
    pub(crate) async fn add(&mut self, groups: &HashSet<GroupId>) -> Result<(), Closed> {
        for group in groups {
            if self.groups.contains_key(group) {
                continue;
            }
            let inbox = Inbox { group: group.clone(), node: self.node.clone() };
            let served = Group {
                _questions: self.backplane.serve(&inbox, self.questions.clone()).await?,
                _directs: self.backplane.subscribe_direct(group, self.directs.clone()).await?,
                needless: None,
            };
            self.groups.insert(group.clone(), served);
        }
        Ok(())
    }

    /// Leaves those that have been needless for a while. To be called every second or so.
    pub(crate) fn keep(&mut self, needed: &HashSet<GroupId>, now: Instant) {
        self.groups.retain(|group, served| {
            if needed.contains(group) {
                served.needless = None;
                return true;
            }
            let since = *served.needless.get_or_insert(now);
            now.saturating_duration_since(since) < LEFT_AFTER
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_backplane::RequestError;
    use ringway_backplane::memory::Hub;
    use ringway_backplane::message::{Answer, Question, Request};

    #[tokio::test]
    async fn a_group_is_served_while_it_is_needed_and_a_while_longer() {
        let hub = Hub::new();
        let (questions, mut asked) = mpsc::channel(8);
        let (directs, _directs) = mpsc::channel(8);
        let mut served = Served::new(hub.attach("n1"), "n1".parse().unwrap(), questions, directs);
        let groups = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        tokio::spawn(async move {
            while let Some(asked) = asked.recv().await {
                asked.reply.send(Answer::Done);
            }
        });
        let other = hub.attach("n2");
        let ask = async |group: &str| {
            let to = Inbox { group: group.parse().unwrap(), node: "n1".parse().unwrap() };
            let request = Request { from: "n2".parse().unwrap(), body: Question::Probe, traceparent: None };
            other.request(&to, &request, Duration::from_secs(30)).await
        };
        assert_eq!(ask("one").await, Err(RequestError::NoResponders));
        served.add(&groups(&["one", "two"])).await.unwrap();
        served.add(&groups(&["two"])).await.unwrap();
        let now = Instant::now();
        served.keep(&groups(&["one"]), now);
        assert_eq!((ask("one").await, ask("two").await), (Ok(Answer::Done), Ok(Answer::Done)));
        served.keep(&groups(&["one", "two"]), now + LEFT_AFTER);
        served.keep(&groups(&["one"]), now + LEFT_AFTER);
        served.keep(&groups(&["one"]), now + LEFT_AFTER + LEFT_AFTER / 2);
        assert_eq!(ask("two").await, Ok(Answer::Done), "needed meanwhile");
        served.keep(&groups(&["one"]), now + 2 * LEFT_AFTER);
        assert_eq!((ask("one").await, ask("two").await), (Ok(Answer::Done), Err(RequestError::NoResponders)));
    }
}
