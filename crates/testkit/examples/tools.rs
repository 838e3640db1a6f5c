//! Puts what the tests need beside Rust under `target/tools/`, and prints where it is.
//!
//! `nats-version` prints the NATS server's version alone.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let nats = match ringway_testkit::nats::server_path() {
        Ok(path) => path,
        Err(error) => return failed(&error),
    };
    if std::env::args().nth(1).as_deref() == Some("nats-version") {
        let said =
            Command::new(&nats).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
        print!("{}", String::from_utf8_lossy(&said));
        return ExitCode::SUCCESS;
    }
    println!("nats-server  {}", nats.display());
    match ringway_testkit::tools::python_with_websockets() {
        Ok(python) => println!("python       {}", python.display()),
        Err(error) => return failed(&error),
    }
    ExitCode::SUCCESS
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
