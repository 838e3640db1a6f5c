//! The rates of one connection.

use ringway_config::ConnectionLimits;

use crate::bucket::Bucket;
use crate::claim::Claim;

/// What one connection has used of its own rates. To be made once it uses any: a new one is as good as one that was never
/// used.
#[derive(Debug)]
pub struct Own {
    publish: Bucket,
    bytes: Bucket,
}

impl Default for Own {
    fn default() -> Self {
        Self { publish: Bucket::unused(), bytes: Bucket::unused() }
    }
}

impl Own {
    /// What a frame of so many bytes, and so many publications, uses of them.
    #[must_use]
    pub fn claims(&self, limits: ConnectionLimits, bytes: u32, publications: u32) -> [Option<Claim<'_>>; 2] {
        const BYTES: &str = "this connection sends more bytes than it may";
        const PUBLISH: &str = "this connection publishes more than it may";
        [
            Claim::new(&self.bytes, limits.bytes, bytes, BYTES),
            Claim::new(&self.publish, limits.publish, publications, PUBLISH),
        ]
    }
}
