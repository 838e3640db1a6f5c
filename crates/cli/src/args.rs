//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use ringway_protocol::frame::Position;
use ringway_protocol::{GroupId, PoolId, StoreName};
use ringway_ring::{MAX_WEIGHT, NodeId};
use url::Url;

/// The admin port where nothing else is said: a gateway's own default on this host.
const ADMIN: &str = "http://127.0.0.1:9080";

/// Realtime rooms over WebSockets at any scale.
#[derive(Debug, Parser)]
#[command(name = "ringway", version, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process, for trying out: no authentication, a page at `/`
    #[command(after_help = "Example:\n  ringway dev --listen 127.0.0.1:8080 --nodes 3")]
    Dev(Dev),
    /// Run a gateway and a node in one process, for production on one box
    #[command(after_help = "Example:\n  ringway serve --config /etc/ringway.toml")]
    Serve(WithConfig),
    /// Run a gateway of a cluster
    #[command(after_help = "Example:\n  ringway gateway --config /etc/ringway.toml")]
    Gateway(WithConfig),
    /// Run a node of a cluster
    #[command(after_help = "Example:\n  RINGWAY_NODE__ID=node-a ringway node --config /etc/ringway.toml")]
    Node(WithConfig),
    /// Say whether a configuration file is right
    #[command(after_help = "Example:\n  ringway check-config /etc/ringway.toml")]
    CheckConfig {
        /// The file
        file: PathBuf,
    },
    /// Say where a room lives
    #[command(
        after_help = "Example:\n  ringway locate default lobby\n  ringway locate acme '{team7}.chat' --config /etc/ringway.toml"
    )]
    Locate(Locate),
    /// Show the cluster as a table that renews itself: nodes, rates, λ, unwanted, busiest rooms
    #[command(after_help = "Example:\n  ringway top --url http://127.0.0.1:9080")]
    Top(Top),
    /// Say what would move if there were other nodes
    #[command(
        subcommand,
        after_help = "Example:\n  ringway ring plan --add n4\n  ringway ring plan --add n4=2 --remove n1 --pool acme"
    )]
    Ring(Ring),
    /// Change a store's streams
    #[command(
        subcommand,
        after_help = "Example:\n  ringway store split shared chat --into 4 --config /etc/ringway.toml"
    )]
    Store(Store),
    /// Mint a token, signed with HS256
    #[command(
        after_help = "Example:\n  ringway token --secret file:/etc/ringway/acme.key --tenant acme --user ann --rooms 'board.**' --ttl 8h"
    )]
    Token(Token),
    /// Join rooms and print what comes, one JSON object a line
    #[command(after_help = "Example:\n  ringway sub http://127.0.0.1:8080 lobby news")]
    Sub(Sub),
    /// Publish to a room
    #[command(after_help = "Example:\n  ringway pub http://127.0.0.1:8080 lobby '{\"text\":\"hello\"}'")]
    Pub(Pub),
}

#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Where clients connect; `/livez`, `/readyz` and `/metrics` are 1,000 ports above
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// How many nodes to run
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) nodes: u16,
    /// A NATS server to go through, in place of memory
    #[arg(long, value_name = "URL")]
    pub(crate) nats: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WithConfig {
    /// The configuration file. Every key can also be set by environment, as RINGWAY_NODE__LISTEN
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Locate {
    /// The tenant
    pub(crate) tenant: String,
    /// The room
    pub(crate) room: String,
    /// Ask by the configuration: its NATS tells which nodes there are
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub(crate) config: Option<PathBuf>,
    /// Ask a gateway
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// The token to ask the gateway with
    #[arg(long, env = "RINGWAY_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// The admin port of a gateway or node: any shows the whole cluster
    #[arg(long, value_name = "ADMIN", default_value = ADMIN)]
    pub(crate) url: Url,
    /// How often it is renewed
    #[arg(long, default_value = "1s", value_parser = interval)]
    pub(crate) every: Duration,
    /// How many of the busiest rooms are shown at most
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) rooms: usize,
    /// Show it once, and end. So it is, too, where the output is no terminal
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ring {
    /// Say which slots, and about how many connections, would move
    #[command(
        after_help = "Example:\n  ringway ring plan --add n4\n  ringway ring plan --add n4=2 --remove n1 --pool acme"
    )]
    Plan(RingPlan),
}

#[derive(Debug, Args)]
pub(crate) struct RingPlan {
    /// A node that would come, with its weight (1 where it isn't given)
    #[arg(long, value_name = "NODE[=WEIGHT]", value_parser = weighed)]
    pub(crate) add: Vec<Weighed>,
    /// A node that would go
    #[arg(long, value_name = "NODE")]
    pub(crate) remove: Vec<NodeId>,
    /// A node that would have another weight
    #[arg(long, value_name = "NODE=WEIGHT", value_parser = weighed)]
    pub(crate) weigh: Vec<Weighed>,
    /// The pool. Default: the only one
    #[arg(long)]
    pub(crate) pool: Option<PoolId>,
    /// The admin port of a gateway or node
    #[arg(long, value_name = "ADMIN", default_value = ADMIN)]
    pub(crate) url: Url,
    /// Ask by the configuration in place of an admin port: its NATS tells which nodes there are
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A node, with a weight where one was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weighed {
    pub(crate) node: NodeId,
    pub(crate) weight: Option<u8>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Split a store's streams, while all goes on: every offset is kept
    #[command(
        long_about = "Split a store's streams, while all goes on: every offset is kept.\n\nRooms that move are closed for some \
                      tenths of a second, a part of them at a time. Ended half-way, the same command goes on with it. The \
                      store's limit in bytes holds for each of its streams.",
        after_help = "Example:\n  ringway store split shared chat --into 4 --config /etc/ringway.toml"
    )]
    Split(StoreSplit),
}

#[derive(Debug, Args)]
pub(crate) struct StoreSplit {
    /// The group: by default it has the name of its tenants' pool
    pub(crate) group: GroupId,
    /// The store
    pub(crate) store: StoreName,
    /// How many streams it has at the end, 1 to 64
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) into: u8,
    /// The configuration: its NATS has the streams
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    /// The secret: `file:PATH`, `env:NAME`, or as it is
    #[arg(long)]
    pub(crate) secret: String,
    /// The tenant
    #[arg(long)]
    pub(crate) tenant: String,
    /// The user
    #[arg(long)]
    pub(crate) user: String,
    /// Rooms that may be used, as a pattern: `*` any characters but `.`, `**` any, `$user` the user. Default: all
    #[arg(long, value_name = "PATTERN")]
    pub(crate) rooms: Vec<String>,
    /// How long it is good for
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub(crate) ttl: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The gateway: http(s) or ws(s), path optional
    pub(crate) url: String,
    /// The token to connect with
    #[arg(long, env = "RINGWAY_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The tenant, where authentication is off
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// The user, where authentication is off
    #[arg(long)]
    pub(crate) user: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Sub {
    #[command(flatten)]
    pub(crate) server: Server,
    /// The rooms
    #[arg(required = true)]
    pub(crate) rooms: Vec<String>,
    /// Begin with the newest N publications of each room
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<u32>,
    /// Go on behind a position of the room, of which there is one then: what was missed comes first
    #[arg(long, value_name = "EPOCH:OFFSET[:TS]", value_parser = position)]
    pub(crate) since: Option<Position>,
}

#[derive(Debug, Args)]
pub(crate) struct Pub {
    #[command(flatten)]
    pub(crate) server: Server,
    /// The room
    pub(crate) room: String,
    /// What to publish: JSON where it parses, else a string. `-`: every line of standard input
    pub(crate) data: String,
    /// In a durable room: a passing signal, not stored
    #[arg(long)]
    pub(crate) signal: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; right would be 90s, 15m or 8h"))
}

fn position(text: &str) -> Result<Position, String> {
    let wrong = || "a position is EPOCH:OFFSET, or EPOCH:OFFSET:TS, as a message's room has it".to_owned();
    let mut parts = text.split(':');
    let (Some(epoch), Some(offset), ts, None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    Ok(Position {
        epoch: epoch.parse().map_err(|_| wrong())?,
        offset: number(offset)?,
        ts: ts.map(number).transpose()?,
    })
}

/// Between two looks; more often would be a load of its own.
fn interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        short if short < Duration::from_millis(100) => Err("at least 100ms".into()),
        interval => Ok(interval),
    }
}

fn weighed(text: &str) -> Result<Weighed, String> {
    let (node, weight) = match text.split_once('=') {
        Some((node, weight)) => (node, Some(weight)),
        None => (text, None),
    };
    let node = node.parse().map_err(|error| format!("{error}"))?;
    let weight = weight.map(|weight| match weight.parse::<u8>() {
        Ok(weight) if weight <= MAX_WEIGHT => Ok(weight),
        _ => Err(format!("a weight is 0 to {MAX_WEIGHT}, not {weight:?}")),
    });
    Ok(Weighed { node, weight: weight.transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound_and_every_command_has_an_example() {
        let mut command = Cli::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands_mut() {
            let name = sub.get_name().to_owned();
            let help = sub.render_long_help().to_string();
            assert!(help.contains(&format!("ringway {name}")), "{name} has no example: {help}");
        }
    }

    #[test]
    fn a_position_is_read_whole() {
        let read = |text| position(text).map(|read| (read.epoch.to_string(), read.offset, read.ts));
        assert_eq!(read("e-1:7"), Ok(("e-1".to_owned(), 7, None)));
        assert_eq!(read("e-1:0:9"), Ok(("e-1".to_owned(), 0, Some(9))));
        for wrong in ["", "e", "e:", ":7", "e:-1", "e:7:", "e:7:8:9", "e_:7"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_node_comes_with_a_weight_or_without() {
        let read = |text| weighed(text).map(|read| (read.node.to_string(), read.weight));
        assert_eq!(read("n4"), Ok(("n4".to_owned(), None)));
        assert_eq!(read("n4=16"), Ok(("n4".to_owned(), Some(16))));
        for wrong in ["n4=17", "n4=-1", "n4=", "n4=1=2", "=1", "a b"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
