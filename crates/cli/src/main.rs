//! `layer-payments`: checks, imports, lists, records and updates Layer invoice payments, and serves the API on this
//! machine.

mod args;
mod connection;
mod database;
mod elements;
mod ids;
mod import;
mod ledger;
mod list;
mod output;
mod records;
mod rows;
mod serve;
mod single;
mod source;
mod validate;

use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{Cli, Command, Ledger, LogFormat};
use crate::output::ReaderGone;

/// How a command ended. What didn't even begin is an error, and exit code 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All of it was done.
    Well,
    /// Some of it was done: rows were rejected, or the command stopped half-way. Of a check: it found errors.
    Partly,
    /// None of it was done, which the command has said already. Of a check: it couldn't be done to the end.
    Failed,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Writes what is left of the log when it is dropped, at the end.
    let _log = log(&cli.command);
    let exit = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let result = runtime.block_on(run(cli.command));
            // A thread may still wait for input that never comes.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(anyhow::Error::new(error).context("starting")),
    };
    match exit {
        Ok(Exit::Well) => ExitCode::SUCCESS,
        Ok(Exit::Partly) => ExitCode::from(1),
        Ok(Exit::Failed) => ExitCode::from(2),
        Err(error) if error.is::<ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::from(2)
        }
    }
}

async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Import(args) => import::run(args).await,
        Command::List(args) => list::run(args).await,
        Command::Record(args) => single::record(args).await,
        Command::Update(args) => single::update(args).await,
        Command::Validate(args) => validate::run(&args),
        Command::Serve(args) => serve::run(args).await,
        Command::Migrate(args) => database::migrate(args).await,
        Command::Copy(args) => database::copy(args).await,
        Command::Ledger(Ledger::Check(args)) => ledger::check(args).await,
    }
}

/// Sends the server's log to standard error. `RUST_LOG` chooses what is in it.
///
/// A thread of its own writes it, so that whoever doesn't read it any more can't hold up the server; lines that don't fit
/// into its memory are left out.
fn log(command: &Command) -> WorkerGuard {
    /// A line takes some 200 bytes.
    const MOST_LINES: usize = 20_000;
    let (usual, format) = match command {
        Command::Serve(args) => (LevelFilter::INFO, args.log_format),
        Command::Import(_)
        | Command::List(_)
        | Command::Record(_)
        | Command::Update(_)
        | Command::Validate(_)
        | Command::Migrate(_)
        | Command::Copy(_)
        | Command::Ledger(_) => (LevelFilter::ERROR, LogFormat::Text),
    };
    let filter = EnvFilter::builder()
        .with_default_directive(usual.into())
        .from_env_lossy();
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MOST_LINES)
        .thread_name("log")
        .finish(io::stderr());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(
            format == LogFormat::Text
                && io::IsTerminal::is_terminal(&io::stderr())
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        );
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    guard
}
