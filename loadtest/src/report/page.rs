//! The report as one HTML page that needs nothing else, and its tables as Markdown.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use super::book::Book;
use super::plot::{Group, Plot};
use super::table::{Table, escape};
use super::unit::Unit;
use super::{headline, placed, relay, slow, tables};
use crate::result::Machine;

const STYLE: &str = include_str!("style.css");

/// How to read it.
const READING: &str = "The floor is one thread that writes the same finished frame with one send to each socket: what \
                       the kernel takes, whoever asks. A ratio is a target's CPU time over the floor's in the same \
                       phase of the same repetition, so it travels between machines, which times do not; figures are \
                       medians, the least and the greatest repetition beside them.";

/// What stands below the headlines.
const FINE_PRINT: &str = "A bar is met by the median. “Server” is every process but NATS and Redis; a KB is 1,000 bytes. \
                          Memory is resident, over what the server held before the first connection. \
                          Where connections come and go during deliveries, these bear the cost.";

/// The whole page.
pub(super) fn html(book: &Book, groups: &[Group]) -> String {
    let mut out = String::new();
    let title = format!("Ringway load test: {}", plan(book));
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<header>\n<h1>{0}</h1>\n",
        escape(&title)
    );
    for line in circumstances(book) {
        let _ = writeln!(out, "<p class=\"meta\">{}</p>", escape(&line));
    }
    let _ = writeln!(out, "<p class=\"lead\">{}</p>\n</header>", escape(READING));

    let headline = headline::table(book);
    if !headline.rows.is_empty() {
        let _ = writeln!(out, "<section class=\"headline\">\n<h2>{}</h2>", escape(&headline.title));
        let _ = writeln!(out, "{}<p class=\"about\">{}</p>\n</section>", headline.html(), escape(FINE_PRINT));
    }

    let relay = relay::table(book);
    if !relay.rows.is_empty() {
        let _ = writeln!(out, "<section class=\"headline\">\n<h2>{}</h2>", escape(&relay.title));
        let _ = writeln!(out, "{}</section>", relay.html());
    }

    for group in groups {
        section_of_plots(&mut out, group);
    }
    for script in book.scripts() {
        let _ = writeln!(out, "<section>\n<h2>Script {}</h2>", escape(script));
        let _ = writeln!(out, "<p class=\"about\">{}</p>", escape(&repeated(book, script)));
        if let Some(table) = slow::of_script(book, script).or_else(|| placed::of_script(book, script)) {
            let _ = writeln!(out, "<h3>{}</h3>\n{}", escape(&table.title), table.html());
        }
        for phase in book.phases(script) {
            let tables = tables::of_phase(book, script, phase);
            if tables.is_empty() {
                continue;
            }
            let about = tables::about(book, script, phase);
            let _ = writeln!(out, "<h3>{}</h3>\n<p class=\"about\">{}</p>", escape(phase), escape(&about));
            out.extend(tables.iter().map(Table::html));
        }
        out.push_str("</section>\n");
    }
    for table in std::iter::once(tables::versions(book)).chain(tables::absent(book)) {
        let _ =
            writeln!(out, "<section class=\"wrap\">\n<h2>{}</h2>\n{}</section>", table.title, table.html());
    }
    notes(&mut out, book);
    let _ = writeln!(
        out,
        "<section>\n<h2>To do it again</h2>\n<pre>{}</pre>\n</section>\n</body>\n</html>",
        escape(&commands(book))
    );
    out
}

/// The tables alone.
pub(super) fn markdown(book: &Book) -> String {
    let mut out = String::new();
    let mut table = |level: &str, title: &str, about: &str, table: &Table| {
        let _ = writeln!(out, "{level} {title}\n");
        if !about.is_empty() {
            let _ = writeln!(out, "{about}\n");
        }
        let _ = writeln!(out, "{}", table.markdown());
    };
    let headline = headline::table(book);
    if !headline.rows.is_empty() {
        table("##", &headline.title, &circumstances(book).join(" "), &headline);
    }
    let relay = relay::table(book);
    if !relay.rows.is_empty() {
        table("##", &relay.title, &relay::troubles(book).join("; "), &relay);
    }
    for script in book.scripts() {
        if let Some(one) = slow::of_script(book, script).or_else(|| placed::of_script(book, script)) {
            table("##", &one.title, "", &one);
        }
        for phase in book.phases(script) {
            let about = tables::about(book, script, phase);
            for one in tables::of_phase(book, script, phase) {
                table("###", &one.title, &about, &one);
            }
        }
    }
    for one in std::iter::once(tables::versions(book)).chain(tables::absent(book)) {
        table("##", &one.title, "", &one);
    }
    let _ = writeln!(out, "```\n{}\n```", commands(book));
    out
}

fn section_of_plots(out: &mut String, group: &Group) {
    let _ = writeln!(out, "<section>\n<h2>{}</h2>", escape(&group.title));
    if !group.about.is_empty() {
        let _ = writeln!(out, "<p class=\"about\">{}</p>", escape(group.about));
    }
    out.push_str("<div class=\"plots\">\n");
    for plot in group.plots.iter().filter(|plot| !plot.folded) {
        figure(out, plot);
    }
    let folded: Vec<&Plot> = group.plots.iter().filter(|plot| plot.folded).collect();
    if !folded.is_empty() {
        let _ = writeln!(out, "<details><summary>{} more</summary>\n<div class=\"plots\">", folded.len());
        for plot in folded {
            figure(out, plot);
        }
        out.push_str("</div>\n</details>\n");
    }
    out.push_str("</div>\n</section>\n");
}

fn figure(out: &mut String, plot: &Plot) {
    let class = if plot.half { " class=\"half\"" } else { "" };
    let _ = write!(out, "<figure{class}>\n<figcaption>{}", escape(&plot.title));
    if let [first, second] = plot.legend[..] {
        let (first, second) = (escape(first), escape(second));
        let _ = write!(out, "<span class=\"legend\"><i></i>{first}<i class=\"pale\"></i>{second}</span>");
    }
    let _ = writeln!(
        out,
        "</figcaption>\n<div class=\"wide\">{}</div>\n<div class=\"narrow\">{}</div>\n</figure>",
        plot.wide, plot.narrow
    );
}

/// What the runs themselves had to say.
fn notes(out: &mut String, book: &Book) {
    let mut notes: Vec<(String, usize)> = Vec::new();
    let mut note = |text: String| match notes.iter_mut().find(|known| known.0 == text) {
        Some(known) => known.1 += 1,
        None => notes.push((text, 1)),
    };
    for run in book.all() {
        for phase in &run.phases {
            for text in phase.notes.iter().chain(&phase.left_over) {
                note(format!("{}, {}, {}: {text}", run.script, phase.name, run.target));
            }
        }
    }
    for text in &book.unreadable {
        note(format!("left out, since it can't be read: {text}"));
    }
    if notes.is_empty() {
        return;
    }
    out.push_str("<section>\n<h2>Notes</h2>\n<ul class=\"bad\">\n");
    for (text, times) in notes {
        let times = if times > 1 { format!(" ({times} times)") } else { String::new() };
        let _ = writeln!(out, "<li>{}{times}</li>", escape(&text));
    }
    out.push_str("</ul>\n</section>\n");
}

/// When and where: date, machine, load.
fn circumstances(book: &Book) -> Vec<String> {
    let starts = || book.all().iter().map(|run| run.at);
    let mut when = day(starts().min().unwrap_or(0));
    let last = day(starts().max().unwrap_or(0));
    if when != last {
        when = format!("{when} to {last}");
    }
    let mut machines: Vec<&Machine> = Vec::new();
    for run in book.all() {
        let same = |known: &&Machine| known.cpu == run.machine.cpu && known.kernel == run.machine.kernel;
        if !machines.iter().any(same) {
            machines.push(&run.machine);
        }
    }
    let loads = || book.all().iter().map(|run| run.machine.load);
    let mut lines = vec![when];
    for machine in machines {
        lines.push(format!(
            "{}, {} cores, {:.0} GiB, {}; servers on {}, generator on {}.",
            machine.cpu,
            machine.cores,
            machine.memory_gib,
            machine.kernel,
            cores(&machine.servers_on),
            cores(&machine.generator_on),
        ));
    }
    lines.push(format!(
        "Load average when a run began: {:.1} to {:.1}.",
        loads().fold(f64::INFINITY, f64::min),
        loads().fold(0.0, f64::max)
    ));
    // A sentence each, whether in lines or in one.
    lines[0].push('.');
    lines
}

fn cores(cores: &[usize]) -> String {
    match cores {
        [] => "any core".to_owned(),
        [one] => format!("core {one}"),
        several => {
            format!("cores {}", several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
    }
}

/// `2026-01-31`, UTC.
fn day(seconds: u64) -> String {
    let mut day = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
    day.truncate("2026-01-31".len());
    day
}

fn repeated(book: &Book, script: &str) -> String {
    let targets = book.targets(script).len();
    let named = if targets == 1 { "target" } else { "targets" };
    let times = match book.repetitions(script) {
        1 => "one repetition".to_owned(),
        several => format!("{several} repetitions, interleaved"),
    };
    format!("{} {named}, {times}.", Unit::Count.show(targets as f64))
}

fn plan(book: &Book) -> String {
    let mut plans: Vec<&str> = book.all().iter().map(|run| run.plan.as_str()).collect();
    plans.sort_unstable();
    plans.dedup();
    plans.join(", ")
}

/// What was typed, each once, in the order of its first run.
fn commands(book: &Book) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut runs: Vec<_> = book.all().iter().collect();
    runs.sort_by_key(|run| run.at);
    for run in runs {
        if !lines.contains(&run.command.as_str()) {
            lines.push(&run.command);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_cores_in_words() {
        assert_eq!(day(1_769_817_600), "2026-01-31");
        assert_eq!(cores(&[]), "any core");
        assert_eq!(cores(&[0]), "core 0");
        assert_eq!(cores(&[1, 2]), "cores 1, 2");
    }
}
