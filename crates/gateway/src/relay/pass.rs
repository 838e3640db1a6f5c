//! What is to be done once a worker isn't locked any more: connections that got something under its lock are flushed, and tasks
//! that waited are woken.

use std::sync::Arc;
use std::task::Waker;

use ringway_edge::{Frame, Outbound};
use tokio_util::task::TaskTracker;

/// What one hold of a worker's lock has brought.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    pub(crate) frames: ringway_edge::Pass,
    woken: Vec<Waker>,
}

impl Pass {
    /// A frame for one connection, by the end of the pass.
    pub(crate) fn push(&mut self, out: &Arc<Outbound>, frame: &Frame) {
        self.frames.push(out, frame);
    }

    /// That task is to be woken.
    pub(crate) fn wake(&mut self, task: Option<Waker>) {
        self.woken.extend(task);
    }

    /// Does all of it, and leaves an empty pass.
    pub(crate) fn carry_out(&mut self, crowd: &Crowd) {
        for (window, conns) in self.frames.later() {
            let crowd = crowd.clone();
            crowd.tasks.clone().spawn(async move {
                tokio::time::sleep(window).await;
                let mut pass = Self::default();
                pass.frames.flush_these(conns);
                pass.carry_out(&crowd);
            });
        }
        self.frames.flush(&crowd.crowd);
        self.woken.drain(..).for_each(Waker::wake);
        if crowd.crowd.waits() {
            crowd.crowd.flush_some();
        }
    }
}

/// Connections that wait for their turn to be flushed, of all workers. A clone is the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    crowd: ringway_edge::Crowd,
    tasks: TaskTracker,
}

impl Crowd {
    /// `threads`: of the runtime. Each may help, the only one too: who locks a worker has other things to do. Helpers end by
    /// themselves, soon; `tasks` waits for them.
    pub(crate) fn new(threads: usize, tasks: TaskTracker) -> Self {
        Self { crowd: ringway_edge::Crowd::new(threads.max(1), tasks.clone()), tasks }
    }
}
