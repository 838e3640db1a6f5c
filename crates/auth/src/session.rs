//! Session strings: what `hello` hands a client, and gets back when the client returns.

use ringway_protocol::name::{SessionId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::claims::is_for;
use crate::grants::Grants;
use crate::jwt::{Broken, SharedSecret};

const AUDIENCE: &str = "ringway-session";

/// One client across its reconnects.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionToken {
    /// The session.
    pub session: SessionId,
    /// The client's tenant. A session counts only beside a token of the same tenant and user.
    pub tenant: TenantId,
    /// Its user, if it has one.
    pub user: Option<UserId>,
    /// What it could do when the string was made.
    pub grants: Grants,
    /// When its token ended or will end, in seconds since 1970.
    pub expires: Option<u64>,
    /// When the string itself ends, in seconds since 1970. Later than `expires`: a client whose token ran out comes
    /// back with a new token and its old session.
    pub exp: u64,
}

/// Why a session string isn't taken. The client simply begins a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Not one that the cluster's secret signed, or a signed string of another kind.
    #[error("not a session signed with the cluster's secret")]
    NotOurs,
    /// Over.
    #[error("the session is over")]
    Expired,
}

impl From<Broken> for SessionError {
    fn from(_: Broken) -> Self {
        Self::NotOurs
    }
}

/// The cluster's secret, as far as sessions go.
pub struct SessionKey(SharedSecret);

impl SessionKey {
    /// From the cluster's secret.
    pub fn new(secret: &[u8]) -> Self {
        Self(SharedSecret::new(secret))
    }

    /// The session as a signed string.
    pub fn seal(&self, session: &SessionToken) -> String {
        let SessionToken { session, tenant, user, grants, expires, exp } = session.clone();
        self.0.seal(&Sealed { aud: AUDIENCE.into(), exp, session, tenant, sub: user, grants, expires })
    }

    /// The session in a signed string. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// It isn't one of ours, or is over.
    pub fn open(&self, text: &str, now: u64) -> Result<SessionToken, SessionError> {
        let sealed: Sealed =
            serde_json::from_slice(&self.0.open(text)?).map_err(|_| SessionError::NotOurs)?;
        if !is_for(Some(&sealed.aud), AUDIENCE) {
            return Err(SessionError::NotOurs);
        }
        if now >= sealed.exp {
            return Err(SessionError::Expired);
        }
        let Sealed { session, tenant, sub, grants, expires, exp, .. } = sealed;
        Ok(SessionToken { session, tenant, user: sub, grants, expires, exp })
    }
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey")
    }
}

/// A session as it is written.
#[derive(Serialize, Deserialize)]
struct Sealed {
    aud: Value,
    exp: u64,
    session: SessionId,
    tenant: TenantId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<UserId>,
    grants: Grants,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
}
