//! The shape of a signed string: three base64url parts, a header, a signature (RFC 7515, compact form).
//!
//! Only shape and signature are judged here, what the claims mean is for each kind of string to say.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::claims::object;

/// Why a string isn't one that was signed with the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Not three base64url parts with a JSON header.
    Shape,
    /// The header demands extensions (RFC 7515 §4.1.11).
    Critical,
    /// Signed for another algorithm than the key's.
    Algorithm,
    /// The signature isn't this key's.
    Signature,
}

/// A string taken apart, nothing verified yet.
pub(crate) struct Unverified<'a> {
    alg: String,
    pub(crate) kid: Option<String>,
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'a> Unverified<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, Broken> {
        let (message, signature) = text.rsplit_once('.').ok_or(Broken::Shape)?;
        let (head, payload) = message.split_once('.').ok_or(Broken::Shape)?;
        if payload.contains('.') {
            return Err(Broken::Shape);
        }
        let head: Head = object(&decode(head)?).ok_or(Broken::Shape)?;
        if head.crit.is_some() {
            return Err(Broken::Critical);
        }
        Ok(Self { alg: head.alg, kid: head.kid, message, payload, signature })
    }

    /// The claims as JSON, once the signature was found to be the key's.
    pub(crate) fn verify(&self, key: &DecodingKey, alg: Algorithm) -> Result<Vec<u8>, Broken> {
        // The key says which algorithm it is for; the header must agree and never chooses.
        if self.alg.parse() != Ok(alg) {
            return Err(Broken::Algorithm);
        }
        match jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), key, alg) {
            Ok(true) => decode(self.payload),
            Ok(false) => Err(Broken::Signature),
            // A signature that isn't base64url; the key itself was checked when it was read.
            Err(_) => Err(Broken::Shape),
        }
    }

    /// The claims as JSON, believed by nobody yet.
    pub(crate) fn unverified_claims(&self) -> Result<Vec<u8>, Broken> {
        decode(self.payload)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Broken> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Broken::Shape)
}

/// Signs claims with a shared secret.
pub(crate) fn sign_hs256<T: Serialize>(key: &EncodingKey, claims: &T) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, key)
        .expect("claims of names, numbers and JSON values serialise, and HMAC takes any key")
}

/// Both directions of a secret that Ringway shares with itself.
pub(crate) struct SharedSecret {
    signing: EncodingKey,
    verifying: DecodingKey,
}

impl SharedSecret {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self { signing: EncodingKey::from_secret(secret), verifying: DecodingKey::from_secret(secret) }
    }

    pub(crate) fn seal<T: Serialize>(&self, claims: &T) -> String {
        sign_hs256(&self.signing, claims)
    }

    pub(crate) fn open(&self, text: &str) -> Result<Vec<u8>, Broken> {
        Unverified::read(text)?.verify(&self.verifying, Algorithm::HS256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(head: &str, claims: &str) -> String {
        format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims))
    }

    fn read(text: &str) -> Option<Broken> {
        Unverified::read(text).err()
    }

    #[test]
    fn other_shapes_are_refused() {
        let good = text(r#"{"alg":"HS256"}"#, "{}");
        assert_eq!(read(&good), None);
        for bad in [
            "",
            ".",
            "..",
            "...",
            "a.b",
            &format!("{good}.AAAA"),
            &format!(".{good}"),
            &text("null", "{}"),
            &text(r#"["HS256",null,null]"#, "{}"),
            &text("{}", "{}"),
            &text(r#"{"alg":7}"#, "{}"),
            &text(r#"{"alg":"HS256","alg":"none"}"#, "{}"),
            &text(r#"{"alg":"HS256","kid":7}"#, "{}"),
            &good.replacen('.', "=.", 1),
        ] {
            assert_eq!(read(bad), Some(Broken::Shape), "{bad}");
        }
    }

    #[test]
    fn extensions_that_must_be_understood_arent() {
        for crit in [r#"["b64"]"#, r#"["exp"]"#, "[]", "7"] {
            let bad = text(&format!(r#"{{"alg":"HS256","crit":{crit},"b64":false}}"#), "{}");
            assert_eq!(read(&bad), Some(Broken::Critical));
        }
    }

    #[test]
    fn only_the_secret_opens_what_it_sealed() {
        let (ours, theirs) = (SharedSecret::new(b"ours"), SharedSecret::new(b"theirs"));
        let sealed = ours.seal(&serde_json::json!({"a": 1}));
        assert_eq!(ours.open(&sealed), Ok(br#"{"a":1}"#.to_vec()));
        assert_eq!(theirs.open(&sealed), Err(Broken::Signature));
    }

    #[test]
    fn no_byte_of_a_sealed_string_can_be_changed() {
        let ours = SharedSecret::new(b"ours");
        let sealed = ours.seal(&serde_json::json!({"user": "ann", "exp": 1_795_625_000}));
        for at in 0..sealed.len() {
            for byte in *b"AzQ_.0=" {
                let mut changed = sealed.clone().into_bytes();
                if changed[at] == byte {
                    continue;
                }
                changed[at] = byte;
                let changed = String::from_utf8(changed).unwrap();
                assert!(ours.open(&changed).is_err(), "byte {at}: {changed}");
            }
            assert!(ours.open(&sealed[..at]).is_err());
        }
    }
}
