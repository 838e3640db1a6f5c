//! The nodes that one worker has to do with: their numbers, and the ways to them.
//!
//! What is said to a node goes over its link; where there is none, one is made, and what is said meanwhile waits for it under a
//! bound. A link has one task for its life, and only that says that it is lost.

use std::collections::HashMap;
use std::sync::Arc;

use ringway_edge::{Frame, Outbound};
use ringway_ring::NodeId;
use tokio::time::Instant;

use super::table::NodeNo;

/// Bytes that may wait for one link: while it is made, and while its node doesn't keep up. More, and the link is cut.
pub(crate) const QUEUE: usize = 16 << 20;

/// Frames that may, whatever their size.
pub(crate) const QUEUED_FRAMES: usize = 1 << 18;

/// From so many bytes on that wait for one link, clients aren't read: what they send would only wait, too.
const CROWDED: usize = 2 << 20;

/// Bytes between two looks at how much waits.
const LOOK: usize = 64 * 1024;

/// How to say something to a node.
#[derive(Debug, Default)]
enum Way {
    /// Nobody has anything to say.
    #[default]
    None,
    /// A link is being made.
    Making(Waiting),
    /// There is one.
    Up(Arc<Outbound>),
}

/// What waits for a link.
#[derive(Debug, Default)]
struct Waiting {
    frames: Vec<Frame>,
    bytes: usize,
    /// More came than may wait: the link is given up as soon as it is there.
    is_full: bool,
}

#[derive(Debug)]
struct Row {
    id: NodeId,
    way: Way,
    /// It refused a link, in a way that says nothing of others: passed over until then.
    refused: Option<Instant>,
    /// It said that it leaves, in the run of that incarnation.
    left: Option<u64>,
    /// When its last link was lost, or given up: links that are made again at once are made only for a moment.
    lost: Option<Instant>,
    /// Links one after the other that lived only shortly.
    short: u8,
    /// Bytes that were pushed to the link since somebody looked how much waits.
    unseen: usize,
    /// Much waits.
    is_crowded: bool,
}

impl Row {
    fn new(id: NodeId) -> Self {
        Self {
            id,
            way: Way::None,
            refused: None,
            left: None,
            lost: None,
            short: 0,
            unseen: 0,
            is_crowded: false,
        }
    }
}

/// What became of something that was to be said.
#[derive(Debug)]
pub(crate) enum Said<'a> {
    /// It waits for a link that is being made.
    Waits,
    /// It waits for a link that somebody has to make: a task is to be started.
    Start,
    /// It is to be pushed to the link.
    Push(&'a Arc<Outbound>, Frame),
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    rows: Vec<Option<Row>>,
    numbers: HashMap<NodeId, NodeNo>,
    /// Much waits for some link.
    is_crowded: bool,
}

impl Nodes {
    /// The node's number: a new one for a node that has none. None: there are too many (65,536).
    pub(crate) fn number(&mut self, id: &NodeId) -> Option<NodeNo> {
        if let Some(number) = self.numbers.get(id) {
            return Some(*number);
        }
        let free = self.rows.iter().position(Option::is_none).unwrap_or(self.rows.len());
        let number = NodeNo(u16::try_from(free).ok()?);
        let row = Row::new(id.clone());
        if free == self.rows.len() {
            self.rows.push(None);
        }
        self.rows[free] = Some(row);
        self.numbers.insert(id.clone(), number);
        Some(number)
    }

    /// The node of that number.
    pub(crate) fn id(&self, node: NodeNo) -> Option<&NodeId> {
        self.row(node).map(|row| &row.id)
    }

    /// Forgets nodes that nothing is there of: no link, and nobody for whom `is_needed` says so.
    pub(crate) fn tidy(&mut self, is_needed: impl Fn(NodeNo, &NodeId) -> bool) {
        for (number, row) in (0..).map(NodeNo).zip(&mut self.rows) {
            let idle =
                row.as_ref().is_some_and(|row| matches!(row.way, Way::None) && !is_needed(number, &row.id));
            if idle && let Some(row) = row.take() {
                self.numbers.remove(&row.id);
            }
        }
        while self.rows.last().is_some_and(Option::is_none) {
            self.rows.pop();
        }
    }

    /// Something is said to a node, over a link that is there or will be.
    pub(crate) fn say(&mut self, node: NodeNo, frame: Frame) -> Said<'_> {
        let row = self.rows.get_mut(usize::from(node.0)).and_then(Option::as_mut);
        let Some(row) = row else { return Said::Waits };
        match &mut row.way {
            Way::Up(out) => {
                row.unseen += frame.len();
                if row.unseen >= LOOK {
                    row.unseen = 0;
                    row.is_crowded = out.queued_bytes() >= CROWDED;
                    self.is_crowded |= row.is_crowded;
                }
                Said::Push(out, frame)
            }
            Way::Making(waiting) => {
                waiting.add(frame);
                Said::Waits
            }
            none @ Way::None => {
                let mut waiting = Waiting::default();
                waiting.add(frame);
                *none = Way::Making(waiting);
                Said::Start
            }
        }
    }

    /// The link is there: what waited is to be pushed, in this order. None: too much waited, and the link is to be given up.
    pub(crate) fn up(&mut self, node: NodeNo, out: &Arc<Outbound>) -> Option<Vec<Frame>> {
        let row = self.row_mut(node)?;
        match &mut row.way {
            Way::Making(waiting) if !waiting.is_full => {
                let frames = std::mem::take(&mut waiting.frames);
                row.way = Way::Up(Arc::clone(out));
                Some(frames)
            }
            _ => None,
        }
    }

    /// The link is gone, or couldn't be made: what waited for it is gone too.
    pub(crate) fn lost(&mut self, node: NodeNo, now: Instant) {
        if let Some(row) = self.row_mut(node) {
            row.way = Way::None;
            row.lost = Some(now);
        }
    }

    /// When the node's last link was lost, or given up.
    pub(crate) fn last_lost(&self, node: NodeNo) -> Option<Instant> {
        self.row(node).and_then(|row| row.lost)
    }

    /// A link was lost, after a short life or not. True if that was the last of so many short-lived ones: then they are counted
    /// anew.
    pub(crate) fn is_hasty(&mut self, node: NodeNo, is_short: bool, limit: u8) -> bool {
        let Some(row) = self.row_mut(node) else { return false };
        row.short = if is_short { row.short + 1 } else { 0 };
        let is_hasty = row.short >= limit;
        if is_hasty {
            row.short = 0;
        }
        is_hasty
    }

    /// Whether so much waits for some link that clients shouldn't be read.
    pub(crate) fn is_crowded(&self) -> bool {
        self.is_crowded
    }

    /// Looks again at links that were crowded. True if none is any more.
    pub(crate) fn is_relieved(&mut self) -> bool {
        for row in self.rows.iter_mut().flatten().filter(|row| row.is_crowded) {
            row.is_crowded = matches!(&row.way, Way::Up(out) if out.queued_bytes() >= CROWDED / 2);
        }
        self.is_crowded = self.rows.iter().flatten().any(|row| row.is_crowded);
        !self.is_crowded
    }

    /// Whether so many bytes, or more, wait for some link.
    pub(crate) fn is_any_behind(&self, bytes: usize) -> bool {
        self.rows.iter().flatten().any(|row| match &row.way {
            Way::None => false,
            Way::Making(waiting) => waiting.bytes >= bytes,
            Way::Up(out) => out.queued_bytes() >= bytes,
        })
    }

    /// Nobody needs the link any more; it wasn't lost.
    pub(crate) fn ended(&mut self, node: NodeNo) {
        if let Some(row) = self.row_mut(node) {
            row.way = Way::None;
        }
    }

    /// The node refuses links: passed over until then.
    pub(crate) fn refused(&mut self, node: NodeNo, until: Instant) {
        if let Some(row) = self.row_mut(node) {
            row.refused = Some(until);
        }
    }

    /// The node leaves, in the run of that incarnation.
    pub(crate) fn left(&mut self, node: NodeNo, incarnation: u64) {
        if let Some(row) = self.row_mut(node) {
            row.left = Some(incarnation);
        }
    }

    /// Whether a node with this incarnation is to be passed over, for what it said itself.
    pub(crate) fn is_passed_over(&self, id: &NodeId, incarnation: u64, now: Instant) -> bool {
        let row = self.numbers.get(id).and_then(|number| self.row(*number));
        row.is_some_and(|row| {
            row.left.is_some_and(|left| left >= incarnation) || row.refused.is_some_and(|until| now < until)
        })
    }

    /// Forgets refusals that are over. True if there were some.
    pub(crate) fn pardon(&mut self, now: Instant) -> bool {
        let mut some = false;
        for row in self.rows.iter_mut().flatten() {
            if row.refused.is_some_and(|until| until <= now) {
                row.refused = None;
                some = true;
            }
        }
        some
    }

    fn row(&self, node: NodeNo) -> Option<&Row> {
        self.rows.get(usize::from(node.0))?.as_ref()
    }

    fn row_mut(&mut self, node: NodeNo) -> Option<&mut Row> {
        self.rows.get_mut(usize::from(node.0))?.as_mut()
    }
}

impl Waiting {
    fn add(&mut self, frame: Frame) {
        if self.is_full || self.bytes + frame.len() > QUEUE || self.frames.len() >= QUEUED_FRAMES {
            self.is_full = true;
            self.frames = Vec::new();
            return;
        }
        self.bytes += frame.len();
        self.frames.push(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ringway_edge::{Limits, open_link};
    use std::time::Duration;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    fn id(name: &str) -> NodeId {
        name.parse().expect("a name")
    }

    #[test]
    fn a_node_keeps_its_number_until_nobody_needs_it() {
        let mut nodes = Nodes::default();
        let [a, b] = ["a", "b"].map(|name| nodes.number(&id(name)).expect("a number"));
        assert_ne!(a, b);
        assert_eq!((nodes.number(&id("a")), nodes.id(a)), (Some(a), Some(&id("a"))));
        nodes.tidy(|node, _| node == b);
        assert_eq!((nodes.id(a), nodes.id(b)), (None, Some(&id("b"))));
        assert_eq!(nodes.number(&id("c")), Some(a), "a number is given again");
        // What waits for a link keeps its node.
        assert!(matches!(nodes.say(a, Frame::record(b"x")), Said::Start));
        nodes.tidy(|_, _| false);
        assert_eq!((nodes.id(a), nodes.id(b)), (Some(&id("c")), None));
    }

    #[test]
    fn one_link_is_asked_for_and_what_waits_for_it_has_a_bound() {
        let mut nodes = Nodes::default();
        let a = nodes.number(&id("a")).expect("a number");
        let large = Frame::record(&vec![7; 1 << 20]);
        assert!(matches!(nodes.say(a, large.clone()), Said::Start));
        for _ in 0..14 {
            assert!(matches!(nodes.say(a, large.clone()), Said::Waits));
        }
        let waiting = |nodes: &Nodes| match &nodes.row(a).expect("a node").way {
            Way::Making(waiting) => (waiting.is_full, waiting.frames.len()),
            _ => panic!("nobody makes a link"),
        };
        assert_eq!(waiting(&nodes), (false, 15));
        nodes.say(a, large);
        assert_eq!(waiting(&nodes), (true, 0));
        nodes.lost(a, Instant::now());
        assert!(matches!(nodes.say(a, Frame::record(b"x")), Said::Start));
    }

    #[test]
    fn who_refuses_or_leaves_is_passed_over_for_as_long() {
        let mut nodes = Nodes::default();
        let a = nodes.number(&id("a")).expect("a number");
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        nodes.refused(a, later);
        assert!(nodes.is_passed_over(&id("a"), 5, now) && !nodes.is_passed_over(&id("b"), 5, now));
        assert!(!nodes.pardon(now) && nodes.pardon(later) && !nodes.pardon(later));
        assert!(!nodes.is_passed_over(&id("a"), 5, now));
        nodes.left(a, 5);
        assert!(nodes.is_passed_over(&id("a"), 5, later), "in that run");
        assert!(!nodes.is_passed_over(&id("a"), 6, later), "it is back");
    }

    #[test]
    fn three_short_lives_are_one_too_many() {
        let mut nodes = Nodes::default();
        let a = nodes.number(&id("a")).expect("a number");
        let lives = [true, true, false, true, true, true, true];
        let hasty = lives.map(|is_short| nodes.is_hasty(a, is_short, 3));
        assert_eq!(hasty, [false, false, false, false, false, true, false]);
    }

    #[tokio::test]
    async fn a_link_whose_node_reads_nothing_is_crowded_until_it_does() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut node =
            TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
        let (socket, _) = listener.accept().await.expect("accepted");
        let limits = Limits { message: 1, queue: QUEUE, frames: QUEUED_FRAMES };
        let (out, mut reader) = open_link(socket, &Bytes::new(), limits);
        let mut nodes = Nodes::default();
        let a = nodes.number(&id("a")).expect("a number");
        nodes.say(a, Frame::record(b"first"));
        assert_eq!(nodes.up(a, &out).map(|waited| waited.len()), Some(1));
        let large = Frame::record(&vec![7; LOOK]);
        let mut said = 0;
        while !nodes.is_crowded() {
            let Said::Push(out, frame) = nodes.say(a, large.clone()) else { panic!("the link is up") };
            assert!(out.send(&frame), "it is crowded long before it is full");
            said += frame.len();
        }
        assert!(nodes.is_any_behind(CROWDED) && !nodes.is_relieved());
        let writing = tokio::spawn(async move { reader.read(&mut |_| {}).await });
        let mut taken = vec![0; said];
        node.read_exact(&mut taken).await.expect("all of it");
        let relieved = async {
            while !nodes.is_relieved() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), relieved).await.expect("it has all left");
        assert!(!nodes.is_crowded());
        writing.abort();
    }
}
