use super::*;
use http::Request;

/// RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A valid upgrade, without the headers in `without` and with those in `with`.
fn head(without: &[&str], with: &[(&str, &[u8])]) -> Parts {
    let valid = [
        ("host", "ringway.example"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ];
    let mut request = Request::get("/v1/ws?room=r");
    for (name, value) in valid.iter().filter(|(name, _)| !without.contains(name)) {
        request = request.header(*name, *value);
    }
    for (name, value) in with {
        request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

fn taken(without: &[&str], with: &[(&str, &[u8])]) -> Upgrade {
    check(&head(without, with)).unwrap()
}

fn status(without: &[&str], with: &[(&str, &[u8])]) -> u16 {
    check(&head(without, with)).unwrap_err().status.as_u16()
}

#[test]
fn the_plainest_upgrade_speaks_json_and_names_no_subprotocol() {
    let upgrade = taken(&[], &[]);
    assert_eq!(
        (upgrade.format, upgrade.chosen_subprotocol, upgrade.offered_ours),
        (Format::Json, None, false)
    );
    assert_eq!(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let response = upgrade.response::<()>();
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(response.headers()["connection"], "Upgrade");
    assert_eq!(response.headers()["upgrade"], "websocket");
    assert_eq!(response.headers().len(), 3);
}

#[test]
fn token_lists_in_any_case_and_over_several_lines() {
    taken(&["connection"], &[("connection", b"keep-alive, Upgrade")]);
    taken(&["connection"], &[("connection", b"keep-alive"), ("connection", b"UPGRADE")]);
    taken(&["upgrade"], &[("upgrade", b"WebSocket")]);
    taken(&["upgrade"], &[("upgrade", b"h2c, websocket")]);
    taken(&[], &[("content-length", b"0")]);
    taken(&["host"], &[("host", b"[::1]:8080")]);
    taken(&[], &[("sec-websocket-extensions", b"permessage-deflate; client_max_window_bits")]);
    taken(&[], &[("user-agent", "Zoë".as_bytes()), ("user-agent", b"Zo\xEB"), ("x", b"\xFF")]);
}

#[test]
fn what_is_no_upgrade_is_told_so() {
    for (without, with, expected) in [
        (&["host"][..], &[][..], 400),
        (&["host"], &[("host", &b""[..])], 400),
        (&["host"], &[("host", b"a@b")], 400),
        (&["host"], &[("host", b"a b")], 400),
        (&[], &[("host", b"other")], 400),
        (&["upgrade"], &[], 426),
        (&["upgrade"], &[("upgrade", b"h2c")], 426),
        (&["connection"], &[], 400),
        (&["connection"], &[("connection", b"keep-alive")], 400),
        (&["sec-websocket-version"], &[], 426),
        (&["sec-websocket-version"], &[("sec-websocket-version", b"8")], 426),
        (&["sec-websocket-version"], &[("sec-websocket-version", b"13, 8")], 426),
        (&[], &[("sec-websocket-version", b"13")], 400),
        (&["sec-websocket-key"], &[], 400),
        (&["sec-websocket-key"], &[("sec-websocket-key", b"")], 400),
        // 15 bytes, 17 bytes, 24 characters that aren't base64, one without padding.
        (&["sec-websocket-key"], &[("sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAA")], 400),
        (&["sec-websocket-key"], &[("sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAAA=")], 400),
        (&["sec-websocket-key"], &[("sec-websocket-key", b"!!!!!!!!!!!!!!!!!!!!!!==")], 400),
        (&["sec-websocket-key"], &[("sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA")], 400),
        (&["sec-websocket-key"], &[("sec-websocket-key", b"\xE9AAAAAAAAAAAAAAAAAAAAA==")], 400),
        (&[], &[("sec-websocket-key", KEY.as_bytes())], 400),
        (&[], &[("content-length", b"5")], 400),
        (&[], &[("content-length", b"0"), ("content-length", b"0")], 400),
        (&[], &[("transfer-encoding", b"chunked")], 400),
        (&[], &[("content-length", b"5"), ("transfer-encoding", b"chunked")], 400),
        (&[], &[("expect", b"100-continue")], 400),
        (&[], &[("origin", b"https://a"), ("origin", b"https://a")], 400),
        (&[], &[("authorization", b"Bearer a"), ("authorization", b"Bearer a")], 400),
        (&[], &[("authorization", b"Bearer \xFF")], 400),
        (&[], &[("ringway-session", b"a"), ("ringway-session", b"b")], 400),
    ] {
        assert_eq!(status(without, with), expected, "without {without:?}, with {with:?}");
    }
    taken(&["sec-websocket-key"], &[("sec-websocket-key", b"AQIDBAUGBwgJCgsMDQ4PEC==")]);
}

#[test]
fn the_request_line_is_judged_first() {
    let mut post = head(&[], &[]);
    post.method = Method::POST;
    let mut old = head(&[], &[]);
    old.version = Version::HTTP_10;
    let mut absolute = head(&[], &[]);
    absolute.uri = "http://ringway.example/v1/ws".parse().unwrap();
    for (head, expected) in [(post, 405), (old, 505), (absolute, 400)] {
        assert_eq!(check(&head).unwrap_err().status, expected);
    }
}

#[test]
fn refusals_carry_what_their_status_asks_for() {
    let mut headers = HeaderMap::new();
    check(&head(&["sec-websocket-version"], &[])).unwrap_err().add_headers(&mut headers);
    assert_eq!(headers["sec-websocket-version"], "13");
    assert_eq!(headers["upgrade"], "websocket");
    let mut headers = HeaderMap::new();
    UpgradeError::new(StatusCode::METHOD_NOT_ALLOWED, "").add_headers(&mut headers);
    assert_eq!(
        (&headers["allow"], &headers["connection"]),
        (&"GET".parse().unwrap(), &"close".parse().unwrap())
    );
}

#[test]
fn subprotocols_choose_the_format_and_carry_secrets_that_are_never_echoed() {
    for lines in [
        &[("sec-websocket-protocol", &b"bearer.a.b-c_d ,ringway.v1.msgpack"[..])][..],
        &[("sec-websocket-protocol", b"bearer.a.b-c_d"), ("sec-websocket-protocol", b"ringway.v1.msgpack")],
    ] {
        let upgrade = taken(&[], lines);
        assert_eq!(upgrade.format, Format::Msgpack);
        assert_eq!(upgrade.bearer.as_deref(), Some("a.b-c_d"));
        assert!(upgrade.offered_ours);
        let response = upgrade.response::<()>();
        let answered: Vec<_> = response.headers().get_all("sec-websocket-protocol").iter().collect();
        assert_eq!(answered, ["ringway.v1.msgpack"]);
    }
    let upgrade =
        taken(&[], &[("sec-websocket-protocol", b"chat, session.s.1, ringway.v1.json, ringway.v1.msgpack")]);
    assert_eq!((upgrade.format, upgrade.session.as_deref()), (Format::Json, Some("s.1")));
}

#[test]
fn subprotocols_that_are_not_ours_are_refused() {
    for offered in [
        &b"chat"[..],
        b"bearer.x",
        b"session.x",
        b"ringway.v2.json",
        b"RINGWAY.V1.JSON",
        b"a b, ringway.v1.json",
        b"ringway.v1.json, \xC3\xA9",
        b"bearer.a, bearer.b, ringway.v1.json",
        b"session.a, session.b, ringway.v1.json",
    ] {
        assert_eq!(status(&[], &[("sec-websocket-protocol", offered)]), 400, "{}", offered.escape_ascii());
    }
    let empty = taken(&[], &[("sec-websocket-protocol", b" , ,")]);
    assert_eq!((empty.format, empty.chosen_subprotocol), (Format::Json, None));
}

#[test]
fn secrets_come_by_header_too_but_not_twice() {
    let upgrade = taken(&[], &[("authorization", b"bearer  abc"), ("ringway-session", b"xyz")]);
    assert_eq!((upgrade.bearer.as_deref(), upgrade.session.as_deref()), (Some("abc"), Some("xyz")));
    assert_eq!(taken(&[], &[("authorization", b"Basic abc")]).bearer, None);
    let protocol = ("sec-websocket-protocol", &b"ringway.v1.json, bearer.a, session.b"[..]);
    assert_eq!(status(&[], &[protocol, ("authorization", b"Bearer a")]), 400);
    assert_eq!(status(&[], &[protocol, ("ringway-session", b"b")]), 400);
}
