//! The admin HTTP of every process, on a port of its own: `/livez`, `/readyz`, `/metrics`, and what the process adds.
//!
//! Not for the public: there is no authentication, and what is added may be powerful (`POST /drain`). `/livez` answers
//! as long as the runtime does, so that a process is only killed when it is dead; `/readyz` asks the [`Checks`] anew each
//! time, so that a process that can't serve gets no new connections at once.

mod checks;
mod routes;
mod server;

pub use checks::{Checks, Failure};
pub use server::{Admin, AdminParts};
