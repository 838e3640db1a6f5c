//! Reading a configuration file: what is wrong in it is told with its place, keys that can't be used included.

use std::path::Path;

use ringway_auth::KeySpec;
use ringway_config::{Algorithm, Config, Reading};

use crate::exit::Failure;
use crate::reload::Loaded;

/// Reads the file, and the environment over it.
pub(crate) fn read(file: &Path) -> Result<Config, Failure> {
    Ok(load(file)?.config)
}

/// The same, and what is needed to read it again.
pub(crate) fn load(file: &Path) -> Result<Loaded, Failure> {
    let env = ringway_config::environment();
    let Reading { files, outcome } = Config::load_noting(file, &env, &usable);
    Ok(Loaded { config: outcome?, file: file.to_owned(), env, files })
}

/// Whether bytes are a key for an algorithm; if not, why.
pub(crate) fn usable(algorithm: Algorithm, bytes: &[u8]) -> Result<(), String> {
    KeySpec { alg: ringway_gateway::alg(algorithm), kid: None, bytes: bytes.to_vec() }
        .check()
        .map_err(|error| error.to_string())
}
