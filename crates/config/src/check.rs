//! What must fit together, once every single value is right: ranges, names that must differ, keys that need each other.

mod stores;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{ConfigError, Place, Problem};
use crate::hidden::hides;
use crate::limits_tree::LimitsConfig;
use crate::quantity::ByteSize;
use crate::range;
use crate::rooms::{Class, Presence};
use crate::tenant_tree::{Algorithm, TenantConfig};
use crate::tree::{Auth, Config, is_node_id};
use crate::value::Node;

/// Shortest secret for tickets and sessions, in bytes: 128 bits, where they were drawn by chance.
const SECRET_MIN: usize = 16;
/// Shortest HS256 key that isn't warned of, in bytes (RFC 7518 §3.2).
const HS256_ADVISED: usize = 32;
/// Longest that publications may wait to leave together: beyond it they are late rather than bundled.
const FLUSH_WINDOW_MAX: Duration = Duration::from_secs(1);
/// Smallest budget for what waits and is kept, in bytes: what a single member may have waiting.
const BUFFERS_MIN: u64 = 1 << 20;
/// Shortest life of a connection: below it a pool would do little but move connections.
const LIFETIME_MIN: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

impl Config {
    /// Looks whether a configuration that was made or changed in code keeps the rules of one that was read.
    ///
    /// # Errors
    /// Everything that doesn't; without places.
    pub fn check(&self) -> Result<(), ConfigError> {
        let problems = Checker::new(None, &|_, _| Ok(())).check(self);
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }

    /// What is allowed but perhaps not what was meant, or not used yet, a line each: for the log at the start and for
    /// `check-config`.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.store_warnings();
        let presence = Presence::default();
        for (index, class) in self.classes.iter().enumerate() {
            if class.presence != presence {
                warnings.push(format!(
                    "classes[{index}].presence: not built yet: read and checked, but not used"
                ));
            }
            if let Some(earlier) =
                self.classes[..index].iter().position(|earlier| hides(&earlier.rooms, &class.rooms))
            {
                warnings.push(format!(
                    "classes[{index}].rooms: never reached, since classes[{earlier}] matches first"
                ));
            }
        }
        for (tenant, config) in &self.tenants {
            for (index, key) in config.keys.iter().enumerate() {
                if key.alg == Algorithm::Hs256 && key.file.0.bytes().len() < HS256_ADVISED {
                    warnings.push(format!(
                        "tenants.{tenant}.keys[{index}].file: an HS256 key should have {HS256_ADVISED} bytes or more"
                    ));
                }
            }
            if self.gateway.auth == Auth::Off && !config.keys.is_empty() {
                warnings.push(format!("tenants.{tenant}.keys: not used, since gateway.auth is \"off\""));
            }
        }
        if self.gateway.auth == Auth::Off {
            warnings.push("gateway.auth: \"off\": anybody may connect, as whoever they say they are".into());
        }
        warnings
    }
}

/// Whether bytes are a key for an algorithm, and if they aren't, why: for people, and nothing secret.
pub type UsableKey = dyn Fn(Algorithm, &[u8]) -> Result<(), String>;

/// Gathers what is wrong; knows places where the tree of the file is at hand.
pub(crate) struct Checker<'a> {
    tree: Option<&'a Node>,
    usable: &'a UsableKey,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(tree: Option<&'a Node>, usable: &'a UsableKey) -> Self {
        Checker { tree, usable, problems: Vec::new() }
    }

    /// `key` is a path such as `tenants.acme.keys[0].kid`.
    fn wrong(&mut self, key: &str, message: impl Into<String>) {
        let segments = key.replace('[', ".").replace(']', "");
        let segments: Vec<&str> = segments.split('.').collect();
        let place = self.tree.map_or(Place::Nowhere, |tree| tree.place_of(&segments));
        self.problems.push(Problem { place, key: key.to_owned(), message: message.into() });
    }

    /// Held against the key's range.
    fn within(&mut self, key: &str, value: impl Into<u64>) {
        let (value, (least, most)) = (value.into(), range::of(key).expect("a key that has a range"));
        if !(least..=most).contains(&value) {
            self.wrong(key, format!("expected {least} to {most}, found {value}"));
        }
    }

    fn at_least_one(&mut self, key: &str, value: Option<u64>) {
        if value == Some(0) {
            self.wrong(key, "0 would refuse everything; leave it out for no limit");
        }
    }

    pub(crate) fn check(mut self, config: &Config) -> Vec<Problem> {
        self.processes(config);
        for (name, store) in &config.stores {
            self.store(&format!("stores.{name}"), store);
        }
        for (index, class) in config.classes.iter().enumerate() {
            let key = format!("classes[{index}]");
            self.class(&key, class);
            self.class_store(config, &key, class);
        }
        let defaults = &config.tenant_defaults.limits;
        self.limits("tenant_defaults.limits", defaults, defaults);
        self.tenants(config);
        self.problems
    }

    fn processes(&mut self, config: &Config) {
        if let Some(id) = &config.node.id
            && !is_node_id(id)
        {
            self.wrong(
                "node.id",
                format!("expected 1 to 63 of A-Z a-z 0-9 . _ -, a letter or digit first, found {id:?}"),
            );
        }
        if let Some(url) = &config.node.public_url
            && (!matches!(url.scheme(), "ws" | "wss")
                || !url.has_host()
                || url.query().is_some()
                || url.fragment().is_some())
        {
            self.wrong(
                "node.public_url",
                "expected a URL such as \"wss://a.example.net\": ws or wss, without ? and #",
            );
        }
        if config.node.max_connections == 0 {
            self.wrong("node.max_connections", "expected 1 or more, found 0");
        }
        if config.node.buffers.is_some_and(|bytes| bytes.0 < BUFFERS_MIN) {
            self.wrong("node.buffers", "expected \"1MiB\" or more");
        }
        self.within("node.weight", config.node.weight);
        if let Some(nats) = &config.nats {
            if nats.urls.is_empty() {
                self.wrong("nats.urls", "expected at least one URL");
            }
            let token = |token: &str| {
                !token.is_empty()
                    && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
            };
            if nats.prefix.len() > 64 || !nats.prefix.split('.').all(token) {
                let prefix = &nats.prefix;
                self.wrong(
                    "nats.prefix",
                    format!("expected up to 64 of A-Z a-z 0-9 _ -, dots inside, found {prefix:?}"),
                );
            }
        }
        if let Some(secret) = &config.cluster.secret
            && secret.bytes().len() < SECRET_MIN
        {
            self.wrong(
                "cluster.secret",
                format!("too short: at least {SECRET_MIN} bytes; `openssl rand -hex 32` makes one"),
            );
        }
        if let Some(otlp) = &config.telemetry.otlp
            && (!matches!(otlp.scheme(), "http" | "https") || !otlp.has_host())
        {
            self.wrong("telemetry.otlp", "expected a URL such as \"http://collector:4317\"");
        }
        if config.placement.connection_lifetime.is_some_and(|lifetime| lifetime < LIFETIME_MIN) {
            self.wrong("placement.connection_lifetime", "expected \"1m\" or more; leave it out for no limit");
        }
        // Written so that NaN is refused too.
        if !(0.0..=1.0).contains(&config.telemetry.sample) {
            self.wrong(
                "telemetry.sample",
                format!("expected a share from 0 to 1, found {:?}", config.telemetry.sample),
            );
        }
    }

    fn class(&mut self, key: &str, class: &Class) {
        if class.rooms.has_user() {
            self.wrong(
                &format!("{key}.rooms"),
                "`$user` has no meaning here: a room's class is the same for everybody",
            );
        }
        if class.flush_window > FLUSH_WINDOW_MAX {
            self.wrong(&format!("{key}.flush_window"), "expected at most \"1s\"");
        }
        if let Some(spread) = class.spread {
            self.within(&format!("{key}.spread"), spread);
        }
        let limits = &class.limits;
        self.rate(&format!("{key}.limits.publish"), limits.publish_per_second, limits.publish_burst);
        self.bytes(&format!("{key}.limits"), limits.bytes_per_second);
        if let Some(messages) = class.replay.messages {
            self.within(&format!("{key}.replay.messages"), messages);
        }
        if class.replay.age.is_some_and(|age| age > DAY) {
            self.wrong(&format!("{key}.replay.age"), "expected at most \"24h\"");
        }
        if class.presence.linger > Duration::from_secs(300) {
            self.wrong(&format!("{key}.presence.linger"), "expected at most \"5m\"");
        }
        self.within(&format!("{key}.presence.list_up_to"), class.presence.list_up_to);
    }

    /// `own` are held against the defaults that stand in for what they don't say.
    fn limits(&mut self, key: &str, own: &LimitsConfig, defaults: &LimitsConfig) {
        let (user, user_defaults) = (&own.user, &defaults.user);
        let (connection, connection_defaults) = (&own.connection, &defaults.connection);
        for (name, per_second, per_second_default, burst) in [
            ("connects", own.connects_per_second, defaults.connects_per_second, own.connects_burst),
            ("publish", own.publish_per_second, defaults.publish_per_second, own.publish_burst),
            (
                "user.connects",
                user.connects_per_second,
                user_defaults.connects_per_second,
                user.connects_burst,
            ),
            ("user.publish", user.publish_per_second, user_defaults.publish_per_second, user.publish_burst),
            (
                "connection.publish",
                connection.publish_per_second,
                connection_defaults.publish_per_second,
                connection.publish_burst,
            ),
        ] {
            self.rate(&format!("{key}.{name}"), per_second.or(per_second_default), burst);
        }
        self.bytes(key, own.bytes_per_second);
        self.bytes(&format!("{key}.user"), user.bytes_per_second);
        self.bytes(&format!("{key}.connection"), connection.bytes_per_second);
        if let Some(rooms) = own.rooms {
            self.within(&format!("{key}.rooms"), rooms);
        }
    }

    /// `key` is what the two keys of a rate begin with.
    fn rate(&mut self, key: &str, per_second: Option<u32>, burst: Option<u32>) {
        let Some(burst) = burst else { return };
        if burst == 0 {
            self.wrong(&format!("{key}_burst"), "expected 1 or more, found 0");
        }
        if per_second.is_none() {
            let rate = key.rsplit('.').next().unwrap_or(key);
            self.wrong(&format!("{key}_burst"), format!("limits nothing without {rate}_per_second"));
        }
    }

    fn bytes(&mut self, key: &str, per_second: Option<ByteSize>) {
        if per_second.is_some_and(|bytes| bytes.0 > u64::from(u32::MAX)) {
            self.wrong(&format!("{key}.bytes_per_second"), "expected less than \"4GiB\"");
        }
    }

    fn tenants(&mut self, config: &Config) {
        let mut api_keys = BTreeMap::new();
        for (name, tenant) in &config.tenants {
            let key = format!("tenants.{name}");
            self.limits(&format!("{key}.limits"), &tenant.limits, &config.tenant_defaults.limits);
            self.token_keys(&key, tenant);
            self.api_keys(&key, tenant, &mut api_keys);
            if config.gateway.auth == Auth::Jwt && tenant.keys.is_empty() && tenant.api_keys.is_empty() {
                self.wrong(
                    &key,
                    "has neither `keys` nor `api_keys`, so nobody could use it (gateway.auth is \"jwt\")",
                );
            }
        }
        if config.gateway.auth == Auth::Jwt && config.tenants.is_empty() {
            let message = "\"jwt\" needs a tenant with keys, and there is none: add [tenants.NAME] with \
                           keys = [{ alg = \"HS256\", file = \"…\" }], or say auth = \"off\"";
            self.wrong("gateway.auth", message);
        }
    }

    fn token_keys(&mut self, key: &str, tenant: &TenantConfig) {
        for (index, token_key) in tenant.keys.iter().enumerate() {
            if let Some(kid) = &token_key.kid {
                if kid.is_empty() || kid.len() > 128 {
                    self.wrong(&format!("{key}.keys[{index}].kid"), "expected 1 to 128 bytes");
                }
                if tenant.keys[..index].iter().any(|earlier| earlier.kid.as_ref() == Some(kid)) {
                    self.wrong(&format!("{key}.keys[{index}].kid"), format!("{kid:?} is another key's"));
                }
            } else if tenant.keys[..index].iter().any(|earlier| earlier.kid.is_none()) {
                self.wrong(
                    &format!("{key}.keys[{index}].kid"),
                    "missing: one key of a tenant may go without",
                );
            }
            let bytes = token_key.file.0.bytes();
            let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            let file = format!("{key}.keys[{index}].file");
            if token_key.alg == Algorithm::Hs256 {
                if holds("-----BEGIN ") {
                    self.wrong(&file, "holds PEM, and HS256 takes a secret: a public key as a secret would let anybody sign");
                }
            } else if holds("PRIVATE KEY-----") {
                self.wrong(&file, "holds a private key; only the public one belongs here");
            } else if !holds("-----BEGIN PUBLIC KEY-----") && !holds("-----BEGIN RSA PUBLIC KEY-----") {
                self.wrong(&file, format!("expected a public key in PEM for {}", token_key.alg));
            } else if let Err(why) = (self.usable)(token_key.alg, bytes) {
                self.wrong(&file, why);
            }
        }
    }

    fn api_keys(&mut self, key: &str, tenant: &TenantConfig, seen: &mut BTreeMap<String, String>) {
        for (index, api_key) in tenant.api_keys.iter().enumerate() {
            let key = format!("{key}.api_keys[{index}]");
            let id = &api_key.id;
            let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if !(1..=40).contains(&id.len()) || !id.bytes().all(inside) {
                self.wrong(&format!("{key}.id"), format!("expected 1 to 40 of a-z 0-9 -, found {id:?}"));
            }
            // The id alone says whose key it is.
            if let Some(other) = seen.insert(id.clone(), key.clone()) {
                self.wrong(&format!("{key}.id"), format!("{id:?} is also {other}'s"));
            }
            if api_key.rights.is_empty() {
                self.wrong(&format!("{key}.rights"), "expected at least one right");
            }
            if api_key.rooms.is_empty() {
                self.wrong(
                    &format!("{key}.rooms"),
                    "expected at least one pattern, such as \"**\" for every room",
                );
            }
            if api_key.rooms.iter().any(ringway_protocol::Pattern::has_user) {
                self.wrong(
                    &format!("{key}.rooms"),
                    "`$user` has no meaning here: an API key is nobody in particular",
                );
            }
        }
    }
}
