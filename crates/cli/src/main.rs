//! The binary `ringway`: wires the parts together and holds no decisions of its own.

mod args;
mod buffers;
mod carried;
mod cluster_page;
mod commands;
mod configuration;
mod descriptors;
mod exit;
mod page;
mod reload;
mod running;
mod secret;
mod table;

use std::process::ExitCode;
use std::time::Duration;

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
        Command::Top(args) => commands::top::run(&args),
        Command::Ring(args) => commands::ring::run(&args),
        Command::Store(args) => commands::store::run(&args),
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

/// How long the end of a command waits for files that are being read.
const FILES: Duration = Duration::from_secs(1);

/// Runs a command that needs a runtime.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(FILES);
    result
}
