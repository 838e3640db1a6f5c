//! Tables and plots from what runs left behind. Reads results, measures nothing.
//!
//! Runs are interleaved, so a figure is compared with the floor's of the same repetition, and said as the median of
//! repetitions with the least and the greatest.

mod book;
mod figure;
mod headline;
mod page;
mod placed;
pub(crate) mod plot;
mod relay;
#[cfg(test)]
mod sample;
mod slow;
pub(crate) mod spread;
mod table;
mod tables;
#[cfg(test)]
mod tests;
pub(crate) mod unit;

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use book::Book;
pub(crate) use figure::slope_a_minute;

/// Makes `report.html` and `report.md` in `directory` from `directory/runs/*.json`.
pub(crate) fn write(directory: &Path) -> anyhow::Result<()> {
    let book = Book::read(directory)?;
    let groups = plot::all(&book)?;
    for (name, text) in [("report.html", page::html(&book, &groups)), ("report.md", page::markdown(&book))] {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
