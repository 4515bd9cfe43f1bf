//! `cargo xtask bench`: what the server does in a second, against what it stands on.
//!
//! Absolute figures say more about a machine than about a program. Each benchmark therefore measures two sides in turn,
//! in the same minute, and its goal is a ratio of both. The server is the program as it is shipped, in a process of its
//! own, over HTTP. Everything that a run writes is below `target/bench`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};

use crate::payments::Payments;
use crate::report::Report;

mod bare;
mod bulk;
mod client;
mod http;
mod million;
mod mock;
mod payments;
mod postgres;
mod report;
mod server;
mod single;

/// Measures the server; `cargo xtask bench` builds it and runs this
#[derive(Parser)]
struct Args {
    /// Only this one
    #[arg(value_enum)]
    name: Vec<Name>,
    /// The program to measure
    #[arg(long)]
    program: PathBuf,
    #[command(flatten)]
    requests: client::Requests,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    Bulk,
    Single,
    Mock,
    Memory,
    List,
    Postgres,
    Client,
}

/// What all benchmarks work with.
pub(crate) struct Bench {
    root: PathBuf,
    folder: PathBuf,
    program: PathBuf,
    payments: Payments,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether all goals were met.
fn run(args: Args) -> anyhow::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the workspace's folder")?
        .to_owned();
    let bench = Bench {
        folder: root.join("target/bench"),
        payments: Payments::read(&root)?,
        program: args.program,
        root,
    };
    if let Some(ended) = args.requests.run(&bench) {
        return ended.map(|()| true);
    }
    let wanted = |name: Name| args.name.is_empty() || args.name.contains(&name);
    let mut report = Report::default();
    println!(
        "Both sides of a ratio are measured in turn, in this run; compare ratios, not figures of two machines.\n\
         The server is the released program in a process of its own, asked over HTTP, with synchronous=FULL."
    );
    if wanted(Name::Bulk) {
        bulk::run(&bench, &mut report)?;
    }
    if wanted(Name::Single) {
        single::run(&bench, &mut report)?;
    }
    if wanted(Name::Mock) {
        mock::run(&bench, &mut report)?;
    }
    if wanted(Name::Memory) || wanted(Name::List) {
        let million = million::fill(&bench)?;
        if wanted(Name::Memory) {
            million::memory(&million, &mut report)?;
        }
        if wanted(Name::List) {
            million::lists(&bench, &million, &mut report)?;
        }
    }
    if wanted(Name::Postgres) {
        postgres::run(&bench, &mut report)?;
    }
    if wanted(Name::Client) {
        client::run(&bench, &mut report)?;
    }
    match report.missed() {
        [] => println!("\nAll goals were met."),
        missed => println!("\nMissed: {}.", missed.join("; ")),
    }
    Ok(report.missed().is_empty())
}
