//! The project's own tasks; `cargo xtask --help` lists them.
//!
//! One module a task. Each task is a function that takes the workspace's root and the task's options; this file only
//! reads the command line, calls it, and turns its error into a message and an exit code.

mod bench;
mod codegen;
mod dependencies;
mod lint;
mod members;
mod outputs;
mod packages;
mod publish;
mod spec_diff;
mod surface;
mod test;
mod testdata;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::outputs::{Mode, Synced};

/// The project's own tasks.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Make the Rust code that follows from spec/layer-payments.yaml
    ///
    /// Writes crates/types/src/generated.rs (the data types, the index of operations) and
    /// crates/client/src/generated.rs (the operations), and copies the documents that the server publishes into its
    /// crate. Nobody edits these files: edit the document, run this command, and commit both. A mistake in the document is reported with its file, line, column and JSON Pointer; all mistakes
    /// are reported at once, and nothing is written. The same document makes the same bytes.
    Codegen {
        #[command(flatten)]
        check: Check,
        /// Print how much each pass changed
        #[arg(long)]
        verbose: bool,
    },
    /// Lint the documents of spec/ with other projects' linters
    ///
    /// Spectral, Redocly, openapi-spec-validator and openapi-generator, as spec/lint/ sets them up; whatever one of them
    /// says is an error. Installs them into target/tools, which takes the network and a minute once; needs Node.js with
    /// npm, Python 3 with venv, and Java.
    Lint,
    /// Make tests/data/payments.csv, ten thousand plausible payments
    ///
    /// The same code makes the same bytes on every machine; nobody's customers are in it.
    Testdata {
        #[command(flatten)]
        check: Check,
    },
    /// Write down the public surface of the published libraries, crates/*/public-api.txt
    ///
    /// The text shows what a change does to those who build on a crate. It is made with the oldest Rust that the
    /// workspace builds with; where that isn't the one in use, rustup installs it.
    Surface {
        #[command(flatten)]
        check: Check,
    },
    /// Check what the workspace depends on
    ///
    /// Licences, sources, duplicates and forbidden crates by cargo-deny (deny.toml), unused dependencies by cargo-machete.
    /// Installs both into target/tools, which takes the network and two minutes once.
    Dependencies,
    /// Make the package of each published crate and build it, with each of its features
    Packages,
    /// Make dist/, the spec for those who have nothing else of this project
    ///
    /// The documents as YAML and JSON, each type as a JSON Schema, the rules with their test vectors, the examples, pages of
    /// reference, a changelog, and the checksums of all that. The same sources make the same bytes. Refuses when the newest
    /// entry of spec/CHANGELOG.md isn't for the version of the spec. What an earlier run made is replaced.
    Publish {
        /// Make this folder instead
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Tell what the changes of spec/layer-payments.yaml mean for callers and for servers
    ///
    /// Each change since a published version (spec/published/) or a revision of git is trivial, compatible or breaking,
    /// with the cause and what to do about it. What the document's version has to be follows from that: before 1.0 what
    /// breaks takes a new minor version and what is compatible a new patch, from 1.0 on a new major and a new minor one.
    ///
    /// Exit codes: 0 no change or trivial ones; 3 compatible; 4 breaking for servers only; 5 breaking for callers;
    /// 100 nothing could be compared. With --check or --bless: 0 as it should be, 1 otherwise. 2 is a wrong option.
    SpecDiff(spec_diff::Options),
    /// Run every check of the project, as CI does
    ///
    /// Formatting, generated files, the documents' linters, dependencies, lints, all tests, documentation, public surface
    /// and packages, in the order in which they fail fastest. The first failure ends the run and names the command that repeats it alone.
    Test,
    /// Measure the server against what it stands on
    ///
    /// Builds the program as it is released and prints, each with both sides and its goal: bulks against a bare loop that
    /// inserts the same rows (bulk), single payments against the disk's commits (single), requests against Prism's mock
    /// (mock; installs it from npm into target/tools), the memory of a million payments (memory), pages among them (list),
    /// what the client costs a request (client; needs valgrind) and what it costs to build (build; needs Java, installs
    /// openapi-generator from PyPI into target/tools). Without names all run, for about a quarter of an hour and 5 GB below
    /// target/bench. Ends with an error if a goal wasn't met.
    Bench {
        /// Only these
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
}

#[derive(Args)]
struct Check {
    /// Write nothing; fail with the difference if a file is not what the command would write
    #[arg(long)]
    check: bool,
}

impl Check {
    fn mode(&self) -> Mode {
        if self.check { Mode::Check } else { Mode::Write }
    }
}

fn main() -> ExitCode {
    if let Some(code) = surface::stand_in() {
        return code;
    }
    let root = workspace_root();
    let result = match Cli::parse().task {
        Task::Codegen { check, verbose } => codegen::run(&root, check.mode(), verbose).map(report),
        Task::Lint => lint::run(&root),
        Task::Testdata { check } => testdata::run(&root, check.mode()).map(report),
        Task::Surface { check } => surface::run(&root, check.mode()).map(report),
        Task::Dependencies => dependencies::run(&root),
        Task::Packages => packages::run(&root),
        Task::Publish { out } => publish::run(&root, out.as_deref()),
        Task::SpecDiff(options) => return spec_diff::run(&root, &options),
        Task::Test => test::run(&root).map_err(anyhow::Error::msg),
        Task::Bench { names } => bench::run(&root, &names).map_err(anyhow::Error::msg),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Tells what became of the files that a task makes.
fn report(Synced { written, unchanged }: Synced) {
    for path in &written {
        eprintln!("wrote {path}");
    }
    if unchanged > 0 {
        eprintln!(
            "{unchanged} file{} up to date",
            if unchanged == 1 { "" } else { "s" }
        );
    }
}

/// The folder that holds the workspace's manifest. Tasks work from any folder below it.
pub(crate) fn workspace_root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    match manifest.parent() {
        Some(root) => root.to_owned(),
        None => manifest,
    }
}
