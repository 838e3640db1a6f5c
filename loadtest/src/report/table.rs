//! A table, written as HTML or as Markdown.

use std::fmt::Write as _;

use super::spread::Spread;
use super::unit::Unit;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Soft,
    Good,
    Bad,
}

/// A text with, in smaller type, what belongs to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) aside: Option<String>,
    pub(super) tone: Tone,
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub(super) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone, aside: None }
    }

    /// A median and its range.
    pub(super) fn spread(unit: Unit, spread: &Spread) -> Self {
        Self { text: unit.show(spread.median), aside: unit.range(spread), tone: Tone::Plain }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    /// Ringway's own.
    pub(super) ours: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) title: String,
    /// What stands above each column, and whether it holds words (else numbers, to the right).
    pub(super) heads: Vec<(String, bool)>,
    pub(super) rows: Vec<Row>,
}

impl Table {
    /// Without columns in which no row says anything.
    pub(super) fn without_empty_columns(mut self) -> Self {
        let said: Vec<bool> = (0..self.heads.len())
            .map(|column| self.rows.iter().any(|row| !row.cells[column].text.is_empty()))
            .collect();
        for row in &mut self.rows {
            let mut said = said.iter();
            row.cells.retain(|_| said.next().is_some_and(|said| *said));
        }
        let mut said = said.iter();
        self.heads.retain(|_| said.next().is_some_and(|said| *said));
        self
    }

    pub(super) fn html(&self) -> String {
        let mut out = String::from("<div class=\"scroll\"><table><thead><tr>");
        for (head, words) in &self.heads {
            let class = if *words { " class=\"words\"" } else { "" };
            let _ = write!(out, "<th{class} scope=\"col\">{}</th>", escape(head));
        }
        out.push_str("</tr></thead><tbody>\n");
        // Room for asides in the whole column, so that what they belong to stands in line.
        let with_asides: Vec<bool> = (0..self.heads.len())
            .map(|column| {
                !self.heads[column].1 && self.rows.iter().any(|row| row.cells[column].aside.is_some())
            })
            .collect();
        for row in &self.rows {
            out.push_str(if row.ours { "<tr class=\"ours\">" } else { "<tr>" });
            for (place, (cell, (_, words))) in row.cells.iter().zip(&self.heads).enumerate() {
                let tone = match cell.tone {
                    Tone::Plain => "",
                    Tone::Soft => "soft",
                    Tone::Good => "good",
                    Tone::Bad => "bad",
                };
                let class = [if *words { "words" } else { "" }, tone].join(" ");
                let tag = if place == 0 { "th" } else { "td" };
                let class = class.trim();
                let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
                let _ = write!(out, "<{tag}{class}>{}", escape(&cell.text));
                if cell.aside.is_some() || with_asides[place] {
                    let aside = cell.aside.as_deref().unwrap_or_default();
                    let _ = write!(out, " <small>{}</small>", escape(aside));
                }
                let _ = write!(out, "</{tag}>");
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody></table></div>\n");
        out
    }

    pub(super) fn markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = String>| {
            cells.fold(String::from("|"), |line, cell| format!("{line} {} |", cell.replace('|', "\\|")))
                + "\n"
        };
        let mut out = line(&mut self.heads.iter().map(|head| head.0.clone()));
        out.push('|');
        out.extend(self.heads.iter().map(|(_, words)| if *words { "---|" } else { "--:|" }));
        out.push('\n');
        for row in &self.rows {
            out += &line(&mut row.cells.iter().enumerate().map(|(place, cell)| {
                let aside = cell.aside.as_ref().map_or(String::new(), |aside| format!(" [{aside}]"));
                let bold = if row.ours && place == 0 { "**" } else { "" };
                format!("{bold}{}{bold}{aside}", cell.text)
            }));
        }
        out
    }
}

/// Text that HTML takes for text.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            title: "t".into(),
            heads: vec![("target".into(), true), ("cost".into(), false), ("nothing".into(), false)],
            rows: vec![
                Row {
                    cells: vec![
                        Cell::text("a|<b>"),
                        Cell { aside: Some("1–2".into()), ..Cell::text("1.5") },
                        Cell::default(),
                    ],
                    ours: true,
                },
                Row {
                    cells: vec![Cell::text("c"), Cell::toned("3 lost", Tone::Bad), Cell::default()],
                    ours: false,
                },
            ],
        }
    }

    #[test]
    fn what_names_hold_stays_text() {
        assert_eq!(escape("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
        let html = table().html();
        assert!(html.contains("a|&lt;b&gt;") && !html.contains("<b>"), "{html}");
        assert!(html.contains("class=\"bad\""), "{html}");
    }

    #[test]
    fn markdown_has_a_line_a_row() {
        let markdown = table().without_empty_columns().markdown();
        assert_eq!(markdown, "| target | cost |\n|---|--:|\n| **a\\|<b>** | 1.5 [1–2] |\n| c | 3 lost |\n");
    }
}
