//! The keys that tokens are verified with, each for one algorithm.

use std::fmt;
use std::str::FromStr;

use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey};

/// The fewest bits of an RSA key (RFC 7518 §3.3).
const RSA_MIN_BITS: usize = 2_048;

/// The length of an Ed25519 public key, in bytes.
const ED25519_BYTES: usize = 32;

/// A signature algorithm. `none` isn't one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alg {
    /// HMAC with SHA-256, a shared secret.
    Hs256,
    /// ECDSA on P-256.
    Es256,
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// Ed25519.
    EdDsa,
}

/// A text isn't an algorithm that Ringway takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an algorithm; there are HS256, ES256, RS256 and EdDSA")]
pub struct UnknownAlg;

impl Alg {
    /// The algorithm as tokens and the configuration write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }

    pub(crate) fn algorithm(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::Es256 => Algorithm::ES256,
            Self::Rs256 => Algorithm::RS256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

impl FromStr for Alg {
    type Err = UnknownAlg;

    fn from_str(text: &str) -> Result<Self, UnknownAlg> {
        [Self::Hs256, Self::Es256, Self::Rs256, Self::EdDsa]
            .into_iter()
            .find(|alg| alg.as_str() == text)
            .ok_or(UnknownAlg)
    }
}

impl fmt::Display for Alg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A key as the configuration gives it.
#[derive(Clone)]
pub struct KeySpec {
    /// The one algorithm that the key is for, whatever a token's header says.
    pub alg: Alg,
    /// What tokens call the key. One key of a tenant may go without.
    pub kid: Option<String>,
    /// The key file's bytes: for HS256 the secret itself, less one trailing line end; else the public key as PEM.
    pub bytes: Vec<u8>,
}

impl KeySpec {
    /// Whether it is a key of its algorithm, as [`crate::TokenKeys::new`] will want it.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), KeyError> {
        Key::new(self.clone()).map(drop)
    }
}

/// Secrets don't belong into logs.
impl fmt::Debug for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySpec").field("alg", &self.alg).field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Why a tenant's keys can't be used. The configuration has to be mended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An HS256 secret of no bytes would let anybody sign.
    #[error("the HS256 secret is empty")]
    EmptySecret,
    /// Not a PEM public key of the algorithm's kind.
    #[error("not a public key for {0} in PEM (`-----BEGIN PUBLIC KEY-----`)")]
    NotAKey(Alg),
    /// A private key, which verifying doesn't need and this process shouldn't have.
    #[error("a private key; {0} tokens are verified with the public one")]
    Private(Alg),
    /// An RSA key that is too short.
    #[error("an RSA key of {0} bits; at least {RSA_MIN_BITS} are needed")]
    Weak(usize),
    /// Two keys have the same `kid`.
    #[error("two keys have the kid {0:?}")]
    SameKid(String),
    /// More than one key without a `kid`.
    #[error("two keys without a kid; at most one may go without")]
    TwoWithoutKid,
}

/// A key that was checked.
pub(crate) struct Key {
    pub(crate) alg: Alg,
    pub(crate) kid: Option<String>,
    pub(crate) decoding: DecodingKey,
}

impl Key {
    pub(crate) fn new(spec: KeySpec) -> Result<Self, KeyError> {
        let KeySpec { alg, kid, bytes } = spec;
        let decoding = match alg {
            Alg::Hs256 => hs256(&bytes)?,
            Alg::Es256 | Alg::Rs256 | Alg::EdDsa => public(alg, &bytes)?,
        };
        Ok(Self { alg, kid, decoding })
    }
}

/// An HS256 secret: the bytes less one trailing line end, which editors and `echo` leave.
pub(crate) fn secret(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\n").map_or(bytes, |line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn hs256(bytes: &[u8]) -> Result<DecodingKey, KeyError> {
    match secret(bytes) {
        [] => Err(KeyError::EmptySecret),
        secret => Ok(DecodingKey::from_secret(secret)),
    }
}

fn public(alg: Alg, pem: &[u8]) -> Result<DecodingKey, KeyError> {
    if pem.windows(b"PRIVATE KEY-".len()).any(|window| window == b"PRIVATE KEY-") {
        return Err(KeyError::Private(alg));
    }
    let read = match alg {
        Alg::Es256 => DecodingKey::from_ec_pem(pem),
        Alg::Rs256 => DecodingKey::from_rsa_pem(pem),
        Alg::EdDsa | Alg::Hs256 => DecodingKey::from_ed_pem(pem),
    };
    let key = read.map_err(|_| KeyError::NotAKey(alg))?;
    let raw = key.try_get_as_bytes().map_err(|_| KeyError::NotAKey(alg))?;
    match alg {
        Alg::Rs256 => {
            let parts = (DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key)(raw);
            let (modulus, _) = parts.map_err(|_| KeyError::NotAKey(alg))?;
            let bits = bits(&modulus);
            if bits < RSA_MIN_BITS {
                return Err(KeyError::Weak(bits));
            }
        }
        // The library takes the first 32 bytes of whatever there is, and panics where there are fewer.
        Alg::EdDsa if raw.len() != ED25519_BYTES => return Err(KeyError::NotAKey(alg)),
        _ => {}
    }
    // The library reads the key at each use, so a point off the curve would come up at the first token only.
    jsonwebtoken::crypto::verify("", b"", &key, alg.algorithm()).map_err(|_| KeyError::NotAKey(alg))?;
    Ok(key)
}

fn bits(modulus: &[u8]) -> usize {
    let significant = modulus.iter().skip_while(|&&byte| byte == 0);
    let top = significant.clone().next().map_or(0, |byte| byte.leading_zeros() as usize);
    (significant.count() * 8).saturating_sub(top)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(alg: Alg, bytes: &[u8]) -> Result<(), KeyError> {
        Key::new(KeySpec { alg, kid: None, bytes: bytes.to_vec() }).map(|_| ())
    }

    const EC: &[u8] = include_bytes!("../tests/keys/es256.pub.pem");
    const RSA: &[u8] = include_bytes!("../tests/keys/rs256.pub.pem");
    const ED: &[u8] = include_bytes!("../tests/keys/ed25519.pub.pem");

    #[test]
    fn every_algorithm_takes_its_own_key_only() {
        for (own, pem) in [(Alg::Es256, EC), (Alg::Rs256, RSA), (Alg::EdDsa, ED)] {
            for alg in [Alg::Es256, Alg::Rs256, Alg::EdDsa] {
                let expected = if alg == own { Ok(()) } else { Err(KeyError::NotAKey(alg)) };
                assert_eq!(key(alg, pem), expected, "{alg} with the key of {own}");
            }
        }
    }

    #[test]
    fn what_is_no_key_is_refused_at_once() {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        for alg in [Alg::Es256, Alg::Rs256, Alg::EdDsa] {
            let cut = text(ED).replace('A', "B");
            let empty = "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n".to_owned();
            for bad in ["", "secret", &cut, &empty] {
                assert_eq!(key(alg, bad.as_bytes()), Err(KeyError::NotAKey(alg)), "{alg}: {bad}");
            }
        }
    }

    #[test]
    fn an_ed25519_key_that_is_too_short_is_refused_without_a_panic() {
        // SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING of 8 bytes }
        let short = "-----BEGIN PUBLIC KEY-----\nMBIwBQYDK2VwAwkAAQIDBAUGBwg=\n-----END PUBLIC KEY-----\n";
        assert_eq!(key(Alg::EdDsa, short.as_bytes()), Err(KeyError::NotAKey(Alg::EdDsa)));
    }

    #[test]
    fn the_wrong_half_of_a_pair_is_named() {
        for (alg, pem) in [
            (Alg::Es256, &include_bytes!("../tests/keys/es256.pem")[..]),
            (Alg::Rs256, include_bytes!("../tests/keys/rs256.pem")),
            (Alg::EdDsa, include_bytes!("../tests/keys/ed25519.pem")),
        ] {
            assert_eq!(key(alg, pem), Err(KeyError::Private(alg)));
        }
    }

    #[test]
    fn weak_and_foreign_keys_are_refused() {
        let weak = include_bytes!("../tests/keys/rsa1024.pub.pem");
        assert_eq!(key(Alg::Rs256, weak), Err(KeyError::Weak(1_024)));
        let p384 = include_bytes!("../tests/keys/p384.pub.pem");
        assert_eq!(key(Alg::Es256, p384), Err(KeyError::NotAKey(Alg::Es256)));
    }

    #[test]
    fn a_secret_loses_one_line_end() {
        for (bytes, expected) in [
            ("s\n", "s"),
            ("s\r\n", "s"),
            ("s", "s"),
            ("s\n\n", "s\n"),
            ("s\r", "s\r"),
            (" s ", " s "),
            ("\n", ""),
        ] {
            assert_eq!(secret(bytes.as_bytes()), expected.as_bytes(), "{bytes:?}");
        }
        assert_eq!(key(Alg::Hs256, b"\r\n"), Err(KeyError::EmptySecret));
    }

    #[test]
    fn algorithms_are_named_exactly() {
        for good in ["HS256", "ES256", "RS256", "EdDSA"] {
            assert_eq!(good.parse::<Alg>().map(Alg::as_str), Ok(good));
        }
        for bad in ["none", "None", "hs256", "HS512", "PS256", ""] {
            assert_eq!(bad.parse::<Alg>(), Err(UnknownAlg), "{bad}");
        }
    }
}
