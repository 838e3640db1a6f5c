//! `ringway check-config`: is the file right.

use std::path::Path;

use ringway_config::{Auth, Role};

use crate::configuration;
use crate::exit::Failure;
use crate::reload::Made;

pub(crate) fn run(file: &Path) -> Result<(), Failure> {
    let config = configuration::read(file)?;
    Made::of(&config)?;
    for warning in config.warnings() {
        crate::say(&format!("warning: {warning}"));
    }
    let who = match config.gateway().auth {
        Auth::Off => "authentication is off".to_owned(),
        Auth::Jwt => format!("{} tenants", config.tenants.len()),
    };
    crate::print(&format!("{} is right: {who}, {} classes", file.display(), config.classes.len()))?;
    crate::print(&format!("  checksum {}", config.checksum()))?;
    for (role, command) in [(Role::Serve, "serve"), (Role::Gateway, "gateway"), (Role::Node, "node")] {
        match config.require(role) {
            Ok(()) => crate::print(&format!("  complete for `ringway {command}`"))?,
            Err(error) => crate::print(&format!("  not enough for `ringway {command}`: {error}"))?,
        }
    }
    Ok(())
}
