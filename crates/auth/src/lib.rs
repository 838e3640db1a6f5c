//! Who may do what: tokens, grants, API keys, tickets and sessions.
//!
//! Owns: reading and checking what a client or an application's server shows ([`TokenKeys`], [`ApiKeys`]), what it then
//! may do ([`Grants`]), and the signed strings that Ringway hands to itself ([`TicketKey`], [`LinkKey`], [`SessionKey`]). Refuses: I/O
//! and clocks (keys come as bytes, time as seconds since 1970), and memory: that a ticket is used once is the node's
//! business, which tenants there are the configuration's.
//!
//! Everything signed is a JWT with an audience of its own kind, so nothing of one kind passes as another. No error's
//! text holds any part of what was shown: errors may go to logs and to the client.

mod api_key;
mod claims;
mod grants;
mod jwt;
mod key;
mod link;
mod session;
mod ticket;
mod token;

pub use api_key::{
    ApiKey, ApiKeyError, ApiKeyRefused, ApiKeySpec, ApiKeys, hash_api_key, looks_like_api_key,
};
pub use grants::{Grant, Grants, Right, Rights, UnknownRight};
pub use key::{Alg, KeyError, KeySpec, UnknownAlg};
pub use link::{LinkKey, LinkTicket};
pub use session::{SessionError, SessionKey, SessionToken};
pub use ticket::{HOP_VERSION, Mode, TICKET_SECONDS, Ticket, TicketError, TicketKey};
pub use token::{
    AUDIENCE, Claims, GrantError, INFO_MAX, Identity, NOT_BEFORE_LEEWAY, TOKEN_MAX, TokenError, TokenKeys,
    mint_hs256, peek_tenant,
};
