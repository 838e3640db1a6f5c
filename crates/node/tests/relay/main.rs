//! A node, and a gateway of the test's own that holds the sockets of its clients: what is said on the link between them.
#![allow(clippy::unwrap_used)]

mod faults;
mod full;
mod gateway;
mod hostile;
mod life;
mod lifetime;
mod moving;
mod rights;
#[path = "../world/mod.rs"]
mod world;
