//! Whatever is wrong with a configuration, its author is told where, what, and what would be right.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use ringway_config::{Config, Environment};

/// Enough to be right where a case is about something else.
const OPEN: &str = "gateway.auth = \"off\"\n";

fn env(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn told(text: &str, variables: &[(&str, &str)]) -> String {
    match Config::from_text(text, Path::new("ringway.toml"), &env(variables)) {
        Ok(config) => panic!("not refused: {text}\n{variables:?}\n{config:?}"),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn each(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(text, message)| {
            let (told, expected) = (told(&format!("{OPEN}{text}"), &[]), format!("ringway.toml:{message}"));
            (told != expected).then(|| format!("{text}\n  told:     {told}\n  expected: {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_unknown_key_names_the_nearest() {
    each(&[
        ("[node]\nlisen = \"x\"", "3:1: node.lisen: unknown key; the nearest known key is `node.listen`"),
        ("[nodes]\n", "2:2: nodes: unknown key; the nearest known key is `node`"),
        (
            "[node]\nmax_connection = 1",
            "3:1: node.max_connection: unknown key; the nearest known key is `node.max_connections`",
        ),
        (
            "listen = \"x\"",
            "2:1: listen: unknown key; `listen` belongs elsewhere: `gateway.listen`, `node.listen`",
        ),
        ("[node]\nauth = \"off\"", "3:1: node.auth: unknown key; `auth` belongs elsewhere: `gateway.auth`"),
        (
            "[tenants.acme]\npol = \"x\"",
            "3:1: tenants.acme.pol: unknown key; the nearest known key is `tenants.acme.pool`",
        ),
        (
            "[[classes]]\nrooms = \"a\"\n[[classes]]\nrooms = \"b\"\nreplay = { message = 3 }",
            "6:12: classes[1].replay.message: unknown key; the nearest known key is `classes[1].replay.messages`",
        ),
    ]);
}

#[test]
fn a_wrong_value_says_what_would_be_right() {
    each(&[
        (
            "[node]\nlisten = \"7001\"",
            "3:10: node.listen: expected an IP address and a port such as \"0.0.0.0:8080\" or \"[::]:8080\": \"7001\" isn't one",
        ),
        (
            "[node]\nlisten = \"localhost:7001\"",
            "3:10: node.listen: expected an IP address and a port such as \"0.0.0.0:8080\" or \"[::]:8080\": \
             \"localhost:7001\" isn't one (a host's name isn't looked up here)",
        ),
        (
            "[node]\nlisten = 7001",
            "3:10: node.listen: expected an IP address and a port such as \"0.0.0.0:8080\" or \"[::]:8080\", found 7001",
        ),
        ("[node]\nweight = 17", "3:1: node.weight: expected 0 to 16, found 17"),
        ("[node]\nweight = -1", "3:10: node.weight: expected a whole number from 0 to 16, found -1"),
        (
            "[node]\nweight = 1_000_000_000",
            "3:10: node.weight: expected a whole number from 0 to 16, found 1000000000",
        ),
        ("[node]\nweight = 0.5", "3:10: node.weight: expected a whole number from 0 to 16, found 0.5"),
        (
            "[[classes]]\nrooms = \"**\"\nspread = 1000",
            "4:10: classes[0].spread: expected a whole number from 1 to 64, found 1000",
        ),
        ("[node]\nmax_connections = 0", "3:1: node.max_connections: expected 1 or more, found 0"),
        (
            "[node]\nmax_connections = \"many\"",
            "3:19: node.max_connections: expected a whole number from 0 to 2⁶⁴−1, found \"many\"",
        ),
        (
            "[node]\npool = \"Shared\"",
            "3:8: node.pool: expected a pool's name: a pool consists of a-z, 0-9 and, inside, - (wrong at byte 0)",
        ),
        (
            "[node]\nid = \"-a\"",
            "3:1: node.id: expected 1 to 63 of A-Z a-z 0-9 . _ -, a letter or digit first, found \"-a\"",
        ),
        (
            "[node]\nadvertise = \"node-a\"",
            "3:13: node.advertise: expected a host and a port such as \"10.0.0.5:7001\" or \"node-a.internal:7001\": \"node-a\" isn't one",
        ),
        (
            "[node]\npublic_url = \"https://a.example\"",
            "3:1: node.public_url: expected a URL such as \"wss://a.example.net\": ws or wss, without ? and #",
        ),
        ("node = 3", "2:8: node: expected a table, found a number"),
        ("[gateway.auth]", "2:10: not TOML: duplicate key"),
        ("[gateway]\n", "2:2: not TOML: duplicate key"),
        ("[telemetry]\nsample = 1.5", "3:1: telemetry.sample: expected a share from 0 to 1, found 1.5"),
        ("[telemetry]\nsample = nan", "3:1: telemetry.sample: expected a share from 0 to 1, found NaN"),
        ("[telemetry]\nsample = \"1%\"", "3:10: telemetry.sample: expected a number, found \"1%\""),
        (
            "[telemetry]\notlp = \"collector\"",
            "3:8: telemetry.otlp: expected a URL: relative URL without a base",
        ),
        (
            "[telemetry]\notlp = \"ftp://a\"",
            "3:1: telemetry.otlp: expected a URL such as \"http://collector:4317\"",
        ),
        (
            "[nats]\nurls = [\"nats://a:4222\", \"http://a\"]",
            "3:26: nats.urls[1]: expected a NATS URL such as \"nats://127.0.0.1:4222\": it begins with nats://, tls://, ws:// or wss:// and a host",
        ),
        ("[nats]\nurls = \"nats://a\"", "3:8: nats.urls: expected a list, found a string"),
        ("[nats]\nurls = []", "3:1: nats.urls: expected at least one URL"),
        (
            "[nats]\nprefix = \"a b\"",
            "3:1: nats.prefix: expected up to 64 of A-Z a-z 0-9 _ -, dots inside, found \"a b\"",
        ),
        (
            "[nats]\nprefix = \"a..b\"",
            "3:1: nats.prefix: expected up to 64 of A-Z a-z 0-9 _ -, dots inside, found \"a..b\"",
        ),
        (
            "[[classes]]\nrooms = \"a\"\nreplay = { age = 30 }",
            "4:18: classes[0].replay.age: expected a duration such as \"10ms\", \"30s\", \"1m30s\" or \"24h\": 30 has no unit (ms, s, m, h, d)",
        ),
        (
            "[[classes]]\nrooms = \"a\"\nreplay = { age = \"30 sec\" }",
            "4:18: classes[0].replay.age: expected a duration such as \"10ms\", \"30s\", \"1m30s\" or \"24h\": \" sec\" isn't a unit (ms, s, m, h, d)",
        ),
        (
            "[[classes]]\nrooms = \"a\"\nreplay = { age = \"25h\" }",
            "4:12: classes[0].replay.age: expected at most \"24h\"",
        ),
        (
            "[[classes]]\nrooms = \"a\"\nflush_window = \"1001ms\"",
            "4:1: classes[0].flush_window: expected at most \"1s\"",
        ),
        (
            "[[classes]]\nrooms = \"\"",
            "3:9: classes[0].rooms: expected a pattern of rooms such as \"board.**\": a pattern may not be empty",
        ),
        (
            "[[classes]]\nrooms = \"inbox.$user\"",
            "3:1: classes[0].rooms: `$user` has no meaning here: a room's class is the same for everybody",
        ),
        ("[[classes]]\n", "2:1: classes[0].rooms: missing"),
        ("[classes]\nrooms = \"a\"", "2:1: classes: expected a list, found a table"),
        (
            "[stores.chat]\nbytes = \"20G\"",
            "3:9: stores.chat.bytes: expected a size such as \"64KiB\", \"512MiB\" or \"20GiB\": \"G\" isn't a unit (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)",
        ),
        (
            "[stores.chat]\nmessages_per_room = 5\nlatest_per_key = true",
            "3:1: stores.chat.messages_per_room: not together with latest_per_key",
        ),
        (
            "[stores.chat]\nwhen_full = \"refused\"",
            "3:13: stores.chat.when_full: expected \"drop_oldest\" or \"refuse\": \"refused\" isn't one of them; did you mean \"refuse\"?",
        ),
        ("[stores.chat]\nreplicas = 0", "3:1: stores.chat.replicas: expected 1 to 5, found 0"),
        (
            "[stores.chat]\nmessages_per_room = 1_000_001",
            "3:1: stores.chat.messages_per_room: expected 1 to 1000000, found 1000001",
        ),
        (
            "[stores.chat]\nmessages_per_room = 0",
            "3:1: stores.chat.messages_per_room: expected 1 to 1000000, found 0",
        ),
        (
            "[stores.chat]\nwhen_full = \"refuse\"",
            "3:1: stores.chat.when_full: \"refuse\" needs `bytes`: without it the store is never full",
        ),
        (
            "[stores.chat]\nage = \"999ms\"",
            "3:1: stores.chat.age: expected \"1s\" or more; leave it out for no limit",
        ),
        ("[stores.chat]\nrepeat_window = 0", "3:1: stores.chat.repeat_window: expected \"1s\" to \"1h\""),
        (
            "[stores.chat]\nstorage = \"disk\"",
            "3:11: stores.chat.storage: expected \"file\" or \"memory\": \"disk\" isn't one of them",
        ),
        (
            "[stores.chat]\n[stores.log]\n[[classes]]\nrooms = \"a\"\nstore = \"chta\"",
            "6:1: classes[0].store: there is no store \"chta\": the nearest is \"chat\"",
        ),
        (
            "[[classes]]\nrooms = \"a\"\nstore = \"chat\"",
            "4:1: classes[0].store: there is no store \"chat\": add [stores.chat], or leave it out for ephemeral rooms",
        ),
        (
            "[stores.chat]\n[[classes]]\nrooms = \"a\"\nstore = \"chat\"\nreplay = { age = \"5s\" }",
            "6:1: classes[0].replay: not together with `store`: what a durable room gives to those that come back is what \
             its store keeps",
        ),
        (
            "[stores.\"a b\"]",
            "2:9: stores.a b: not a name that may stand here: a store consists of a-z, 0-9 and, inside, - (wrong at byte 1)",
        ),
        (
            "[tenants.Acme]",
            "2:10: tenants.Acme: not a name that may stand here: a tenant consists of a-z, 0-9 and, inside, - (wrong at byte 0)",
        ),
        (
            "[tenants.acme]\norigins = [\"app.example\"]",
            "3:12: tenants.acme.origins[0]: expected an origin such as \"https://app.example\", or \"*\": \"app.example\": relative URL without a base",
        ),
        (
            "[tenants.acme]\nlimits = { rooms = 10_001 }",
            "3:12: tenants.acme.limits.rooms: expected 0 to 10000, found 10001",
        ),
        (
            "[tenants.acme]\nlimits = { publish_per_second = 5, publish_burst = 0 }",
            "3:36: tenants.acme.limits.publish_burst: expected 1 or more, found 0",
        ),
        (
            "[tenants.acme]\nlimits = { user = { connects_burst = 5 } }",
            "3:21: tenants.acme.limits.user.connects_burst: limits nothing without connects_per_second",
        ),
        (
            "[tenants.acme]\nlimits = { connection = { bytes_per_second = \"4GiB\" } }",
            "3:27: tenants.acme.limits.connection.bytes_per_second: expected less than \"4GiB\"",
        ),
        (
            "[tenants.acme]\nlimits = { publish_per_second = -1 }",
            "3:33: tenants.acme.limits.publish_per_second: expected a whole number from 0 to 4294967295, found -1",
        ),
        (
            "[tenants.acme]\nlimits = { publish = 5 }",
            "3:12: tenants.acme.limits.publish: unknown key; the nearest known key is `tenants.acme.limits.publish_burst`",
        ),
        (
            "[tenant_defaults]\nlimits = { publish_burst = 5 }",
            "3:12: tenant_defaults.limits.publish_burst: limits nothing without publish_per_second",
        ),
        (
            "[[classes]]\nrooms = \"a\"\nlimits = { publish_burst = 5 }",
            "4:12: classes[0].limits.publish_burst: limits nothing without publish_per_second",
        ),
        (
            "[[classes]]\nrooms = \"a\"\nreplay = { messages = 10_001 }",
            "4:12: classes[0].replay.messages: expected 0 to 10000, found 10001",
        ),
        (
            "[[classes]]\nrooms = \"a\"\nslow_consumer = \"drop_newest\"",
            "4:17: classes[0].slow_consumer: expected \"disconnect\", \"drop_oldest\" or \"conflate\": \"drop_newest\" isn't one of them",
        ),
        ("[node]\nbuffers = \"1000kB\"", "3:1: node.buffers: expected \"1MiB\" or more"),
        ("a = ", "2:5: not TOML: string values must be quoted, expected literal string"),
    ]);
}

#[test]
fn what_is_not_built_yet_is_refused_in_so_many_words() {
    each(&[
        (
            "[[hooks]]\nname = \"app\"",
            "2:3: hooks: not built yet: [[hooks]]: say who may do what by grants in a token",
        ),
        ("[notices]\n", "2:2: notices: not built yet: [notices]"),
        ("[[webhooks]]\nurl = \"x\"", "2:3: webhooks: not built yet: [[webhooks]]"),
    ]);
    // Other words than these are plain mistakes.
    assert!(told("gateway.path = \"relais\"", &[]).contains("\"relais\" isn't one of them"));
}

#[test]
fn authentication_needs_somebody_to_authenticate() {
    assert_eq!(
        told("[gateway]\nauth = \"jwt\"\n", &[]),
        "ringway.toml:2:1: gateway.auth: \"jwt\" needs a tenant with keys, and there is none: add [tenants.NAME] with \
         keys = [{ alg = \"HS256\", file = \"…\" }], or say auth = \"off\""
    );
    assert!(told("", &[]).contains("gateway.auth: \"jwt\" needs a tenant with keys"));
    assert_eq!(
        told("[tenants.acme]\n", &[]),
        "ringway.toml:1:10: tenants.acme: has neither `keys` nor `api_keys`, so nobody could use it (gateway.auth is \"jwt\")"
    );
    assert_eq!(
        told("[gateway]\nauth = \"jtw\"\n", &[]),
        "ringway.toml:2:8: gateway.auth: expected \"jwt\" or \"off\": \"jtw\" isn't one of them; did you mean \"jwt\"?"
    );
}

#[test]
fn keys_are_what_their_algorithm_takes() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    file("secret", "0123456789abcdef0123456789abcdef\n");
    file("public.pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
    file("private.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    file("empty", "\n");
    let config = directory.path().join("ringway.toml");
    let cases = [
        ("{ alg = \"HS256\", file = \"public.pem\" }", "keys[0].file: holds PEM, and HS256 takes a secret"),
        (
            "{ alg = \"ES256\", file = \"private.pem\" }",
            "keys[0].file: holds a private key; only the public one belongs here",
        ),
        ("{ alg = \"EdDSA\", file = \"secret\" }", "keys[0].file: expected a public key in PEM for EdDSA"),
        (
            "{ alg = \"none\", file = \"secret\" }",
            "keys[0].alg: expected \"HS256\", \"ES256\", \"RS256\" or \"EdDSA\": \"none\" isn't",
        ),
        ("{ alg = \"hs256\", file = \"secret\" }", "\"hs256\" isn't one of them"),
        ("{ file = \"secret\" }", "keys[0].alg: missing"),
        ("{ alg = \"HS256\" }", "keys[0].file: missing"),
        ("{ alg = \"HS256\", file = \"nowhere\" }", "nowhere: No such file"),
        ("{ alg = \"HS256\", file = \"empty\" }", "empty is empty"),
        (
            "{ alg = \"HS256\", kid = \"1\", file = \"secret\" }, { alg = \"RS256\", kid = \"1\", file = \"public.pem\" }",
            "keys[1].kid: \"1\" is another key's",
        ),
        (
            "{ alg = \"HS256\", file = \"secret\" }, { alg = \"HS256\", file = \"secret\" }",
            "keys[1].kid: missing: one key of a tenant may go without",
        ),
    ];
    for (keys, message) in cases {
        let text = format!("[tenants.acme]\nkeys = [{keys}]\n");
        let error = Config::from_text(&text, &config, &Environment::new()).unwrap_err().to_string();
        assert!(error.contains("ringway.toml:2:") && error.contains(message), "{keys}\n{error}");
    }
}

#[test]
fn api_keys_are_one_in_the_installation_and_of_some_use() {
    let hash = format!("sha256:{}", "0".repeat(64));
    let key = |id: &str, hash: &str, rest: &str| {
        format!("api_keys = [{{ id = \"{id}\", hash = \"{hash}\", {rest} }}]\n")
    };
    let use_ = "rights = [\"publish\"], rooms = [\"**\"]";
    for (tenant, message) in [
        (key("a_b", &hash, use_), "api_keys[0].id: expected 1 to 40 of a-z 0-9 -, found \"a_b\""),
        (key("App", &hash, use_), "api_keys[0].id: expected 1 to 40 of a-z 0-9 -, found \"App\""),
        (
            key("app", "sha256:12", use_),
            "api_keys[0].hash: expected \"sha256:\" and 64 hexadecimal digits: what follows isn't",
        ),
        (
            key("app", "rk_app_hunter2", use_),
            "api_keys[0].hash: expected \"sha256:\" and 64 hexadecimal digits: it doesn't begin",
        ),
        (key("app", &hash, "rooms = [\"**\"]"), "api_keys[0].rights: expected at least one right"),
        (key("app", &hash, "rights = [\"publish\"]"), "api_keys[0].rooms: expected at least one pattern"),
        (
            key("app", &hash, "rights = [\"publsh\"], rooms = [\"**\"]"),
            "api_keys[0].rights[0]: expected \"join\"",
        ),
        (
            key("app", &hash, "rights = [\"call\"], rooms = [\"i.$user\"]"),
            "api_keys[0].rooms: `$user` has no meaning here",
        ),
    ] {
        let error = told(&format!("[tenants.acme]\n{tenant}"), &[]);
        assert!(error.contains(message), "{tenant}\n{error}");
        assert!(!error.contains("hunter2"));
    }
    let twice = format!("[tenants.a]\n{0}[tenants.b]\n{0}", key("app", &hash, use_));
    assert!(told(&twice, &[]).contains("tenants.b.api_keys[0].id: \"app\" is also tenants.a.api_keys[0]'s"));
}

#[test]
fn secrets_are_missed_but_never_shown() {
    let cases = [
        ("\"env:NOT_SET\"", "the environment variable NOT_SET isn't set"),
        ("\"env:EMPTY\"", "the environment variable EMPTY is empty"),
        ("\"file:nowhere\"", "can't read nowhere: No such file or directory (os error 2)"),
        ("\"hunter2\"", "too short: at least 16 bytes; `openssl rand -hex 32` makes one"),
        ("\"\"", "the secret is empty"),
        (
            "1234567890123456",
            "expected a secret: \"file:PATH\", \"env:NAME\" or the secret itself, as a string",
        ),
        ("hunter2hunter2hunter2", "not TOML"),
    ];
    for (value, message) in cases {
        let error = told(&format!("{OPEN}[cluster]\nsecret = {value}\n"), &[("EMPTY", "")]);
        assert!(error.starts_with("ringway.toml:3:") && error.contains(message), "{value}: {error}");
        assert!(!error.contains("hunter2") && !error.contains("1234567890123456"), "{error}");
    }
    let error = told(OPEN, &[("RINGWAY_CLUSTER__SECRET", "hunter2")]);
    assert!(
        error.starts_with("environment variable RINGWAY_CLUSTER__SECRET: cluster.secret: too short"),
        "{error}"
    );
    for (variable, value) in [
        ("RINGWAY_NATS__URLS", "http://user:hunter2@a"),
        ("RINGWAY_NATS__URLS", "[hunter2"),
        ("RINGWAY_NATS", "nats://user:hunter2@a"),
        ("RINGWAY_CLUSTER", "hunter2"),
        ("RINGWAY_CLUSTER__SECRET__X", "hunter2"),
        ("RINGWAY_SECRETT", "hunter2"),
    ] {
        let error = told(OPEN, &[(variable, value)]);
        assert!(error.contains(&format!("environment variable {variable}: ")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    for wrong in
        ["cluster = \"hunter2\"", "[nats]\nurls = \"nats://user:hunter2@a\"", "[nats]\nurls = [\"hunter2\"]"]
    {
        let error = told(&format!("{OPEN}{wrong}"), &[]);
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_variable_that_names_no_key_names_the_nearest() {
    for (variable, nearest) in [
        ("RINGWAY_NODE__LISEN", "RINGWAY_NODE__LISTEN"),
        ("RINGWAY_NODE_LISTEN", "RINGWAY_NODE__LISTEN"),
        ("RINGWAY_TENANT_DIR", "RINGWAY_TENANTS_DIR"),
        ("RINGWAY_TENANTS__ACME__POL", "RINGWAY_TENANTS__ACME__POOL"),
        ("RINGWAY_CLASSES__0__ROOM", "RINGWAY_CLASSES__0__ROOMS"),
        ("RINGWAY_GATEWAY__LISTEN__PORT", ""),
    ] {
        let error = told(OPEN, &[(variable, "x")]);
        assert!(error.contains(&format!("environment variable {variable}: ")), "{error}");
        assert!(error.contains(nearest), "{error}");
    }
    assert_eq!(
        told(OPEN, &[("RINGWAY_NODE__WEIGHT", "heavy")]),
        "environment variable RINGWAY_NODE__WEIGHT: node.weight: expected a whole number from 0 to 16, found \"heavy\""
    );
}

#[test]
fn everything_wrong_is_told_at_once() {
    let error =
        told("[gateway]\nlissten = 1\nauth = \"of\"\n[node]\nweight = true\n", &[("RINGWAY_NOOD", "1")]);
    assert_eq!(error.lines().count(), 4, "{error}");
}

#[test]
fn a_file_that_cant_be_read_is_named() {
    let error =
        Config::load(Path::new("/nowhere/ringway.toml"), &Environment::new()).unwrap_err().to_string();
    assert_eq!(error, "/nowhere/ringway.toml: can't be read: No such file or directory (os error 2)");
}

#[test]
fn tenants_files_are_named_in_what_is_wrong_with_them() {
    let directory = tempfile::tempdir().unwrap();
    let tenants = directory.path().join("tenants");
    std::fs::create_dir(&tenants).unwrap();
    std::fs::write(tenants.join("acme.toml"), "pool = \"acme\"\nkees = []\n").unwrap();
    std::fs::write(tenants.join("Bad.toml"), "").unwrap();
    std::fs::write(tenants.join("broken.toml"), "pool = \n").unwrap();
    std::fs::write(tenants.join("twice.toml"), "").unwrap();
    let file = directory.path().join("ringway.toml");
    std::fs::write(&file, format!("{OPEN}tenants_dir = \"tenants\"\n[tenants.twice]\n")).unwrap();
    let error = Config::load(&file, &Environment::new()).unwrap_err().to_string();
    for part in [
        "acme.toml:2:1: tenants.acme.kees: unknown key; the nearest known key is `tenants.acme.keys`",
        "Bad.toml:1:1: tenants.Bad: not a name",
        "broken.toml:1:8: tenants.broken: not TOML",
        "twice.toml:1:1: tenants.twice: this tenant is also at ",
        "ringway.toml:3:10",
    ] {
        assert!(error.contains(part), "{part}\n{error}");
    }
    let error = told(&format!("{OPEN}tenants_dir = \"nowhere\""), &[]);
    assert!(error.starts_with("ringway.toml:2:15: tenants_dir: can't read nowhere: No such file"), "{error}");
}
