//! The next configuration of a process that runs: what it may change at once, what has to wait for the next start, and what
//! it mustn't change at all.
//!
//! Tenants, their keys and limits, classes and placement are taken over as they are read. Ports, names, servers and secrets
//! are those of the start. A tenant's group must stay: its subjects are what its publications live in, and who is there
//! would no longer hear who comes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr;

use ringway_protocol::{GroupId, PoolId, TenantId};

use crate::Environment;
use crate::check::{Checker, UsableKey};
use crate::error::{ConfigError, Place, Problem};
use crate::exact::Exact;
use crate::files::Files;
use crate::load::read_file;
use crate::read::Field;
use crate::tenants::Tenants;
use crate::tree::Config;
use crate::value::Node;

/// What came of reading, and from which files.
#[derive(Debug)]
pub struct Reading<T> {
    /// What was read, or would have been, had it been there. A change of any of them is a reason to read again.
    pub files: Files,
    /// What was read, or everything that is wrong with it.
    pub outcome: Result<T, ConfigError>,
}

/// What a next configuration changes.
#[derive(Debug, Clone)]
pub struct Changes {
    /// The keys whose values are others from now on, sorted. None: there is nothing to take over.
    pub keys: Vec<String>,
    /// The keys that were changed too, but hold only from the next start; each says so, with its place.
    pub at_next_start: Vec<Problem>,
    /// The tenants that are new, and those whose pool is another than it was.
    pub homed: Vec<Homed>,
}

/// A tenant that needs a pool which it didn't need so far.
#[derive(Debug, Clone)]
pub struct Homed {
    /// Its name.
    pub tenant: TenantId,
    /// Its pool now.
    pub pool: PoolId,
    key: String,
    place: Place,
}

impl Homed {
    /// What is wrong with that pool, at the place where it is named.
    #[must_use]
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem { place: self.place.clone(), key: self.key.clone(), message: message.into() }
    }
}

impl Config {
    /// Reads the file that this configuration, which is in force, was read from, once more.
    ///
    /// What comes of it has the parts that hold for as long as a process runs (`gateway`, `node`, `nats`, `cluster`,
    /// `telemetry`) from the one in force, and the rest from the file. Blocks as [`Config::load`] does.
    ///
    /// # Errors
    /// As [`Config::load_with`]; and a tenant whose group would be another than it is. The configuration in force stays.
    #[must_use]
    pub fn load_after(
        &self,
        file: &Path,
        env: &Environment,
        usable: &UsableKey,
    ) -> Reading<(Config, Changes)> {
        let mut files = Files::default();
        let read = read_file(file, env, usable, &mut files);
        let outcome =
            read.and_then(|(next, tree)| Next { present: self, tree: &tree, usable }.take_over(next));
        Reading { files, outcome }
    }

    /// A sum over all that a reading while running may change, keys and secrets included, in 16 hexadecimal digits: the same
    /// in all processes of an installation that go by the same configuration. It shows nothing of what it is made of.
    #[must_use]
    pub fn checksum(&self) -> String {
        // Who doesn't know the cluster's secret can't even try which short key of a tenant would give this sum.
        let salt = self.cluster.secret.as_ref().map_or(&[][..], |secret| secret.bytes());
        self.live().sum(salt)
    }

    /// What a reading while running may change.
    fn live(&self) -> Exact {
        // Every part by its name: a new one has to be put here or below.
        let Config {
            placement,
            stores,
            classes,
            tenant_defaults,
            tenants,
            gateway: _,
            node: _,
            nats: _,
            cluster: _,
            telemetry: _,
            tenants_dir: _,
        } = self;
        let mut all = Exact::default();
        placement.lay_out("placement", &mut all);
        stores.lay_out("stores", &mut all);
        classes.lay_out("classes", &mut all);
        tenant_defaults.lay_out("tenant_defaults", &mut all);
        tenants.lay_out("tenants", &mut all);
        all
    }

    /// What holds for as long as a process runs.
    fn of_the_start(&self) -> Exact {
        let mut all = Exact::default();
        self.gateway.lay_out("gateway", &mut all);
        self.node.lay_out("node", &mut all);
        self.nats.lay_out("nats", &mut all);
        self.cluster.lay_out("cluster", &mut all);
        self.telemetry.lay_out("telemetry", &mut all);
        all
    }
}

/// A next configuration against the present one.
struct Next<'a> {
    present: &'a Config,
    tree: &'a Node,
    usable: &'a UsableKey,
}

impl Next<'_> {
    fn take_over(&self, next: Config) -> Result<(Config, Changes), ConfigError> {
        let at_next_start = self.at_next_start(&next);
        let auth_stays = next.gateway.auth != self.present.gateway.auth;
        let present = self.present.clone();
        let next = Config {
            gateway: present.gateway,
            node: present.node,
            nats: present.nats,
            cluster: present.cluster,
            telemetry: present.telemetry,
            ..next
        };
        let mut problems = Vec::new();
        if auth_stays {
            // What is right with the other way of authentication isn't with this one.
            problems = Checker::new(Some(self.tree), self.usable).check(&next);
            for problem in &mut problems {
                problem.message +=
                    &format!("; gateway.auth stays {:?} until the next start", next.gateway.auth.as_str());
            }
        }
        let (before, after) = (self.present.tenants(), next.tenants());
        problems.extend(self.groups(&next, &before, &after));
        problems.extend(next.stores_without_nats(|key| self.place(key)));
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        let keys = self.present.live().differing(&next.live());
        let homed = self.homed(&next, &before, &after);
        Ok((next, Changes { keys, at_next_start, homed }))
    }

    fn at_next_start(&self, next: &Config) -> Vec<Problem> {
        let keys = self.present.of_the_start().differing(&next.of_the_start());
        let told = keys.into_iter().map(|key| Problem {
            place: self.place(&key),
            key,
            message: "changed, and holds from the next start on".to_owned(),
        });
        told.collect()
    }

    /// Tenants whose group would be another one.
    fn groups(&self, next: &Config, before: &Tenants, after: &Tenants) -> Vec<Problem> {
        let mut problems = Vec::new();
        // By the defaults alone: said once, however many they are.
        let mut by_default: BTreeMap<(GroupId, GroupId), Vec<TenantId>> = BTreeMap::new();
        for name in names(self.present, next) {
            let (Some(was), Some(is)) = (before.get(&name), after.get(&name)) else { continue };
            if was.group == is.group {
                continue;
            }
            let plain = |config: &Config| {
                let tenant = config.tenants.get(&name);
                tenant.is_none_or(|tenant| tenant.pool.is_none() && tenant.group.is_none())
            };
            if plain(self.present) && plain(next) {
                by_default.entry((was.group.clone(), is.group.clone())).or_default().push(name);
            } else {
                problems.push(self.group_of_one(&name, &was.group, &is.group));
            }
        }
        let many = by_default.iter().map(|((was, is), tenants)| self.group_of_many(tenants, was, is));
        problems.extend(many);
        problems
    }

    fn group_of_one(&self, name: &TenantId, was: &GroupId, is: &GroupId) -> Problem {
        let table = format!("tenants.{name}");
        let given = |key: &str| self.tree.get(&["tenants", name.as_str(), key]).is_some();
        let (key, mend) = if given("group") {
            (format!("{table}.group"), format!("say group = \"{was}\" here"))
        } else {
            let key = if given("pool") { format!("{table}.pool") } else { table.clone() };
            let to = if self.has_own_file(name) { "to this file".into() } else { format!("under [{table}]") };
            (key, format!("add group = \"{was}\" {to}"))
        };
        Problem {
            place: self.place(&key),
            key,
            message: format!("{}: {mend}", moved("this tenant", was, is)),
        }
    }

    /// Whether the tenant stands in a file of its own, which has no `[tenants.NAME]`.
    fn has_own_file(&self, name: &TenantId) -> bool {
        let file = |place: Place| match place {
            Place::File { file, .. } => Some(file),
            Place::Environment(_) | Place::Nowhere => None,
        };
        let tenant = file(self.place(&format!("tenants.{name}")));
        tenant.is_some() && tenant != file(self.tree.place.clone())
    }

    fn group_of_many(&self, tenants: &[TenantId], was: &GroupId, is: &GroupId) -> Problem {
        const NAMED: usize = 3;
        let key =
            ["group", "pool"].into_iter().find(|key| self.tree.get(&["tenant_defaults", key]).is_some());
        let key = key.map_or_else(|| "tenant_defaults".to_owned(), |key| format!("tenant_defaults.{key}"));
        let mut whose = tenants.iter().take(NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if tenants.len() > NAMED {
            whose += &format!(" and {} more", tenants.len() - NAMED);
        }
        let mend = format!("say group = \"{was}\" under [tenant_defaults]");
        Problem { place: self.place(&key), key, message: format!("{}: {mend}", moved(&whose, was, is)) }
    }

    /// Tenants that need a pool which they didn't need before.
    fn homed(&self, next: &Config, before: &Tenants, after: &Tenants) -> Vec<Homed> {
        let mut homed = Vec::new();
        for name in names(self.present, next) {
            let Some(tenant) = after.get(&name) else { continue };
            if before.get(&name).is_some_and(|was| was.pool == tenant.pool) {
                continue;
            }
            let own = self.tree.get(&["tenants", name.as_str()]);
            let key = match own {
                Some(own) if own.get(&["pool"]).is_some() => format!("tenants.{name}.pool"),
                Some(_) => format!("tenants.{name}"),
                None => "tenant_defaults.pool".to_owned(),
            };
            homed.push(Homed { tenant: name, pool: tenant.pool.clone(), place: self.place(&key), key });
        }
        homed
    }

    fn place(&self, key: &str) -> Place {
        let segments = key.replace('[', ".").replace(']', "");
        self.tree.place_of(&segments.split('.').collect::<Vec<_>>())
    }
}

/// The tenants of both, by name; where any name is one, one of these.
fn names(before: &Config, after: &Config) -> BTreeSet<TenantId> {
    let any = TenantId::from_str("default").expect("a valid name");
    before.tenants.keys().chain(after.tenants.keys()).cloned().chain([any]).collect()
}

fn moved(whose: &str, was: &GroupId, is: &GroupId) -> String {
    format!("would change the group of {whose} from \"{was}\" to \"{is}\", which stays while processes run")
}
