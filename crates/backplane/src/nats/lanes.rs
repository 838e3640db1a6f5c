//! The ways of one subscription into its sinks, so that a full one doesn't hold the others up.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::PollSender;

/// How many messages wait here for full sinks, of all together; beyond, the client's own queue fills.
const BEHIND: usize = 8_192;

/// One way a sink.
pub(super) struct Lanes<T>(Vec<Lane<T>>);

struct Lane<T> {
    sink: mpsc::Sender<T>,
    /// As many as wait for it, oldest first, and what waits with them. None: it wasn't full yet.
    behind: Option<Box<Behind<T>>>,
}

struct Behind<T> {
    sink: PollSender<T>,
    waiting: VecDeque<T>,
}

/// Nobody reads a sink any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SinkClosed;

impl<T: Send + 'static> Lanes<T> {
    pub(super) fn into(sinks: &[mpsc::Sender<T>]) -> Self {
        Self(sinks.iter().map(|sink| Lane { sink: sink.clone(), behind: None }).collect())
    }

    /// Puts a message on its way into a sink, behind those that were put before.
    pub(super) fn put(&mut self, index: usize, item: T) -> Result<(), SinkClosed> {
        // Of no sinks at all there is none.
        let Some(lane) = self.0.get_mut(index) else { return Err(SinkClosed) };
        if let Some(behind) = lane.behind.as_mut().filter(|behind| !behind.waiting.is_empty()) {
            behind.waiting.push_back(item);
            return Ok(());
        }
        // Mostly there is room, and no need to get ready to wait.
        match lane.sink.try_send(item) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(SinkClosed),
            Err(TrySendError::Full(item)) => {
                let sink = &lane.sink;
                let behind = lane.behind.get_or_insert_with(|| {
                    Box::new(Behind { sink: PollSender::new(sink.clone()), waiting: VecDeque::new() })
                });
                behind.waiting.push_back(item);
                Ok(())
            }
        }
    }

    /// Whether something waits, and whether more may. With one sink there is nothing to be served meanwhile.
    pub(super) fn is_behind(&self) -> (bool, bool) {
        let behind = self.0.iter().filter_map(|lane| lane.behind.as_ref());
        let waiting: usize = behind.map(|behind| behind.waiting.len()).sum();
        (waiting > 0, waiting < if self.0.len() == 1 { 1 } else { BEHIND })
    }

    /// Moves some of what waits into its sink; waits until that can be done. Dropped meanwhile, nothing is lost.
    pub(super) async fn move_on(&mut self) -> Result<(), SinkClosed> {
        poll_fn(|cx| self.poll_move_on(cx)).await
    }

    fn poll_move_on(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkClosed>> {
        let mut moved = false;
        for behind in self.0.iter_mut().filter_map(|lane| lane.behind.as_mut()) {
            while !behind.waiting.is_empty() {
                match behind.sink.poll_reserve(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(SinkClosed)),
                    Poll::Ready(Ok(())) => {
                        let item = behind.waiting.pop_front().expect("it isn't empty");
                        if behind.sink.send_item(item).is_err() {
                            return Poll::Ready(Err(SinkClosed));
                        }
                        moved = true;
                    }
                }
            }
        }
        if moved { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_sink_holds_up_none_but_itself_and_keeps_its_order() {
        let (full, mut at_full) = mpsc::channel(2);
        let (other, mut at_other) = mpsc::channel(64);
        let mut lanes = Lanes::into(&[full, other]);
        for number in 0..40 {
            lanes.put(number % 2, number).expect("open");
        }
        assert_eq!(at_other.len(), 20);
        assert_eq!(lanes.is_behind(), (true, true));
        let mut heard = Vec::new();
        for later in [40, 42] {
            heard.push(at_full.recv().await.expect("open"));
            lanes.move_on().await.expect("open");
            // What comes later isn't before what waits.
            lanes.put(0, later).expect("open");
        }
        while lanes.is_behind().0 {
            heard.push(at_full.recv().await.expect("open"));
            lanes.move_on().await.expect("open");
        }
        drop(lanes);
        while let Some(number) = at_full.recv().await {
            heard.push(number);
        }
        assert_eq!(heard, Vec::from_iter((0..=42).step_by(2)));
        assert_eq!(at_other.recv().await, Some(1));
    }

    #[tokio::test]
    async fn a_closed_sink_is_told() {
        let (sink, reader) = mpsc::channel(1);
        let (other, _reader) = mpsc::channel(1);
        let mut lanes = Lanes::into(&[sink, other]);
        assert_eq!(lanes.put(0, 1), Ok(()));
        assert_eq!(lanes.put(0, 2), Ok(()), "it waits");
        drop(reader);
        assert_eq!(lanes.move_on().await, Err(SinkClosed));
        assert_eq!(Lanes::into(&[]).put(0, 1), Err(SinkClosed));
    }
}
