//! What to do when a connection can't be accepted.

use std::io;
use std::time::{Duration, Instant};

/// A line a second: enough to know, too little to fill a disk.
const PAUSE: Duration = Duration::from_secs(1);

/// What a failed accept says about the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// That client went away before it was accepted; the next may be well.
    OneClient,
    /// Descriptors or memory are missing, or something unknown is: the waiting connection stays,
    /// so trying again at once would spin.
    Shortage,
}

pub(super) fn trouble_of(error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted => {
            Trouble::OneClient
        }
        _ => Trouble::Shortage,
    }
}

/// Keeps a repeated complaint to one line a second.
#[derive(Debug, Default)]
pub(super) struct Hush {
    spoke: Option<Instant>,
    unsaid: u64,
}

impl Hush {
    /// How often nothing was said since the last time, if it is time to speak again.
    pub(super) fn may_speak(&mut self) -> Option<u64> {
        self.may_speak_at(Instant::now())
    }

    fn may_speak_at(&mut self, now: Instant) -> Option<u64> {
        if self.spoke.is_some_and(|spoke| now.saturating_duration_since(spoke) < PAUSE) {
            self.unsaid += 1;
            return None;
        }
        self.spoke = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_concerns_one_client_is_tried_again_at_once() {
        for (errno, trouble) in [
            (103, Trouble::OneClient), // ECONNABORTED
            (104, Trouble::OneClient), // ECONNRESET
            (24, Trouble::Shortage),   // EMFILE
            (23, Trouble::Shortage),   // ENFILE
            (105, Trouble::Shortage),  // ENOBUFS
            (12, Trouble::Shortage),   // ENOMEM
        ] {
            assert_eq!(trouble_of(&io::Error::from_raw_os_error(errno)), trouble, "{errno}");
        }
    }

    #[test]
    fn one_line_a_second_says_how_many_it_stands_for() {
        let mut hush = Hush::default();
        let start = Instant::now();
        let said: Vec<_> = (0..25)
            .filter_map(|tenth| hush.may_speak_at(start + Duration::from_millis(tenth * 100)))
            .collect();
        assert_eq!(said, [0, 9, 9]);
    }
}
