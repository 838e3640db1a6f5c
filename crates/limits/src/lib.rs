//! How much somebody may do: rates with bursts. It decides, and knows nobody: who is limited, and what becomes of what is
//! over a limit, is the business of who asks.
//!
//! The rule is the generic cell rate algorithm (GCRA, ITU-T I.371): a rate is kept as one moment, until which it is used
//! up. What is let through moves it on by its own length at that rate; whoever would move it further ahead than a burst
//! is over. So a rate costs 16 bytes and one compare-and-swap, and it may change while it runs.

mod bucket;
mod claim;
mod keyed;
mod own;
mod patience;
mod rate;

pub use bucket::Bucket;
pub use claim::{Claim, Exceeded};
pub use keyed::{KEYS_MAX, Keyed};
pub use own::Own;
pub use patience::Patience;
pub use rate::Over;
