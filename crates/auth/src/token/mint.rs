//! Making tokens, for the command line and for tests. Applications make their own.

use jsonwebtoken::EncodingKey;
use ringway_protocol::name::{RoomName, TenantId, UserId};
use serde::Serialize;
use serde_json::Value;

use super::AUDIENCE;
use crate::grants::Grants;
use crate::jwt;
use crate::key::secret;

/// What a token is to say. Its audience is always `ringway`.
#[derive(Clone, Debug, Serialize)]
pub struct Claims {
    /// The tenant; none where there is only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// The user; none for a nameless client.
    #[serde(rename = "sub", skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// The end, in seconds since 1970.
    #[serde(rename = "exp")]
    pub expires: u64,
    /// When it was made, in seconds since 1970.
    #[serde(rename = "iat", skip_serializing_if = "Option::is_none")]
    pub issued: Option<u64>,
    /// What the client may do.
    pub grants: Grants,
    /// Rooms that the client is joined to without asking.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub join: Vec<RoomName>,
    /// What presence shows of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Value>,
}

/// A token signed with a shared secret: the bytes less one trailing line end, as the verifier reads them.
pub fn mint_hs256(shared: &[u8], claims: &Claims) -> String {
    #[derive(Serialize)]
    struct WithAudience<'a> {
        aud: &'static str,
        #[serde(flatten)]
        claims: &'a Claims,
    }
    let key = EncodingKey::from_secret(secret(shared));
    jwt::sign_hs256(&key, &WithAudience { aud: AUDIENCE, claims })
}
