//! The gateway: clients come in here, and from here they reach the node that owns their room.
//!
//! The way of a client: `accept` reads the request and refuses what is malformed → `auth` says who it is → `ticket`
//! writes that down for a node → `route` finds the node that takes it → `tunnel` moves bytes, or `relay` holds the socket
//! and speaks to nodes for it. Beside it `api` answers the public HTTP calls. Refuses: rooms, which are the nodes'; what a
//! publication means; the admin port, which is the process's.
//!
//! A gateway keeps nothing that another couldn't learn: any gateway can be ended, and its clients come back through
//! another one.

mod accept;
mod api;
mod auth;
mod clock;
mod encode;
mod gateway;
mod limits;
mod metrics;
mod relay;
mod route;
mod settings;
mod ticket;
mod trace;
mod tunnel;

pub use auth::{Directory, DirectoryError, alg};
pub use gateway::GatewayHandle;
pub use settings::{ExtraRoutes, GatewayParts, GatewaySettings, LocalNode, Place, Refusal};
