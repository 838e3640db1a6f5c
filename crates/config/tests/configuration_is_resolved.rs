//! What a right configuration comes to: defaults, environment above file, tenants, classes, roles.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use ringway_config::{
    Algorithm, Auth, ByteSize, Config, ConnectionLimits, Environment, Limits, Origins, Quota, Right, Role,
    RoomLimits, UserLimits, WhenFull, keys,
};

/// Everything that can be said today.
const WHOLE: &str = r#"
tenants_dir = "tenants"

[gateway]
listen = "0.0.0.0:8080"
admin = "0.0.0.0:9080"
auth = "jwt"
path = "tunnel"
token_in_query = true

[node]
id = "node-a"
pool = "shared"
listen = "0.0.0.0:7001"
advertise = "10.0.0.5:7001"
public_url = "wss://a.example.net"
admin = "0.0.0.0:9081"
max_connections = 20_000
buffers = "256MiB"
weight = 2

[nats]
urls = ["nats://user:hunter2@127.0.0.1:4222", "env:OTHER_NATS"]
prefix = "ringway.prod"

[cluster]
secret = "env:RINGWAY_OWN_SECRET"

[telemetry]
otlp = "http://collector:4317"
sample = 1

[stores.chat]
messages_per_room = 1_000
age = "24h"
bytes = "20GiB"
when_full = "refuse"
repeat_window = "1m30s"
replicas = 3
storage = "file"
latest_per_key = false

[[classes]]
rooms = "board.**"
replay = { messages = 10, age = "5s" }
slow_consumer = "disconnect"
flush_window = "10ms"
presence = { linger = "5s", list_up_to = 1_000 }

[[classes]]
rooms = "chat.**"
store = "chat"

[[classes]]
rooms = "**"
replay.messages = 7

[tenant_defaults]
pool = "small"
origins = ["https://app.example"]
limits = { publish_per_second = 50 }

[tenants.acme]
pool = "acme"
group = "shared"
keys = [{ alg = "HS256", kid = "1", file = "acme.key" }]
origins = ["https://app.acme.example"]
limits = { connections = 50_000, rooms = 20 }
api_keys = [{ id = "app", hash = "sha256:00000000000000000000000000000000000000000000000000000000000000ff", rights = ["publish", "manage"], rooms = ["**"] }]
"#;

fn env(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn whole(more: &[(&str, &str)]) -> Config {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("acme.key"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let tenants = directory.path().join("tenants");
    std::fs::create_dir_all(tenants.join("..data")).unwrap();
    std::fs::write(tenants.join("globex.toml"), "keys = [{ alg = \"HS256\", file = \"globex.key\" }]\n")
        .unwrap();
    std::fs::write(tenants.join("globex.key"), "short").unwrap();
    std::fs::write(tenants.join(".swp.toml"), "not read").unwrap();
    let file = directory.path().join("ringway.toml");
    std::fs::write(&file, WHOLE).unwrap();
    let mut env = env(more);
    env.insert("RINGWAY_OWN_SECRET".into(), "0123456789abcdef".into());
    env.insert("OTHER_NATS".into(), "nats://b:4222".into());
    Config::load(&file, &env).unwrap_or_else(|error| panic!("{error}"))
}

fn open(variables: &[(&str, &str)]) -> Config {
    let mut env = env(variables);
    env.insert("RINGWAY_GATEWAY__AUTH".into(), "off".into());
    Config::from_environment(&env).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_whole_file_comes_to_what_it_says() {
    let config = whole(&[]);
    let node = config.node().unwrap();
    assert_eq!(
        (node.id.as_str(), node.weight, node.max_connections, node.auth),
        ("node-a", 2, 20_000, Auth::Jwt)
    );
    assert_eq!(node.buffers, Some(256 << 20));
    assert_eq!(node.advertise.unwrap().to_string(), "10.0.0.5:7001");
    assert!(config.gateway().token_in_query);
    let nats = config.nats.as_ref().unwrap();
    assert_eq!(nats.urls[0].as_str(), "nats://user:hunter2@127.0.0.1:4222");
    assert_eq!(nats.urls[1].as_str(), "nats://b:4222");
    assert_eq!(config.cluster.secret.as_ref().unwrap().bytes(), b"0123456789abcdef");
    assert!((config.telemetry.sample - 1.0).abs() < f64::EPSILON);
    let store = config.stores.values().next().unwrap();
    assert_eq!(store.bytes, Some(ByteSize(20 << 30)));
    assert_eq!((store.when_full, store.repeat_window), (WhenFull::Refuse, Duration::from_secs(90)));
    assert_eq!(config.classes[0].flush_window, Duration::from_millis(10));
    for role in [Role::Gateway, Role::Node, Role::Serve] {
        config.require(role).unwrap();
    }
    assert_eq!(
        config.warnings(),
        ["tenants.globex.keys[0].file: an HS256 key should have 32 bytes or more",]
    );
}

const fn quota(per_second: u32, burst: u32) -> Option<Quota> {
    Some(Quota { per_second, burst })
}

/// The limits of tenant `acme`.
fn limits(text: &str) -> Limits {
    let text = format!("gateway.auth = \"off\"\n{text}");
    let config = Config::from_text(&text, Path::new("ringway.toml"), &Environment::new());
    let config = config.unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(config.warnings().len(), 1, "{:?}", config.warnings());
    config.tenants().get(&"acme".parse().unwrap()).unwrap().limits
}

#[test]
fn limits_are_a_tenants_own_or_the_defaults_one_by_one() {
    let acme = limits(
        r#"
        [tenant_defaults.limits]
        connections = 10
        connects_per_second = 20
        connects_burst = 40
        publish_per_second = 30
        user = { connections = 3, publish_per_second = 7, connects_per_second = 2 }
        connection = { bytes_per_second = "1MiB" }
        [tenants.acme.limits]
        connections = 11
        connects_per_second = 25
        bytes_per_second = "4MiB"
        user = { publish_burst = 9, connects_burst = 5, bytes_per_second = "256KiB" }
        connection = { publish_per_second = 20, publish_burst = 50 }
    "#,
    );
    assert_eq!(
        acme,
        Limits {
            connections: Some(11),
            connects: quota(25, 40),
            publish: quota(30, 30),
            bytes: quota(4 << 20, 4 << 20),
            rooms: 1_000,
            user: UserLimits {
                connections: Some(3),
                connects: quota(2, 5),
                publish: quota(7, 9),
                bytes: quota(256 << 10, 256 << 10),
            },
            connection: ConnectionLimits { publish: quota(20, 50), bytes: quota(1 << 20, 1 << 20) },
        }
    );
}

#[test]
fn each_limit_stands_alone_and_nothing_means_no_limit() {
    let none = limits("[tenants.acme]\n");
    assert_eq!((none.connections, none.connects, none.publish, none.bytes), (None, None, None, None));
    assert_eq!((none.user, none.connection), (UserLimits::default(), ConnectionLimits::default()));
    let only = |limit: &str| limits(&format!("[tenants.acme]\nlimits = {{ {limit} }}\n"));
    let with = |change: &dyn Fn(&mut Limits)| {
        let mut limits = none;
        change(&mut limits);
        limits
    };
    assert_eq!(only("connections = 5"), with(&|limits| limits.connections = Some(5)));
    assert_eq!(only("publish_per_second = 5"), with(&|limits| limits.publish = quota(5, 5)));
    assert_eq!(only("connects_per_second = 5"), with(&|limits| limits.connects = quota(5, 5)));
    assert_eq!(only("user.connections = 5"), with(&|limits| limits.user.connections = Some(5)));
    assert_eq!(only("user.publish_per_second = 5"), with(&|limits| limits.user.publish = quota(5, 5)));
    assert_eq!(
        only("connection.publish_per_second = 5"),
        with(&|limits| limits.connection.publish = quota(5, 5))
    );
    // The largest frame goes, however low the rate.
    assert_eq!(only("bytes_per_second = 100"), with(&|limits| limits.bytes = quota(100, 64 << 10)));
}

#[test]
fn zero_is_a_limit() {
    let all = "{ connections = 0, connects_per_second = 0, publish_per_second = 0, bytes_per_second = 0, rooms = 0 }";
    let acme = limits(&format!("[tenants.acme]\nlimits = {all}\n"));
    assert_eq!((acme.connections, acme.rooms), (Some(0), 0));
    for rate in [acme.connects, acme.publish, acme.bytes] {
        assert_eq!(rate.unwrap().per_second, 0);
        assert!(rate.unwrap().burst > 0);
    }
}

#[test]
fn classes_have_limits_for_each_of_their_rooms() {
    let class = |text: &str| {
        let text = format!("gateway.auth = \"off\"\n[[classes]]\nrooms = \"**\"\n{text}");
        let config = Config::from_text(&text, Path::new("ringway.toml"), &Environment::new()).unwrap();
        config.tenants().class_of(&"lobby".parse().unwrap()).clone()
    };
    assert_eq!(class("").room_limits(), RoomLimits::default());
    let limits = "limits = { members = 10, publish_per_second = 100, publish_burst = 200, bytes_per_second = \"1MiB\" }";
    assert_eq!(
        class(limits).room_limits(),
        RoomLimits { members: Some(10), publish: quota(100, 200), bytes: quota(1 << 20, 1 << 20) }
    );
    assert_eq!(
        class("limits.members = 0").room_limits(),
        RoomLimits { members: Some(0), ..RoomLimits::default() }
    );
}

#[test]
fn where_the_newest_values_are_kept_more_is_remembered() {
    let replay = |text: &str| {
        let text = format!("gateway.auth = \"off\"\n[[classes]]\nrooms = \"**\"\n{text}");
        let config = Config::from_text(&text, Path::new("ringway.toml"), &Environment::new()).unwrap();
        let replay = config.tenants().class_of(&"lobby".parse().unwrap()).replay();
        (replay.messages, replay.age.as_secs(), replay.by_key)
    };
    assert_eq!(replay(""), (100, 30, false));
    assert_eq!(replay("slow_consumer = \"drop_oldest\""), (100, 30, false));
    assert_eq!(replay("slow_consumer = \"conflate\""), (1_000, 3_600, true));
    assert_eq!(replay("slow_consumer = \"conflate\"\nreplay.messages = 5"), (5, 3_600, true));
    assert_eq!(replay("slow_consumer = \"conflate\"\nreplay.age = \"1m\""), (1_000, 60, true));
    assert_eq!(replay("replay.messages = 0"), (0, 30, false));
}

#[test]
fn tenants_have_their_own_or_the_defaults() {
    let tenants = whole(&[]).tenants();
    let acme = tenants.get(&"acme".parse().unwrap()).unwrap();
    assert_eq!((acme.pool.as_str(), acme.group.as_str()), ("acme", "shared"));
    assert_eq!(acme.keys[0].alg, Algorithm::Hs256);
    assert_eq!(acme.keys[0].bytes.bytes(), b"0123456789abcdef0123456789abcdef");
    assert_eq!(
        (acme.limits.connections, acme.limits.publish, acme.limits.rooms),
        (Some(50_000), quota(50, 50), 20)
    );
    assert!(acme.origins.allows("https://app.acme.example") && !acme.origins.allows("https://app.example"));
    assert_eq!(acme.api_keys[0].rights, [Right::Publish, Right::Manage]);
    assert_eq!(acme.api_keys[0].hash.0[31], 0xff);

    let globex = tenants.get(&"globex".parse().unwrap()).unwrap();
    assert_eq!((globex.pool.as_str(), globex.group.as_str()), ("small", "small"));
    assert_eq!(globex.limits.rooms, 1_000);
    assert_eq!(globex.origins, Origins::Only(vec!["https://app.example".into()]));

    assert!(tenants.get(&"nobody".parse().unwrap()).is_none());
    assert!(tenants.only().is_none());
    assert_eq!(tenants.by_api_key("app").unwrap().id.as_str(), "acme");
    assert_eq!(tenants.groups_of(&"acme".parse().unwrap()), ["shared".parse().unwrap()]);
    assert_eq!(tenants.groups_of(&"small".parse().unwrap()), ["small".parse().unwrap()]);
}

#[test]
fn the_first_class_that_matches_wins() {
    let tenants = whole(&[]).tenants();
    let messages = |room: &str| tenants.class_of(&room.parse().unwrap()).replay().messages;
    assert_eq!((messages("board.1.cursors"), messages("lobby")), (10, 7));
    let class = open(&[]).tenants().class_of(&"lobby".parse().unwrap()).clone();
    assert_eq!((class.replay().messages, class.replay().age), (100, Duration::from_secs(30)));
}

#[test]
fn without_authentication_and_tenants_every_name_is_one() {
    let tenants = open(&[("RINGWAY_TENANT_DEFAULTS__LIMITS__ROOMS", "3")]).tenants();
    let tenant = tenants.get(&"any-name".parse().unwrap()).unwrap();
    assert_eq!((tenant.id.as_str(), tenant.group.as_str(), tenant.limits.rooms), ("any-name", "shared", 3));
    assert_eq!(tenants.groups_of(&"shared".parse().unwrap()), ["shared".parse().unwrap()]);
    assert!(tenants.groups_of(&"other".parse().unwrap()).is_empty());
    assert!(tenants.is_open() && tenants.only().is_none());

    let tenants = open(&[("RINGWAY_TENANTS__ACME__POOL", "a")]).tenants();
    assert!(!tenants.is_open() && tenants.get(&"any-name".parse().unwrap()).is_none());
    assert_eq!(tenants.only().unwrap().id.as_str(), "acme");
}

#[test]
fn the_environment_is_above_the_file() {
    let config = whole(&[
        ("RINGWAY_NODE__ID", "42"),
        ("RINGWAY_NODE__WEIGHT", "0"),
        ("RINGWAY_NODE__LISTEN", "127.0.0.1:7"),
        ("RINGWAY_NODE__POOL", "\"quoted\""),
        ("RINGWAY_GATEWAY__TOKEN_IN_QUERY", "false"),
        ("RINGWAY_NATS__URLS", "nats://c:1, nats://d:2"),
        ("RINGWAY_TELEMETRY__SAMPLE", "0.5"),
        ("RINGWAY_CLASSES__0__REPLAY__MESSAGES", "11"),
        ("RINGWAY_CLASSES__2__ROOMS", "third"),
        ("RINGWAY_TENANTS__ACME__LIMITS__ROOMS", "21"),
        ("RINGWAY_TENANTS__GLOBEX__ORIGINS", "[\"https://globex.example\"]"),
        ("RINGWAY_STORES__CHAT__AGE", "1h"),
        // Neither keys nor mistakes.
        ("RINGWAY_LOG", "debug"),
        ("RINGWAY_NODE_PORT_7001_TCP_ADDR", "10.0.0.1"),
        ("RINGWAY_SERVICE_HOST", "10.0.0.1"),
        ("HOME", "/root"),
    ]);
    assert_eq!(
        (config.node.id.as_deref(), config.node.weight, config.node.pool.as_str()),
        (Some("42"), 0, "quoted")
    );
    assert_eq!(config.node.listen, "127.0.0.1:7".parse().unwrap());
    assert!(!config.gateway.token_in_query);
    assert_eq!(
        config.nats.as_ref().unwrap().urls.iter().map(|url| url.as_str()).collect::<Vec<_>>(),
        ["nats://c:1", "nats://d:2"]
    );
    assert!((config.telemetry.sample - 0.5).abs() < f64::EPSILON);
    assert_eq!((config.classes.len(), config.classes[0].replay().messages), (3, 11));
    let tenants = config.tenants();
    assert_eq!(tenants.get(&"acme".parse().unwrap()).unwrap().limits.rooms, 21);
    assert!(tenants.get(&"globex".parse().unwrap()).unwrap().origins.allows("https://globex.example"));
}

#[test]
fn lists_of_tables_come_from_the_environment_too() {
    let config = open(&[
        ("RINGWAY_CLASSES", "[{ rooms = \"a.**\" }, { rooms = \"b.**\", replay = { messages = 1 } }]"),
        ("RINGWAY_CLASSES__1__REPLAY__AGE", "2s"),
    ]);
    assert_eq!(config.classes[1].replay.messages, Some(1));
    assert_eq!(config.classes[1].replay.age, Some(Duration::from_secs(2)));
    let config = open(&[("RINGWAY_CLASSES__0__ROOMS", "a"), ("RINGWAY_CLASSES__1__ROOMS", "b")]);
    assert_eq!(config.classes[1].rooms.as_str(), "b");
}

#[test]
fn every_key_can_be_set_by_environment() {
    // Whatever a key's kind is, the variable reaches it: it changes something, or is refused under the key's own name,
    // or what stands beside it is missed.
    let before = open(&[]);
    for key in keys() {
        let path = key.path.replace("[]", ".0").replace('*', "x");
        let variable = format!("RINGWAY_{}", path.to_uppercase().replace('.', "__"));
        let beside = path.split('.').next().unwrap();
        match Config::from_environment(&env(&[(&variable, "off"), ("RINGWAY_GATEWAY__AUTH", "off")])) {
            Ok(config) => {
                assert!(config != before || key.path == "gateway.auth", "{variable} changed nothing");
            }
            Err(error) => {
                for problem in &error.problems {
                    assert!(problem.key.starts_with(beside), "{variable}: {problem}");
                    assert!(!problem.message.contains("unknown key"), "{variable}: {problem}");
                }
            }
        }
    }
}

#[test]
fn roles_ask_for_what_they_cant_do_without() {
    let config = open(&[("RINGWAY_NODE__ID", "a")]);
    config.require(Role::Serve).unwrap();
    let gateway = config.require(Role::Gateway).unwrap_err().to_string();
    assert!(
        gateway.contains("nats.urls: missing") && gateway.contains("cluster.secret: missing"),
        "{gateway}"
    );
    let node = config.require(Role::Node).unwrap_err().to_string();
    assert!(node.contains("node.advertise: missing"), "{node}");
}

#[test]
fn nothing_secret_is_printed() {
    let config = whole(&[]);
    let printed = format!("{config:?}{:?}", config.tenants());
    for secret in ["hunter2", "0123456789abcdef", "short"] {
        assert!(!printed.contains(secret), "{secret}");
    }
}

#[test]
fn a_configuration_changed_in_code_keeps_the_rules() {
    let mut config = open(&[]);
    config.check().unwrap();
    config.node.weight = 17;
    assert_eq!(config.check().unwrap_err().to_string(), "node.weight: expected 0 to 16, found 17");
}

#[test]
fn a_file_is_read_from_where_it_lies() {
    // Relative paths begin at the file that names them, not at the process.
    let error = Config::from_text("tenants_dir = \"t\"", Path::new("/nowhere/r.toml"), &Environment::new())
        .unwrap_err();
    assert!(error.to_string().contains("/nowhere/t"), "{error}");
}

fn warned(text: &str) -> Vec<String> {
    let text = format!("gateway.auth = \"off\"\n{text}");
    let config = Config::from_text(&text, Path::new("ringway.toml"), &Environment::new());
    let warnings = config.unwrap_or_else(|error| panic!("{error}\n{text}")).warnings();
    warnings.into_iter().filter(|warning| !warning.starts_with("gateway.auth")).collect()
}

#[test]
fn stores_that_are_allowed_but_hardly_meant_are_warned_of() {
    const CLASS: &str = "[nats]\n[[classes]]\nrooms = \"a\"\nstore = \"s\"\n";
    assert_eq!(warned("[stores.s]\n"), ["stores.s: no class names it, so nothing is kept in it"]);
    assert_eq!(warned(&format!("[stores.s]\nage = \"1h\"\n{CLASS}")), [""; 0]);
    for (more, start) in [
        ("messages_per_room = 5", "stores.s: has neither `age` nor `bytes`: it grows"),
        ("age = \"1h\"\nreplicas = 2", "stores.s.replicas: an even number survives no more than one less"),
        ("age = \"1h\"\nreplicas = 4", "stores.s.replicas: an even number"),
        ("age = \"1h\"\nstorage = \"memory\"", "stores.s.storage: in the memory of one server"),
        ("age = \"1h\"\nrepeat_window = \"9s\"", "stores.s.repeat_window: under \"10s\""),
    ] {
        let warned = warned(&format!("[stores.s]\n{more}\n{CLASS}"));
        assert!(matches!(&warned[..], [one] if one.starts_with(start)), "{warned:?}");
    }
    let conflate = format!("[stores.s]\nage = \"1h\"\n{CLASS}slow_consumer = \"conflate\"\n");
    assert!(warned(&conflate)[0].starts_with("classes[0].slow_consumer: \"conflate\" leaves out"));
    assert_eq!(warned(&conflate.replace("age =", "latest_per_key = true\nage =")), [""; 0]);
}

#[test]
fn durable_rooms_need_nats() {
    let text =
        "gateway.auth = \"off\"\n[stores.s]\nage = \"1h\"\n[[classes]]\nrooms = \"a\"\nstore = \"s\"\n";
    let config =
        |text: &str| Config::from_text(text, Path::new("ringway.toml"), &Environment::new()).unwrap();
    let alone = config(text).require(Role::Serve).unwrap_err().to_string();
    assert_eq!(
        alone,
        "classes[0].store: needs [nats]: durable rooms are kept by the JetStream of a NATS server"
    );
    assert!(config(text).warnings().contains(&alone));
    config(&format!("{text}[nats]\n")).require(Role::Serve).unwrap();
}

#[test]
fn a_repeat_is_recognised_for_no_longer_than_the_first_is_kept() {
    let window = |more: &str| {
        let text = format!(
            "gateway.auth = \"off\"\n[stores.s]\n{more}\n[[classes]]\nrooms = \"a\"\nstore = \"s\"\n"
        );
        let tenants = Config::from_text(&text, Path::new("r.toml"), &Environment::new()).unwrap().tenants();
        let class = tenants.class_of(&"a".parse().unwrap()).clone();
        assert_eq!(tenants.stores().count(), 1);
        tenants.store_of(&class).unwrap().1.repeat_window
    };
    assert_eq!(window(""), Duration::from_secs(30));
    assert_eq!(window("age = \"1h\"\nrepeat_window = \"2m\""), Duration::from_secs(120));
    assert_eq!(window("age = \"20s\"\nrepeat_window = \"2m\""), Duration::from_secs(20));
}
