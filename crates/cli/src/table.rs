//! Tables for people: no lines, columns two spaces apart.

use comfy_table::{CellAlignment, Table};

/// An empty table. Columns but the first `left` hold numbers, and stand to the right.
pub(crate) fn new(header: &[&str], left: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(header.iter().copied());
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index >= left {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Its text, without the spaces that pad the last column.
pub(crate) fn text(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
