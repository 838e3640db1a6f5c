//! The version and the limits of a link: agreed on in the upgrade that begins it.

/// The header in which a gateway says what it speaks, and the node what it took.
pub const HOP_HEADER: &str = "ringway-hop";

/// Version and mode of this crate's records.
pub const HOP: &str = "1; relay";

/// The path that a link is opened at, by an HTTP/1.1 upgrade.
pub const PATH: &str = "/v1/link";

/// The protocol that it is upgraded to: RFC 6455's frames without masks, one record a binary message.
pub const UPGRADE: &str = "ringway-link";

/// The most bytes of one record: a publication in both formats, and lists of whom to leave out.
pub const RECORD_LIMIT: usize = 1 << 20;

/// What of a client's frames may be on its way to one node, in bytes, before the gateway stops reading from the client.
pub const CLIENT_WINDOW: u32 = 128 * 1024;
