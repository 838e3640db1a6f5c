//! The report as a whole, over made-up runs.

use std::fs;

use super::book::{Book, phase};
use super::figure::{Figure, Place, Trouble};
use super::sample;
use super::{headline, write};
use crate::result::Run;

fn of(script: &str, target: &str) -> Vec<Run> {
    sample::runs().into_iter().filter(|run| run.script == script && run.target == target).collect()
}

fn place<'a>(target: &'a str, phase: &'a str) -> Place<'a> {
    Place { script: "core", target, phase, role: None }
}

/// A run whose server took so many microseconds a delivery in `single`.
fn costing(run: &Run, repetition: usize, micros: f64) -> Run {
    let mut run = Run { repetition, ..run.clone() };
    for phase in run.phases.iter_mut().filter(|phase| phase.name == "single") {
        phase.roles.retain(|role, _| role == "server" || role == "node");
        for used in phase.roles.values_mut() {
            used.cpu = micros * phase.deliveries as f64 / 1e6;
        }
    }
    run
}

#[test]
fn a_directory_of_runs_becomes_a_report_of_every_target() {
    let directory = tempfile::tempdir().expect("a directory");
    // To look at it: set to a directory that is to be filled.
    let keep = std::env::var_os("RINGWAY_SAMPLE_REPORT");
    let directory = keep.as_deref().map_or(directory.path(), std::path::Path::new);
    fs::create_dir_all(directory.join("runs")).expect("it can be made");
    for (number, run) in sample::runs().iter().enumerate() {
        let text = serde_json::to_string(run).expect("runs are JSON");
        fs::write(directory.join(format!("runs/{number}.json")), text).expect("it can be written");
    }
    fs::write(directory.join("runs/half.json"), "{\"plan\": \"sam").expect("it can be written");
    write(directory).expect("it becomes a report");

    let html = fs::read_to_string(directory.join("report.html")).expect("there is a page");
    let markdown = fs::read_to_string(directory.join("report.md")).expect("there are tables");
    for target in sample::TARGETS {
        assert!(html.contains(&super::table::escape(target)), "{target} in the page");
        assert!(markdown.contains(target), "{target} in the tables");
    }
    assert!(!html.contains("<haproxy>"), "names are text");
    for wanted in [
        "Phoenix",
        "needs Erlang &amp; Elixir",
        "3,702 lost, 9 out of order",
        "half.json",
        "curious",
        "2026-01-31",
    ] {
        assert!(html.contains(wanted), "{wanted} in the page");
    }
    for foreign in ["<script", "http://www.w3.org/1999", "src=", "@import", "url("] {
        assert!(!html.contains(foreign), "{foreign}: the page needs nothing else");
    }
}

#[test]
fn no_runs_are_an_error_that_names_the_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    assert!(write(directory.path()).is_err());
    fs::create_dir(directory.path().join("runs")).expect("it can be made");
    let error = write(directory.path()).expect_err("there is nothing to report");
    assert!(error.to_string().contains("no run in"), "{error}");
}

#[test]
fn a_repetition_is_compared_with_its_own_floor() {
    let (floor, ours) = (&of("core", "floor")[0], &of("core", "ringway direct")[0]);
    let book = Book::new(vec![
        costing(floor, 0, 5.0),
        costing(ours, 0, 5.5),
        costing(floor, 1, 10.0),
        costing(ours, 1, 12.0),
        // The machine was twice as slow, and no worse for it.
        costing(floor, 2, 20.0),
        costing(ours, 2, 26.0),
    ]);
    let ratio =
        book.ratio(place("ringway direct", "single"), Figure::CpuPerDelivery).expect("there is a floor");
    assert!((ratio.median - 1.2).abs() < 1e-9, "{ratio:?}");
    assert!((ratio.least - 1.1).abs() < 1e-9 && (ratio.greatest - 1.3).abs() < 1e-9, "{ratio:?}");
}

#[test]
fn a_repetition_without_its_floor_says_nothing() {
    let (floor, ours) = (&of("core", "floor")[0], &of("core", "ringway direct")[0]);
    let gone = Run { absent: Some("broke".into()), ..costing(floor, 1, 1.0) };
    let book = Book::new(vec![costing(floor, 0, 5.0), costing(ours, 0, 5.0), costing(ours, 1, 50.0), gone]);
    let ratio =
        book.ratio(place("ringway direct", "single"), Figure::CpuPerDelivery).expect("one has a floor");
    assert_eq!((ratio.of, ratio.median), (1, 1.0));
    let alone = Book::new(vec![costing(ours, 0, 5.0)]);
    assert_eq!(alone.ratio(place("ringway direct", "single"), Figure::CpuPerDelivery), None);
    assert!(alone.spread(place("ringway direct", "single"), Figure::CpuPerDelivery).is_some());
}

#[test]
fn what_stands_beside_is_not_the_server() {
    let book = Book::new(sample::runs());
    assert_eq!(book.roles("core", "ringway gateway"), ["gateway", "node"]);
    assert_eq!(book.roles("core", "Socket.IO"), ["server"]);
    let run = &of("core", "ringway gateway")[0];
    let [all, gateway, node] = [None, Some("gateway"), Some("node")]
        .map(|role| book.value(run, "single", role, Figure::CpuPerDelivery).expect("it was measured"));
    assert!((all - gateway - node).abs() < 1e-6, "{all} {gateway} {node}");
}

#[test]
fn memory_is_what_came_since_before_the_first_connection() {
    let mut run = of("memory", "floor").remove(0);
    for phase in &mut run.phases {
        phase.connections = if phase.name == "left" { 0 } else { 1_000 };
        let used = phase.roles.get_mut("server").expect("the floor is a server");
        (used.rss_before, used.rss_after) = match phase.name.as_str() {
            "connect" => (10_000_000, 11_000_000),
            "left" => (11_700_000, 10_100_000),
            _ => (11_000_000, 11_500_000),
        };
    }
    let book = Book::new(vec![run.clone()]);
    assert_eq!(book.value(&run, "idle", None, Figure::Memory), Some(1_500.0));
    assert_eq!(book.value(&run, "left", None, Figure::Memory), Some(100.0), "of the connections that were");
    assert_eq!(book.value(&run, "single", None, Figure::Memory), None);
}

#[test]
fn what_went_wrong_is_summed_and_said() {
    let runs = of("core", "websockets");
    let trouble = Trouble::of(runs.iter().filter_map(|run| phase(run, "eight")));
    assert_eq!(trouble.words(), ["3,702 lost", "9 out of order"]);
    let fine = Trouble::of(runs.iter().filter_map(|run| phase(run, "single")));
    assert!(fine.words().is_empty());
}

#[test]
fn every_bar_has_its_verdict_or_says_that_it_has_none() {
    let whole = headline::table(&Book::new(sample::runs())).markdown();
    assert!(whole.contains("met") && whole.contains("missed") && !whole.contains("not measured"), "{whole}");
    let alone = headline::table(&Book::new(of("core", "floor"))).markdown();
    assert!(alone.lines().count() > 2);
    assert_eq!(alone.matches("not measured").count(), alone.lines().count() - 2, "{alone}");
    let other = headline::table(&Book::new(of("echo", "floor")));
    assert!(other.rows.is_empty(), "no bar is set for it");
}

#[test]
fn the_later_of_two_runs_counts() {
    let floor = &of("core", "floor")[0];
    let later = Run { at: floor.at + 1, ..costing(floor, 0, 9.0) };
    let book = Book::new(vec![later, costing(floor, 0, 5.0)]);
    let cost = book.spread(place("floor", "single"), Figure::CpuPerDelivery).expect("it was measured");
    assert!((cost.median - 9.0).abs() < 1e-9 && cost.of == 1, "{cost:?}");
}
