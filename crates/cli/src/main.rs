//! The binary `ringway`: wires the parts together and holds no decisions of its own.

mod args;
mod buffers;
mod carried;
mod commands;
mod configuration;
mod descriptors;
mod exit;
mod page;
mod running;
mod secret;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use exit::Failure;

/// Chosen by measurement (ARCHITECTURE.md): the fewest bytes a connection, and the most given back when they have gone.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Dev(args) => commands::dev::run(&args),
        Command::Serve(args) => commands::serve::run(&args.config),
        Command::Gateway(args) => commands::gateway::run(&args.config),
        Command::Node(args) => commands::node::run(&args.config),
        Command::CheckConfig { file } => commands::check_config::run(&file),
        Command::Locate(args) => commands::locate::run(&args),
        Command::Token(args) => commands::token::run(&args),
        Command::Sub(args) => commands::sub::run(&args),
        Command::Pub(args) => commands::publish::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("ringway: {failure}"));
            failure.code()
        }
    }
}

/// To a person, beside what the command prints.
#[allow(clippy::print_stderr)]
fn say(line: &str) {
    eprintln!("{line}");
}

/// What the command is asked for.
#[allow(clippy::print_stdout)]
fn print(line: &str) -> Result<(), Failure> {
    use std::io::Write;
    // A reader that went away (`| head`) ends the command, not in a panic.
    writeln!(std::io::stdout(), "{line}").map_err(Failure::from)
}

/// Runs a command that needs a runtime.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
