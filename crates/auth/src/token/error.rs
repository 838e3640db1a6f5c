//! Which check a token failed.

use ringway_protocol::code::Code;
use ringway_protocol::name::NameError;
use ringway_protocol::pattern::PatternError;

use super::{INFO_MAX, TOKEN_MAX};

/// Which check a token failed. The texts say what to mend and hold nothing of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// More bytes than anybody needs.
    #[error("the token has more than {TOKEN_MAX} bytes")]
    TooLong,
    /// Not a JWT at all.
    #[error("not a JWT: three base64url parts with dots between them, the first a JSON header with `alg`")]
    Malformed,
    /// The header has `crit`.
    #[error("the token's header demands extensions (`crit`); none is known")]
    Critical,
    /// No key of that name.
    #[error("no key of the tenant has the token's `kid`")]
    UnknownKey,
    /// No `kid`, and several keys to choose from, or none.
    #[error("the token has no `kid`, and the tenant doesn't have exactly one key")]
    NoKid,
    /// The header's `alg` isn't the key's.
    #[error("the token's `alg` isn't the one that its key is for")]
    Algorithm,
    /// Signed with another key, or changed since.
    #[error("the token's signature isn't by its key")]
    Signature,
    /// The claims aren't an object, or one is there twice.
    #[error("the token's claims aren't a JSON object with each name once")]
    Claims,
    /// A claim that is needed.
    #[error("the token has no `{0}`")]
    Missing(&'static str),
    /// A claim of the wrong kind.
    #[error("the token's `{0}` isn't {1}")]
    Kind(&'static str, &'static str),
    /// A claim that should be a time.
    #[error("the token's `{0}` isn't a time in whole seconds since 1970, up to the year 9999")]
    NotATime(&'static str),
    /// For somebody else.
    #[error("the token isn't for `ringway` (`aud`)")]
    Audience,
    /// Of another tenant than the keys.
    #[error("the token is of another tenant")]
    OtherTenant,
    /// A claim that isn't a name of its kind.
    #[error("the token's `{0}`: {1}")]
    Name(&'static str, NameError),
    /// A grant that can't be read, by its place from 0.
    #[error("the token's grant {0}: {1}")]
    Grant(usize, GrantError),
    /// Too much, or not a value.
    #[error("the token's `info` isn't a JSON value of at most {INFO_MAX} bytes, 32 levels deep")]
    Info,
    /// Not valid yet.
    #[error("the token isn't valid yet (`nbf`)")]
    NotYet,
    /// Not valid any more.
    #[error("the token has expired (`exp`)")]
    Expired,
}

/// What is wrong with a grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Not an object with these two.
    #[error("not an object with `rooms`, a pattern, and `rights`, a list")]
    Shape,
    /// Its rooms.
    #[error("{0}")]
    Rooms(PatternError),
    /// One of its rights, by its place from 0.
    #[error("right {0} is none of join, publish, presence, history, call")]
    Right(usize),
}

impl TokenError {
    /// What the client is told: `expired`, `forbidden` for another tenant's token, else `token_invalid`.
    pub fn code(&self) -> Code {
        match self {
            Self::Expired => Code::Expired,
            Self::OtherTenant => Code::Forbidden,
            _ => Code::TokenInvalid,
        }
    }
}
