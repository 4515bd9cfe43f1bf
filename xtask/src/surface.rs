//! `cargo xtask surface`: writes down the public surface of each published library, a line an item.
//!
//! `public-api.txt` beside a crate's manifest is what others may build on. A change of it is seen in review; a line that
//! goes or changes breaks somebody's build and belongs into CHANGELOG.md.
//!
//! The text comes from rustdoc's JSON, a format that changes with the compiler. So that the text is the same on every
//! machine, one release of Rust makes it, the oldest that the workspace builds with: the one in use if it is that one,
//! otherwise rustup's. The JSON of a released rustdoc takes `RUSTC_BOOTSTRAP`. If the whole build had that variable, the
//! build scripts that look for it would run again and everything after them be compiled anew, so this program stands in
//! for rustdoc and sets it for rustdoc alone.
//!
//! Left out are impls that follow from others (blanket ones) and from fields (`Send` and its like), and the functions of
//! an impl of a trait, which are the trait's. Features beyond the default ones are left out, too: all they add is the
//! JSON Schemas of the types and other ways to TLS. PostgreSQL, which the program turns on for the server, is in.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, anyhow, ensure};
use serde::Deserialize;

use crate::members::{self, Member};
use crate::outputs::{self, Mode, Output, Synced, Task};

/// The release that makes the text, and the number that its JSON bears. It is the `rust-version` of the workspace; the
/// crate `public-api`, pinned in the workspace's manifest, reads this number and no other. All of them change together.
const RUST: &str = "1.95.0";
const FORMAT: u32 = 57;

/// The variable that makes this program stand in for the rustdoc that it names.
const STAND_IN: &str = "XTASK_STANDS_IN_FOR_RUSTDOC";

const TASK: Task<'static> = Task {
    command: "cargo xtask surface",
    banner: None,
};

/// The language's own crates, whose items may show in every surface, as this workspace's own may.
const LANGUAGE: [&str; 3] = ["alloc", "core", "std"];

/// What of other crates a library's surface may show. Everything else is kept inside, errors above all, so that a new
/// major version of a dependency is no new major version of ours.
const FOREIGN: [(&str, &[&str]); 5] = [
    (
        "layer_payments_client",
        &[
            // What every stream combinator builds on; it is 0.3 for good.
            "futures_core::stream::Stream",
            // Times and ids, as in the types.
            "jiff::timestamp::Timestamp",
            // The caller's own HTTP client. The crate is re-exported, so that its version can be met.
            "reqwest::async_impl::client::Client",
            "uuid::Uuid",
        ],
    ),
    ("layer_payments_local", &["uuid::Uuid"]),
    (
        "layer_payments_server",
        &[
            // A rule of faults is sent to a running server as JSON.
            "serde_core::ser::Serialize",
            "uuid::Uuid",
        ],
    ),
    (
        "layer_payments_types",
        &[
            // Times and ids are what the API is made of, and a type of our own would only be converted.
            "jiff::timestamp::Timestamp",
            // What lets a type be read and written.
            "serde_core::de::Deserialize",
            "serde_core::ser::Serialize",
            // JSON of any shape: metadata, and properties that this version doesn't know.
            "serde_json::map::Map",
            "serde_json::value::Value",
            "uuid::Uuid",
        ],
    ),
    // The time that a payment is judged at.
    ("layer_payments_validation", &["jiff::timestamp::Timestamp"]),
];

/// Writes the surfaces, or checks that they are what the code makes.
///
/// # Errors
///
/// An item of a foreign crate that isn't allowed; in [`Mode::Check`], a surface that changed; a toolchain that can't be
/// had; what rustdoc and files say.
pub(crate) fn run(root: &Path, mode: Mode) -> anyhow::Result<Synced> {
    let published = members::published(root)?;
    let members = &published.members;
    let libraries = members
        .iter()
        .filter_map(|member| Some((member, member.library()?)))
        .collect::<Vec<_>>();
    document(root)?;

    let ours = libraries.iter().map(|(_, library)| *library);
    let ours = ours.chain(LANGUAGE).collect::<BTreeSet<_>>();
    let mut outputs = Vec::new();
    let mut complaints = String::new();
    for (member, library) in &libraries {
        let json = published.target.join(format!("doc/{library}.json"));
        let lines = surface(&json).with_context(|| format!("the surface of {}", member.name))?;
        let allowed = FOREIGN.iter().find(|(name, _)| name == library);
        let allowed = allowed.map_or(&[][..], |(_, paths)| *paths);
        complaints.push_str(&complain(library, &foreign(&lines, &ours), allowed));
        outputs.push(output(root, member, &lines));
    }
    ensure!(
        complaints.is_empty(),
        "types of other crates in public; the list of those that may be is FOREIGN in xtask/src/surface.rs:{complaints}"
    );
    outputs::sync(root, &outputs, mode, TASK).map_err(|error| match mode {
        Mode::Write => error,
        Mode::Check => anyhow!(
            "{error:#}\nA line that goes or changes breaks whoever builds on it: name it in CHANGELOG.md."
        ),
    })
}

fn output(root: &Path, member: &Member, lines: &[String]) -> Output {
    let folder = member.folder();
    let folder = folder.strip_prefix(root).unwrap_or(folder);
    let parts = folder.components().map(|part| part.as_os_str());
    let mut path = parts
        .map(|part| part.to_string_lossy().into_owned())
        .collect::<Vec<_>>();
    path.push("public-api.txt".to_owned());
    let mut contents = lines.join("\n");
    contents.push('\n');
    Output {
        path: path.join("/"),
        contents,
    }
}

/// Has rustdoc write its JSON for every library of the workspace. The whole workspace at once, as in the other steps, so
/// that what is built for them serves here.
fn document(root: &Path) -> anyhow::Result<()> {
    let mut cargo = cargo_of_release()?;
    let stand_in = env::current_exe().context("finding this program")?;
    let rustdoc = env::var_os("RUSTDOC").unwrap_or_else(|| OsString::from("rustdoc"));
    members::run(
        cargo
            .current_dir(root)
            .args(["doc", "--workspace", "--lib", "--no-deps", "--locked"])
            .arg("--quiet")
            .env("RUSTDOC", stand_in)
            .env(STAND_IN, rustdoc)
            .env("RUSTDOCFLAGS", "-Z unstable-options --output-format json"),
    )
}

/// The cargo of the release that makes the text.
fn cargo_of_release() -> anyhow::Result<Command> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc)
        .arg("--version")
        .output()
        .context("running rustc --version")?;
    let version = String::from_utf8_lossy(&version.stdout);
    if version.split(' ').nth(1) == Some(RUST) {
        return Ok(members::cargo());
    }
    eprintln!("the surface is worked out with Rust {RUST}, by rustup, as this is {version}");
    let mut probe = Command::new("rustup");
    probe.args(["run", "--install", RUST, "cargo", "--version"]);
    members::run(&mut probe).with_context(|| {
        format!(
            "Rust {RUST} can't be had, and only its rustdoc writes what this reads; `rustup toolchain install {RUST}`, \
             then run this again"
        )
    })?;
    let mut cargo = Command::new("rustup");
    // What the other toolchain's cargo set for its own.
    cargo.env_remove("CARGO").env_remove("RUSTC");
    cargo.args(["run", RUST, "cargo"]);
    Ok(cargo)
}

/// Runs rustdoc in the place of this program, if it was started in rustdoc's place.
pub(crate) fn stand_in() -> Option<ExitCode> {
    let rustdoc = env::var_os(STAND_IN)?;
    let status = Command::new(&rustdoc)
        .args(env::args_os().skip(1))
        .env("RUSTC_BOOTSTRAP", "1")
        .status();
    Some(match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("can't run {}: {error}", rustdoc.display());
            ExitCode::FAILURE
        }
    })
}

/// The lines of a surface, in the order of their paths.
fn surface(json: &Path) -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Head {
        format_version: u32,
    }
    let text = fs::read(json).with_context(|| format!("reading {}", json.display()))?;
    let head: Head = serde_json::from_slice(&text).context("reading what rustdoc wrote")?;
    ensure!(
        head.format_version == FORMAT,
        "rustdoc wrote format {}, not the {FORMAT} of Rust {RUST}",
        head.format_version
    );
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()?;

    let items = api
        .items()
        .map(|item| (item.id(), item.to_string()))
        .collect::<BTreeMap<_, _>>();
    let of_trait = |item: &public_api::PublicItem| {
        let parent = item.parent_id().and_then(|parent| items.get(&parent));
        parent.is_some_and(|parent| parent.starts_with("impl") && parent.contains(" for "))
    };
    Ok(api
        .items()
        .map(|item| (of_trait(item), item.to_string()))
        // An associated type of an impl is a promise of the impl's own, such as what an iterator gives.
        .filter(|(of_trait, line)| !of_trait || line.starts_with("pub type "))
        .map(|(_, line)| line)
        // What the compiler adds to a derived `PartialEq`; nobody can name it.
        .filter(|line| !line.contains(" core::marker::StructuralPartialEq for "))
        .collect())
}

/// What of foreign crates a surface shows, each with the first line that shows it.
fn foreign<'a>(lines: &'a [String], ours: &BTreeSet<&str>) -> BTreeMap<&'a str, &'a str> {
    let mut found = BTreeMap::new();
    for line in lines {
        for path in paths(line) {
            let root = path.split("::").next().unwrap_or_default();
            if !ours.contains(root) {
                found.entry(path).or_insert(line.as_str());
            }
        }
    }
    found
}

/// The paths in a line, such as `core::result::Result`.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .map(|word| word.trim_matches(':'))
        .filter(|word| word.contains("::"))
}

/// Says what is shown and may not be, and what may be and isn't shown any more.
fn complain(library: &str, found: &BTreeMap<&str, &str>, allowed: &[&str]) -> String {
    let mut complaints = String::new();
    for (path, line) in found {
        if !allowed.contains(path) {
            complaints.push_str(&format!("\n  {library} shows {path}:\n    {line}"));
        }
    }
    for path in allowed {
        if !found.contains_key(path) {
            complaints.push_str(&format!(
                "\n  {library} doesn't show {path} any more; take it off the list"
            ));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_other_crates_are_found_wherever_they_stand() {
        let lines = [
            "pub fn ours::Error::source(&self) -> core::option::Option<&reqwest::error::Error>",
            "impl core::convert::From<serde_json::error::Error> for ours::Error",
            "pub use ours::reqwest",
            "pub fn ours::send(<ours::Body as http_body::Body>::Data) -> ours::Reply",
        ]
        .map(str::to_owned);
        let found = foreign(&lines, &BTreeSet::from(["core", "ours"]));
        let names = found.keys().copied().collect::<Vec<_>>();
        assert_eq!(
            names,
            [
                "http_body::Body",
                "reqwest::error::Error",
                "serde_json::error::Error"
            ]
        );
        assert_eq!(found["serde_json::error::Error"], lines[1]);
    }

    #[test]
    fn what_is_allowed_has_to_be_shown_and_the_other_way_round() {
        let found = BTreeMap::from([("http::StatusCode", "a line"), ("uuid::Uuid", "another")]);
        assert_eq!(
            complain("ours", &found, &["http::StatusCode", "uuid::Uuid"]),
            ""
        );
        assert_eq!(
            complain("ours", &found, &["uuid::Uuid", "url::Url"]),
            "\n  ours shows http::StatusCode:\n    a line\
             \n  ours doesn't show url::Url any more; take it off the list"
        );
    }
}
