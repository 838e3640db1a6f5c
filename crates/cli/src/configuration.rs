//! Reading a configuration file: what is wrong in it is told with its place, keys that can't be used included.

use std::path::Path;

use ringway_auth::KeySpec;
use ringway_config::{Algorithm, Config};

use crate::exit::Failure;

/// Reads the file, and the environment over it.
pub(crate) fn read(file: &Path) -> Result<Config, Failure> {
    Ok(Config::load_with(file, &ringway_config::environment(), &usable)?)
}

fn usable(algorithm: Algorithm, bytes: &[u8]) -> Result<(), String> {
    KeySpec { alg: ringway_gateway::alg(algorithm), kid: None, bytes: bytes.to_vec() }
        .check()
        .map_err(|error| error.to_string())
}
