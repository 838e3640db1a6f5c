//! A token is taken only if it is signed with the tenant's key, for us, now; each other one is told which check it failed.
#![allow(clippy::unwrap_used)]

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use ringway_auth::{
    Alg, Claims, GrantError, Grants, INFO_MAX, Identity, KeyError, KeySpec, Right, TOKEN_MAX, TokenError,
    TokenKeys, mint_hs256, peek_tenant,
};
use ringway_protocol::code::Code;
use serde_json::{Value, json};

const NOW: u64 = 1_795_620_000;
const SECRET: &[u8] = b"a secret that only the tests know";

fn spec(alg: Alg, kid: Option<&str>, bytes: &[u8]) -> KeySpec {
    KeySpec { alg, kid: kid.map(str::to_owned), bytes: bytes.to_vec() }
}

fn keys(specs: Vec<KeySpec>) -> TokenKeys {
    TokenKeys::new("acme".parse().unwrap(), specs).unwrap()
}

fn shared() -> TokenKeys {
    keys(vec![spec(Alg::Hs256, None, SECRET)])
}

fn claims() -> Value {
    json!({
        "aud": "ringway", "iss": "https://app.example", "tenant": "acme", "sub": "u1", "exp": NOW + 3600, "jti": "7",
        "grants": [
            {"rooms": "board.**", "rights": ["join", "publish", "presence", "history", "call"]},
            {"rooms": "inbox.$user", "rights": ["join"]}
        ],
        "join": ["inbox.u1"], "info": {"name": "Ann"}
    })
}

/// The claims with one replaced; `Value::Null` takes it out.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    let object = claims.as_object_mut().unwrap();
    match value {
        Value::Null => object.remove(name),
        value => object.insert(name.to_owned(), value),
    };
    claims
}

fn signed(claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

/// A token whose claims are this very text.
fn signed_text(claims: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    let message = format!("{}.{}", BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#), BASE64.encode(claims));
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn verify(claims: &Value) -> Result<Identity, TokenError> {
    shared().verify(&signed(claims), NOW)
}

fn private(alg: Alg) -> (Algorithm, EncodingKey, &'static [u8]) {
    match alg {
        Alg::Hs256 => (Algorithm::HS256, EncodingKey::from_secret(SECRET), SECRET),
        Alg::Es256 => {
            let pem = include_bytes!("keys/es256.pem");
            (Algorithm::ES256, EncodingKey::from_ec_pem(pem).unwrap(), include_bytes!("keys/es256.pub.pem"))
        }
        Alg::Rs256 => {
            let pem = include_bytes!("keys/rs256.pem");
            (Algorithm::RS256, EncodingKey::from_rsa_pem(pem).unwrap(), include_bytes!("keys/rs256.pub.pem"))
        }
        Alg::EdDsa => {
            let pem = include_bytes!("keys/ed25519.pem");
            (Algorithm::EdDSA, EncodingKey::from_ed_pem(pem).unwrap(), include_bytes!("keys/ed25519.pub.pem"))
        }
    }
}

const ALGS: [Alg; 4] = [Alg::Hs256, Alg::Es256, Alg::Rs256, Alg::EdDsa];

fn signed_by(alg: Alg, kid: Option<&str>) -> String {
    let (algorithm, key, _) = private(alg);
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    encode(&header, &claims(), &key).unwrap()
}

#[test]
fn the_claims_become_an_identity() {
    let ann = verify(&claims()).unwrap();
    assert_eq!((ann.tenant.as_str(), ann.user.as_ref().unwrap().as_str()), ("acme", "u1"));
    assert_eq!(ann.expires, Some(NOW + 3600));
    assert_eq!(ann.info, Some(json!({"name": "Ann"})));
    assert_eq!(ann.join.iter().map(|room| room.as_str()).collect::<Vec<_>>(), ["inbox.u1"]);
    let may = |right, room: &str| ann.grants.allows(right, &room.parse().unwrap(), ann.user.as_ref());
    assert!(may(Right::Publish, "board.7.x") && may(Right::Join, "inbox.u1"));
    assert!(
        !may(Right::Join, "inbox.u2") && !may(Right::Publish, "inbox.u1") && !may(Right::Manage, "board.7")
    );
}

#[test]
fn claims_may_be_printed_prettily() {
    let pretty = format!("\r\n {}\n", serde_json::to_string_pretty(&claims()).unwrap());
    assert_eq!(shared().verify(&signed_text(&pretty), NOW), verify(&claims()));
}

#[test]
fn a_token_needs_little() {
    let bare = verify(&json!({"aud": ["other", "ringway"], "tenant": "acme", "exp": NOW + 1})).unwrap();
    assert_eq!((bare.user, bare.grants, bare.info, bare.join), (None, Grants::none(), None, vec![]));
}

#[test]
fn every_algorithm_verifies_with_its_own_key_only() {
    let all = keys(ALGS.map(|alg| spec(alg, Some(alg.as_str()), private(alg).2)).into());
    for alg in ALGS {
        let alone = keys(vec![spec(alg, None, private(alg).2)]);
        assert!(alone.verify(&signed_by(alg, None), NOW).is_ok(), "{alg}");
        assert!(all.verify(&signed_by(alg, Some(alg.as_str())), NOW).is_ok(), "{alg}");
        for other in ALGS.into_iter().filter(|other| *other != alg) {
            assert_eq!(
                alone.verify(&signed_by(other, None), NOW),
                Err(TokenError::Algorithm),
                "{other} at {alg}"
            );
            let misnamed = all.verify(&signed_by(other, Some(alg.as_str())), NOW);
            assert_eq!(misnamed, Err(TokenError::Algorithm), "{other} as {alg}");
        }
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    // The old trick: HS256 with the public key's text as the secret.
    for alg in [Alg::Es256, Alg::Rs256, Alg::EdDsa] {
        let public = private(alg).2;
        let forged =
            encode(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(public)).unwrap();
        assert_eq!(keys(vec![spec(alg, None, public)]).verify(&forged, NOW), Err(TokenError::Algorithm));
    }
}

#[test]
fn unsigned_tokens_are_refused() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    let payload = BASE64.encode(claims().to_string());
    for alg in ["none", "None", "NONE", ""] {
        let head = BASE64.encode(json!({"alg": alg}).to_string());
        for signature in ["", "AAAA"] {
            let token = format!("{head}.{payload}.{signature}");
            assert_eq!(shared().verify(&token, NOW), Err(TokenError::Algorithm), "{alg:?}");
        }
    }
    let head = BASE64.encode(r#"{"alg":"HS256"}"#);
    assert_eq!(shared().verify(&format!("{head}.{payload}."), NOW), Err(TokenError::Signature));
}

#[test]
fn kid_picks_the_key() {
    let two = |first: Option<&str>| {
        keys(vec![spec(Alg::Hs256, first, b"old"), spec(Alg::Hs256, Some("2"), SECRET)])
    };
    let token = |kid| signed_by(Alg::Hs256, kid);
    assert!(two(Some("1")).verify(&token(Some("2")), NOW).is_ok());
    assert_eq!(two(Some("1")).verify(&token(Some("1")), NOW), Err(TokenError::Signature));
    assert_eq!(two(Some("1")).verify(&token(Some("3")), NOW), Err(TokenError::UnknownKey));
    assert_eq!(two(Some("1")).verify(&token(None), NOW), Err(TokenError::NoKid));
    // While keys change, the old one may still be nameless: tokens that name none are its.
    assert_eq!(two(None).verify(&token(None), NOW), Err(TokenError::Signature));
    assert!(two(None).verify(&token(Some("2")), NOW).is_ok());
    assert_eq!(two(None).verify(&token(Some("3")), NOW), Err(TokenError::UnknownKey));

    let one = keys(vec![spec(Alg::Hs256, Some("1"), SECRET)]);
    assert!(one.verify(&token(None), NOW).is_ok());
    assert_eq!(one.verify(&token(Some("2")), NOW), Err(TokenError::UnknownKey));
    assert!(shared().verify(&token(Some("whatever")), NOW).is_ok(), "the only key, which has no name");
    assert_eq!(keys(vec![]).verify(&token(None), NOW), Err(TokenError::NoKid));
    assert_eq!(keys(vec![]).verify(&token(Some("1")), NOW), Err(TokenError::UnknownKey));
}

#[test]
fn keys_that_could_be_mixed_up_are_refused() {
    let new = |specs| TokenKeys::new("acme".parse().unwrap(), specs).unwrap_err();
    let key = |kid| spec(Alg::Hs256, kid, SECRET);
    assert_eq!(new(vec![key(Some("1")), key(Some("1"))]), KeyError::SameKid("1".to_owned()));
    assert_eq!(new(vec![key(None), key(Some("1")), key(None)]), KeyError::TwoWithoutKid);
    assert_eq!(new(vec![spec(Alg::Hs256, None, b"\n")]), KeyError::EmptySecret);
}

#[test]
fn a_secret_file_may_end_in_a_line_end() {
    for end in ["\n", "\r\n", ""] {
        let file = [SECRET, end.as_bytes()].concat();
        assert!(keys(vec![spec(Alg::Hs256, None, &file)]).verify(&signed(&claims()), NOW).is_ok());
    }
}

/// Numbers as they stand in a token, and what comes of them: a time, or not.
#[test]
fn exp_is_a_whole_number_of_seconds_and_never_endless() {
    let at = |exp: &str, now: u64| {
        let text = format!(r#"{{"aud":"ringway","tenant":"acme","exp":{exp}}}"#);
        shared().verify(&signed_text(&text), now).map(|identity| identity.expires)
    };
    let not_a_time = Err(TokenError::NotATime("exp"));
    for exp in [
        "\"1700000000\"",
        "1e30",
        "-1",
        "[]",
        "{}",
        "true",
        "1700000000.5",
        "9223372036854775808",
        "1795625000000",
    ] {
        assert_eq!(at(exp, NOW), not_a_time, "{exp}");
        assert_eq!(at(exp, 0), not_a_time, "{exp}");
    }
    assert_eq!(at("null", 0), Err(TokenError::Missing("exp")));
    assert_eq!(at("1e400", 0), Err(TokenError::Claims));
    assert_eq!(at("1.5e9", NOW), Err(TokenError::Expired));
    assert_eq!(at("1.5e9", 1_499_999_999), Ok(Some(1_500_000_000)));
    assert_eq!(at("1500000000.0", 1_499_999_999), Ok(Some(1_500_000_000)));
    assert_eq!(at("0", 0), Err(TokenError::Expired));
    assert_eq!(verify(&with("exp", Value::Null)), Err(TokenError::Missing("exp")));
}

#[test]
fn a_token_ends_at_its_second() {
    let token = signed(&with("exp", json!(NOW)));
    assert!(shared().verify(&token, NOW - 1).is_ok());
    for now in [NOW, NOW + 1, u64::MAX] {
        assert_eq!(shared().verify(&token, now), Err(TokenError::Expired));
    }
}

#[test]
fn a_token_begins_at_nbf_give_or_take_a_clock() {
    assert!(verify(&with("nbf", json!(NOW + 5))).is_ok());
    assert!(verify(&with("nbf", json!(NOW as f64 - 0.5))).is_ok());
    assert_eq!(verify(&with("nbf", json!(NOW + 6))), Err(TokenError::NotYet));
    assert_eq!(verify(&with("nbf", json!("soon"))), Err(TokenError::NotATime("nbf")));
}

#[test]
fn iat_decides_nothing_but_must_be_a_time() {
    assert!(verify(&with("iat", json!(NOW + 100))).is_ok());
    assert!(verify(&with("iat", json!(1_700_000_000.25))).is_ok());
    for iat in [json!(9_223_372_036_854_775_808_u64), json!("x"), json!(-1), json!(1e30)] {
        assert_eq!(verify(&with("iat", iat)), Err(TokenError::NotATime("iat")));
    }
}

#[test]
fn a_token_is_for_us_or_not() {
    for aud in [
        json!("ringway-ticket"),
        json!("ringway-session"),
        json!("Ringway"),
        json!([]),
        json!(7),
        Value::Null,
    ] {
        assert_eq!(verify(&with("aud", aud)), Err(TokenError::Audience));
    }
}

#[test]
fn the_tenant_may_be_left_out_where_there_is_only_one() {
    let without = signed(&with("tenant", Value::Null));
    assert_eq!(shared().verify(&without, NOW), Err(TokenError::Missing("tenant")));
    let alone = shared().for_only_tenant();
    assert_eq!(alone.verify(&without, NOW).unwrap().tenant.as_str(), "acme");
    for keys in [shared(), alone] {
        assert_eq!(keys.verify(&signed(&with("tenant", json!("other"))), NOW), Err(TokenError::OtherTenant));
        let unnamed = keys.verify(&signed(&with("tenant", json!("Acme"))), NOW);
        assert!(matches!(unnamed, Err(TokenError::Name("tenant", _))));
        assert_eq!(
            keys.verify(&signed(&with("tenant", json!(7))), NOW),
            Err(TokenError::Kind("tenant", "a string"))
        );
    }
}

#[test]
fn the_tenant_can_be_seen_before_anything_is_believed() {
    assert_eq!(peek_tenant(&signed_by(Alg::Rs256, None)).unwrap().as_str(), "acme");
    for none in ["", "a.b.c", &signed(&with("tenant", Value::Null)), &signed(&with("tenant", json!("A B")))] {
        assert_eq!(peek_tenant(none), None);
    }
}

#[test]
fn names_are_checked() {
    for user in ["", "a\nb", &"x".repeat(129)] {
        assert!(matches!(verify(&with("sub", json!(user))), Err(TokenError::Name("sub", _))));
    }
    assert_eq!(verify(&with("sub", json!(7))), Err(TokenError::Kind("sub", "a string")));
    for room in ["", "a\u{7f}", &"x".repeat(256)] {
        assert!(matches!(verify(&with("join", json!(["ok", room]))), Err(TokenError::Name("join", _))));
    }
    assert_eq!(verify(&with("join", json!("room"))), Err(TokenError::Kind("join", "a list")));
    for user in ["__proto__", "constructor", "🦀", "é", "$user", "*"] {
        assert_eq!(verify(&with("sub", json!(user))).unwrap().user.unwrap().as_str(), user);
    }
}

#[test]
fn grants_are_read_to_the_letter() {
    let grants = |grant: Value| verify(&with("grants", json!([{"rooms": "a", "rights": []}, grant])));
    let wrong = |error| Err(TokenError::Grant(1, error));
    for shape in [
        json!("a"),
        json!({}),
        json!({"rooms": "a"}),
        json!({"rooms": 1, "rights": []}),
        json!({"rooms": "a", "rights": "join"}),
    ] {
        assert_eq!(grants(shape), wrong(GrantError::Shape));
    }
    for right in ["subscribe", "Join", "manage", ""] {
        assert_eq!(
            grants(json!({"rooms": "a", "rights": ["join", right]})),
            wrong(GrantError::Right(1)),
            "{right}"
        );
    }
    assert!(matches!(
        grants(json!({"rooms": "", "rights": []})),
        Err(TokenError::Grant(1, GrantError::Rooms(_)))
    ));
    assert!(grants(json!({"rooms": "a", "rights": ["join", "join"], "later": 1})).is_ok());
    assert_eq!(verify(&with("grants", json!({}))), Err(TokenError::Kind("grants", "a list")));
}

#[test]
fn info_is_a_small_value() {
    let info = |value| verify(&with("info", value)).map(|identity| identity.info);
    let fits = json!("x".repeat(INFO_MAX - 2));
    assert_eq!(info(fits.clone()), Ok(Some(fits)));
    assert_eq!(info(json!("x".repeat(INFO_MAX - 1))), Err(TokenError::Info));
    let deep = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    assert!(info(deep(32)).is_ok());
    assert_eq!(info(deep(33)), Err(TokenError::Info));
    assert_eq!(info(Value::Null), Ok(None));
}

#[test]
fn claims_that_say_two_things_are_refused() {
    for text in [
        r#"{"aud":"ringway","tenant":"acme","exp":1,"exp":1795625000}"#,
        r#"{"aud":"ringway","tenant":"acme","sub":"a","sub":"b","exp":1795625000}"#,
        "[]",
        "null",
        "7",
        "",
        "{",
        r#"["ringway",1795625000,null,null,"acme",null,null,null,null]"#,
        &format!("{}{}", "[".repeat(3_000), "]".repeat(3_000)),
    ] {
        assert_eq!(shared().verify(&signed_text(text), NOW), Err(TokenError::Claims), "{text}");
    }
}

#[test]
fn a_token_has_a_greatest_length() {
    let long = signed(&with("padding", json!("x".repeat(TOKEN_MAX))));
    assert_eq!(shared().verify(&long, NOW), Err(TokenError::TooLong));
    assert_eq!(peek_tenant(&long), None);
}

#[test]
fn no_change_of_a_token_goes_unseen() {
    for alg in ALGS {
        let keys = keys(vec![spec(alg, None, private(alg).2)]);
        let token = signed_by(alg, None);
        assert!(keys.verify(&token, NOW).is_ok());
        for at in (0..token.len()).step_by(7) {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(keys.verify(&changed, NOW).is_err(), "{alg}, byte {at}");
            assert!(keys.verify(&token[..at], NOW).is_err(), "{alg}, cut at {at}");
        }
    }
}

#[test]
fn the_client_is_told_a_code_and_the_log_nothing_secret() {
    let code = |claims: &Value| verify(claims).unwrap_err().code();
    assert_eq!(code(&with("exp", json!(1))), Code::Expired);
    assert_eq!(code(&with("tenant", json!("other"))), Code::Forbidden);
    assert_eq!(code(&with("aud", json!("x"))), Code::TokenInvalid);
    assert_eq!(shared().verify("", NOW).unwrap_err().code(), Code::TokenInvalid);

    let secret = "hunter2";
    for claims in [
        with("exp", json!(secret)),
        with("sub", json!(format!("{secret}\n"))),
        with("tenant", json!(format!("{secret}!"))),
        with("join", json!([format!("{secret}\n")])),
        with("grants", json!([{"rooms": format!("{secret}\n"), "rights": []}])),
        with("grants", json!([{"rooms": "a", "rights": [secret]}])),
        with("info", json!(secret.repeat(1_000))),
        with("aud", json!(secret)),
    ] {
        let error = verify(&claims).unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(!said.contains(secret), "{said}");
    }
    let shown = format!("{:?} {:?}", shared(), spec(Alg::Hs256, None, SECRET));
    assert!(!shown.contains("only the tests know"), "{shown}");
}

#[test]
fn minted_tokens_verify() {
    let claims = Claims {
        tenant: Some("acme".parse().unwrap()),
        user: Some("ann".parse().unwrap()),
        expires: NOW + 60,
        issued: Some(NOW),
        grants: Grants::none(),
        join: vec!["lobby".parse().unwrap()],
        info: Some(json!({"n": 1.0})),
    };
    for secret in [SECRET.to_vec(), [SECRET, b"\n"].concat()] {
        let identity = shared().verify(&mint_hs256(&secret, &claims), NOW).unwrap();
        assert_eq!(identity.user, claims.user);
        assert_eq!(identity.expires, Some(NOW + 60));
        assert_eq!((identity.join, identity.info), (claims.join.clone(), claims.info.clone()));
    }
    let bare = Claims { tenant: None, user: None, issued: None, join: vec![], info: None, ..claims };
    let token = mint_hs256(SECRET, &bare);
    assert_eq!(shared().verify(&token, NOW), Err(TokenError::Missing("tenant")));
    assert!(shared().for_only_tenant().verify(&token, NOW).is_ok());
}
