//! `ringway token`: mints an HS256 token.

use std::time::{SystemTime, UNIX_EPOCH};

use ringway_auth::{Claims, Grant, Grants, Right, mint_hs256};
use ringway_protocol::Pattern;

use crate::args::Token;
use crate::exit::Failure;

/// What a token may do in its rooms: all that a token can.
const RIGHTS: [Right; 5] = [Right::Join, Right::Publish, Right::Presence, Right::History, Right::Call];

pub(crate) fn run(args: &Token) -> Result<(), Failure> {
    let secret = secret(&args.secret)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let patterns = if args.rooms.is_empty() { vec!["**".to_owned()] } else { args.rooms.clone() };
    let grants: Vec<Grant> = patterns
        .iter()
        .map(|pattern| {
            let rooms = Pattern::parse(pattern)
                .map_err(|error| Failure::Use(format!("--rooms {pattern}: {error}")))?;
            Ok(Grant { rooms, rights: RIGHTS.into_iter().collect() })
        })
        .collect::<Result<_, Failure>>()?;
    let claims = Claims {
        tenant: Some(args.tenant.parse().map_err(|error| Failure::Use(format!("--tenant: {error}")))?),
        user: Some(args.user.parse().map_err(|error| Failure::Use(format!("--user: {error}")))?),
        expires: now + args.ttl.as_secs(),
        issued: Some(now),
        grants: grants.into_iter().collect::<Grants>(),
        join: Vec::new(),
        info: None,
    };
    crate::print(&mint_hs256(&secret, &claims))
}

fn secret(given: &str) -> Result<Vec<u8>, Failure> {
    let bytes = if let Some(path) = given.strip_prefix("file:") {
        std::fs::read(path).map_err(|error| Failure::Use(format!("--secret: {path}: {error}")))?
    } else if let Some(name) = given.strip_prefix("env:") {
        std::env::var(name).map_err(|error| Failure::Use(format!("--secret: {name}: {error}")))?.into_bytes()
    } else {
        given.as_bytes().to_vec()
    };
    if bytes.is_empty() {
        return Err(Failure::Use("--secret: the secret is empty".to_owned()));
    }
    Ok(bytes)
}
