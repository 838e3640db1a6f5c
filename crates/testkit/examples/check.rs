//! Holds histories against the promises: `cargo run -p ringway-testkit --example check FILE` (none: standard input). The
//! lines are those of `transcript/lines.rs`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::fs::File;
use std::io::{BufReader, Read};
use std::process::ExitCode;

use ringway_testkit::transcript::Rooms;

fn main() -> ExitCode {
    let input: Box<dyn Read> = match std::env::args().nth(1) {
        None => Box::new(std::io::stdin()),
        Some(path) => match File::open(&path) {
            Ok(file) => Box::new(file),
            Err(error) => {
                eprintln!("{path}: {error}");
                return ExitCode::from(2);
            }
        },
    };
    match Rooms::read_lines(BufReader::new(input)) {
        Ok(rooms) => {
            let verdicts = rooms.check();
            print!("{verdicts}");
            ExitCode::from(u8::from(!verdicts.kinds().is_empty()))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
