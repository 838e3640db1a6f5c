//! `ringway store split`: a store's rooms are divided among more streams.

use anyhow::{Context as _, anyhow};
use ringway_backplane::nats::SplitError;
use ringway_backplane::store::StoreKey;

use crate::args::{Store, StoreSplit};
use crate::configuration;
use crate::exit::Failure;
use crate::running;

pub(crate) fn run(args: &Store) -> Result<(), Failure> {
    let Store::Split(args) = args;
    crate::block_on(split(args))
}

async fn split(args: &StoreSplit) -> Result<(), Failure> {
    let StoreSplit { group, store, into, config: file } = args;
    let config = configuration::read(file)?;
    if !config.stores.contains_key(store) {
        let known = config.stores.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {known}") };
        return Err(Failure::Use(format!("{} has no store {store}: {known}", file.display())));
    }
    let Some(nats) = &config.nats else {
        return Err(Failure::Use(format!("{} has no [nats]: stores are kept there", file.display())));
    };
    let backplane = running::connect(nats, "ringway store split").await?;
    let key = StoreKey { group: group.clone(), store: store.clone() };
    let stores = backplane.stores().context("NATS has stores")?;
    let mut told = None;
    let tell = |progress: ringway_backplane::nats::SplitProgress| {
        // The same again is no news, and a reader that went away doesn't end a split.
        let line = progress.to_string();
        if told.as_ref() != Some(&line) {
            let _ = crate::print(&line);
            told = Some(line);
        }
    };
    let ended = stores.split(&key, *into, tell).await;
    backplane.close().await;
    ended.map_err(|error| match error {
        SplitError::Impossible(_) => Failure::Use(error.to_string()),
        SplitError::Away(_) | SplitError::HalfWay(_) => Failure::Other(anyhow!(error)),
    })
}
