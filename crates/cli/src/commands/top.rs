//! `ringway top`: the cluster as a table that renews itself.

mod screen;

use std::io::IsTerminal;

use tokio::time::{MissedTickBehavior, interval};

use crate::args::Top;
use crate::cluster_page::ClusterPage;
use crate::exit::Failure;

/// Where the cursor goes before each screen, and what is cleared: what stands below it.
const HOME: &str = "\x1b[H\x1b[J";
/// Once, at first.
const CLEAR: &str = "\x1b[2J";

pub(crate) fn run(args: &Top) -> Result<(), Failure> {
    crate::block_on(async {
        let renews = !args.once && std::io::stdout().is_terminal();
        let mut ticks = interval(args.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shown = false;
        loop {
            ticks.tick().await;
            let screen = match ClusterPage::ask(&args.url).await {
                Ok(page) => screen::of(&page, args.rooms),
                // A process that restarts is back soon; one that never answered is the wrong one.
                Err(failure) if renews && shown => format!("{failure}\n"),
                Err(failure) => return Err(failure),
            };
            if !renews {
                return crate::print(screen.trim_end());
            }
            let first = if shown { "" } else { CLEAR };
            shown = true;
            crate::print(&format!("{first}{HOME}{}  {}", args.url, screen.trim_end()))?;
        }
    })
}
