//! `ringway ring plan`: what would move if a pool had other nodes.

use std::collections::BTreeMap;
use std::path::Path;

use ringway_protocol::PoolId;
use ringway_ring::{Change, NodeId, Plan, SLOTS};
use serde_json::json;

use crate::args::{Ring, RingPlan, Weighed};
use crate::cluster_page::ClusterPage;
use crate::configuration;
use crate::exit::Failure;
use crate::running;
use crate::table;

pub(crate) fn run(args: &Ring) -> Result<(), Failure> {
    let Ring::Plan(args) = args;
    if args.add.is_empty() && args.remove.is_empty() && args.weigh.is_empty() {
        return Err(Failure::Use("nothing to plan: give --add, --remove or --weigh".into()));
    }
    let page = crate::block_on(async {
        match &args.config {
            Some(file) => by_config(file).await,
            None => ClusterPage::ask(&args.url).await,
        }
    })?;
    let pool = pool(&page, args)?;
    let nodes = page.placed(&pool);
    let plan = Plan::new(&nodes, &changes(&nodes, args)?);
    let connections: BTreeMap<&NodeId, u64> =
        page.nodes.iter().map(|node| (&node.said.id, node.said.connections)).collect();
    let report = Report { pool, plan, connections };
    if args.json { crate::print(&report.json().to_string()) } else { crate::print(&report.text()) }
}

async fn by_config(file: &Path) -> Result<ClusterPage, Failure> {
    let config = configuration::read(file)?;
    let nats = config
        .nats
        .ok_or_else(|| Failure::Use(format!("{file:?} has no [nats]: ask the process with --url instead")))?;
    Ok(ClusterPage::of(&*running::view_by_nats(&nats, "ringway ring plan").await?))
}

/// The pool that was named, or the only one.
fn pool(page: &ClusterPage, args: &RingPlan) -> Result<PoolId, Failure> {
    if let Some(pool) = &args.pool {
        return Ok(pool.clone());
    }
    match *page.pools() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::Use("no node is there: name the pool with --pool to plan its first".into())),
        ref several => {
            let names: Vec<_> = several.iter().map(ToString::to_string).collect();
            Err(Failure::Use(format!("there are several pools; give --pool: {}", names.join(", "))))
        }
    }
}

/// What is asked, in the order: goes, comes, weighs.
fn changes(nodes: &[(NodeId, u8)], args: &RingPlan) -> Result<Vec<Change>, Failure> {
    let is_there = |id: &NodeId| nodes.iter().any(|(node, _)| node == id);
    let known = || nodes.iter().map(|(node, _)| node.to_string()).collect::<Vec<_>>().join(", ");
    let mut changes = Vec::new();
    for node in &args.remove {
        if !is_there(node) {
            return Err(Failure::Use(format!("--remove {node}: there is no such node among {}", known())));
        }
        changes.push(Change::Remove(node.clone()));
    }
    for Weighed { node, weight } in &args.add {
        if is_there(node) && !args.remove.contains(node) {
            return Err(Failure::Use(format!(
                "--add {node}: it is there already; --weigh changes its weight"
            )));
        }
        changes.push(Change::Weigh { node: node.clone(), weight: weight.unwrap_or(1) });
    }
    for Weighed { node, weight } in &args.weigh {
        let weight =
            weight.ok_or_else(|| Failure::Use(format!("--weigh {node}: say which: --weigh {node}=2")))?;
        if !is_there(node) {
            return Err(Failure::Use(format!("--weigh {node}: there is no such node among {}", known())));
        }
        changes.push(Change::Weigh { node: node.clone(), weight });
    }
    Ok(changes)
}

/// What is told of a plan.
struct Report<'a> {
    pool: PoolId,
    plan: Plan,
    connections: BTreeMap<&'a NodeId, u64>,
}

impl Report<'_> {
    /// Connections that would move with so many slots of a node: its own, by the share of its slots. An estimate: slots
    /// aren't equally busy.
    fn connections_with(&self, from: Option<&NodeId>, slots: u16) -> u64 {
        let Some(from) = from else { return 0 };
        let all = self.plan.before().slots_of(from).count() as u64;
        let connections = self.connections.get(from).copied().unwrap_or(0);
        (connections * u64::from(slots)).checked_div(all).unwrap_or(0)
    }

    fn totals(&self) -> (u64, u64) {
        self.plan.moves().iter().fold((0, 0), |(slots, connections), one| {
            let moved = self.connections_with(one.from.as_ref(), one.slots);
            (slots + u64::from(one.slots), connections + moved)
        })
    }

    fn json(&self) -> serde_json::Value {
        let moves: Vec<_> = self
            .plan
            .moves()
            .iter()
            .map(|one| {
                json!({
                    "from": one.from.as_ref().map(NodeId::as_str),
                    "to": one.to.as_ref().map(NodeId::as_str),
                    "slots": one.slots,
                    "connections": self.connections_with(one.from.as_ref(), one.slots),
                })
            })
            .collect();
        let (slots, connections) = self.totals();
        json!({ "pool": self.pool.as_str(), "slots": slots, "connections": connections, "moves": moves })
    }

    fn text(&self) -> String {
        let (slots, connections) = self.totals();
        let share = slots as f64 / f64::from(SLOTS) * 100.0;
        let mut text = format!(
            "pool {}: {slots} of {SLOTS} slots ({share:.1} %) and about {connections} connections would move\n\n",
            self.pool
        );
        let mut moves = table::new(&["FROM", "TO", "SLOTS", "CONNECTIONS"], 2);
        let name =
            |node: &Option<NodeId>| node.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
        for one in self.plan.moves() {
            let connections = self.connections_with(one.from.as_ref(), one.slots);
            moves.add_row([name(&one.from), name(&one.to), one.slots.to_string(), format!("~{connections}")]);
        }
        text.push_str(&table::text(&moves));
        let mut nodes = table::new(&["NODE", "WEIGHT", "SLOTS NOW", "THEN"], 1);
        let mut all: BTreeMap<&NodeId, u8> = BTreeMap::new();
        all.extend(self.plan.before().members().iter().map(|(node, weight)| (node, *weight)));
        all.extend(self.plan.after().members().iter().map(|(node, weight)| (node, *weight)));
        for (node, weight) in all {
            let slots = |slots: &ringway_ring::SlotTable| slots.slots_of(node).count().to_string();
            nodes.add_row([
                node.to_string(),
                weight.to_string(),
                slots(self.plan.before()),
                slots(self.plan.after()),
            ]);
        }
        text.push_str("\n\n");
        text.push_str(&table::text(&nodes));
        text
    }
}
