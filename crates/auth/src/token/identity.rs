//! From a verified token's claims to who shows it.

use std::str::FromStr;

use ringway_protocol::name::{NameError, RoomName, TenantId, UserId};
use ringway_protocol::pattern::Pattern;
use ringway_protocol::payload::Payload;
use serde::Deserialize;
use serde_json::Value;

use super::error::{GrantError, TokenError};
use super::{AUDIENCE, INFO_MAX, NOT_BEFORE_LEEWAY};
use crate::claims::{is_for, object, seconds, whole_seconds};
use crate::grants::{Grant, Grants, Right};

/// Who somebody is, and what they may do.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// Their tenant.
    pub tenant: TenantId,
    /// Their name, if they have one.
    pub user: Option<UserId>,
    /// What they may do.
    pub grants: Grants,
    /// Rooms that they are joined to without asking. Grants apply to these as well.
    pub join: Vec<RoomName>,
    /// What presence shows of them, at most [`INFO_MAX`] bytes as JSON. Never null.
    pub info: Option<Value>,
    /// When all this ends, in seconds since 1970: at that second it is over.
    pub expires: Option<u64>,
}

impl Identity {
    /// Who comes where authentication is switched off: may do everything, for ever.
    pub fn unauthenticated(tenant: TenantId, user: Option<UserId>) -> Self {
        Self { tenant, user, grants: Grants::all(), join: Vec::new(), info: None, expires: None }
    }
}

/// The claims as they come; each is looked at on its own, so that an error can name it.
#[derive(Deserialize)]
struct Raw {
    aud: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
    iat: Option<Value>,
    tenant: Option<Value>,
    sub: Option<Value>,
    grants: Option<Value>,
    join: Option<Value>,
    info: Option<Value>,
}

/// Reads claims whose signature was found good.
pub(super) fn read(claims: &[u8], tenant: &TenantId, alone: bool, now: u64) -> Result<Identity, TokenError> {
    let raw: Raw = object(claims).ok_or(TokenError::Claims)?;

    if !is_for(raw.aud.as_ref(), AUDIENCE) {
        return Err(TokenError::Audience);
    }
    let exp = raw.exp.as_ref().ok_or(TokenError::Missing("exp"))?;
    let expires = whole_seconds(exp).map_err(|_| TokenError::NotATime("exp"))?;
    if now >= expires {
        return Err(TokenError::Expired);
    }
    if let Some(nbf) = &raw.nbf {
        let nbf = seconds(nbf).map_err(|_| TokenError::NotATime("nbf"))?;
        if nbf > now.saturating_add(NOT_BEFORE_LEEWAY) as f64 {
            return Err(TokenError::NotYet);
        }
    }
    // When it was issued decides nothing, but a token that can't say it isn't to be trusted with `exp`.
    if let Some(iat) = &raw.iat {
        seconds(iat).map_err(|_| TokenError::NotATime("iat"))?;
    }

    match name::<TenantId>("tenant", raw.tenant.as_ref())? {
        Some(claimed) if claimed != *tenant => return Err(TokenError::OtherTenant),
        None if !alone => return Err(TokenError::Missing("tenant")),
        _ => {}
    }
    Ok(Identity {
        tenant: tenant.clone(),
        user: name("sub", raw.sub.as_ref())?,
        grants: grants(raw.grants.as_ref())?,
        join: join(raw.join.as_ref())?,
        info: info(raw.info)?,
        expires: Some(expires),
    })
}

fn name<N: FromStr<Err = NameError>>(
    claim: &'static str,
    value: Option<&Value>,
) -> Result<Option<N>, TokenError> {
    let Some(value) = value else { return Ok(None) };
    let text = value.as_str().ok_or(TokenError::Kind(claim, "a string"))?;
    text.parse().map(Some).map_err(|error| TokenError::Name(claim, error))
}

fn list<'a>(claim: &'static str, value: Option<&'a Value>) -> Result<&'a [Value], TokenError> {
    match value {
        None => Ok(&[]),
        Some(value) => value.as_array().map(Vec::as_slice).ok_or(TokenError::Kind(claim, "a list")),
    }
}

fn join(value: Option<&Value>) -> Result<Vec<RoomName>, TokenError> {
    let room = |value| name("join", Some(value)).transpose();
    list("join", value)?.iter().filter_map(room).collect()
}

fn grants(value: Option<&Value>) -> Result<Grants, TokenError> {
    let grants = list("grants", value)?.iter().enumerate();
    grants.map(|(place, value)| grant(value).map_err(|error| TokenError::Grant(place, error))).collect()
}

fn grant(value: &Value) -> Result<Grant, GrantError> {
    let rooms = value.get("rooms").and_then(Value::as_str).ok_or(GrantError::Shape)?;
    let rights = value.get("rights").and_then(Value::as_array).ok_or(GrantError::Shape)?;
    let right = |(place, value): (usize, &Value)| {
        let right = value.as_str().and_then(|text| text.parse().ok());
        // To act on others is for servers, by API key.
        right.filter(|right| *right != Right::Manage).ok_or(GrantError::Right(place))
    };
    Ok(Grant {
        rooms: Pattern::parse(rooms).map_err(GrantError::Rooms)?,
        rights: rights.iter().enumerate().map(right).collect::<Result<_, _>>()?,
    })
}

/// `info` goes into presence frames, so it must be a value as payloads are.
fn info(value: Option<Value>) -> Result<Option<Value>, TokenError> {
    let Some(value) = value else { return Ok(None) };
    let text = serde_json::to_vec(&value).map_err(|_| TokenError::Info)?;
    if text.len() > INFO_MAX || Payload::from_json(&text).is_err() {
        return Err(TokenError::Info);
    }
    Ok(Some(value))
}
