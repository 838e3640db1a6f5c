//! `ringway ring plan`: what would move if a pool had other nodes.

use std::collections::BTreeMap;
use std::path::Path;

use ringway_protocol::PoolId;
use ringway_ring::{Change, Move, NodeId, Plan, SLOTS};
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
    let report = Report::new(pool, plan, &page);
    if args.json { crate::print(&report.json().to_string()) } else { crate::print(&report.text()) }
}

async fn by_config(file: &Path) -> Result<ClusterPage, Failure> {
    let config = configuration::read(file)?;
    Ok(ClusterPage::of(&*running::view_by_nats(&config, file, "ringway ring plan").await?))
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
struct Report {
    pool: PoolId,
    plan: Plan,
    /// Each with about how many connections.
    moves: Vec<(Move, u64)>,
}

impl Report {
    fn new(pool: PoolId, plan: Plan, page: &ClusterPage) -> Self {
        let slots: BTreeMap<&NodeId, u16> = plan.before().counts().collect();
        let connections: BTreeMap<&NodeId, u64> =
            page.nodes.iter().map(|node| (&node.said.id, node.said.connections)).collect();
        // Those of the giver, by the share of its slots. An estimate: slots aren't equally busy.
        let moved = |one: &Move| {
            let from = one.from.as_ref()?;
            let all = u64::from(*slots.get(from)?);
            (connections.get(from)? * u64::from(one.slots)).checked_div(all)
        };
        let moves = plan.moves().into_iter().map(|one| {
            let connections = moved(&one).unwrap_or(0);
            (one, connections)
        });
        Self { moves: moves.collect(), pool, plan }
    }

    fn totals(&self) -> (u64, u64) {
        let slots = self.moves.iter().map(|(one, _)| u64::from(one.slots)).sum();
        (slots, self.moves.iter().map(|(_, connections)| connections).sum())
    }

    fn json(&self) -> serde_json::Value {
        let moves: Vec<_> = self
            .moves
            .iter()
            .map(|(one, connections)| {
                json!({
                    "from": one.from.as_ref().map(NodeId::as_str),
                    "to": one.to.as_ref().map(NodeId::as_str),
                    "slots": one.slots,
                    "connections": connections,
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
        for (one, connections) in &self.moves {
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
