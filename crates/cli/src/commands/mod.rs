//! The commands, a file each.

pub(crate) mod check_config;
pub(crate) mod debug;
pub(crate) mod dev;
pub(crate) mod gateway;
pub(crate) mod locate;
pub(crate) mod node;
pub(crate) mod publish;
pub(crate) mod ring;
pub(crate) mod serve;
pub(crate) mod store;
pub(crate) mod sub;
pub(crate) mod token;
pub(crate) mod top;
