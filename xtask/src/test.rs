//! `cargo xtask test`: the one command that checks everything, at a desk and in CI.
//!
//! The steps run in the order in which they fail fastest. Each one is announced with the command that repeats it alone,
//! so that a red run tells what to do next. The first failure ends the run.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The proofs, each a test target of the tests crate that `cargo test` leaves out unless it is named, with what it shows.
const PROOFS: [(&str, &str); 9] = [
    (
        "contract",
        "the server against the spec, by thousands of requests",
    ),
    ("crash", "what was acknowledged survives kill -9"),
    (
        "delivery",
        "every payment lands once, through an API that fails",
    ),
    ("hostile", "requests that are meant to do harm"),
    (
        "languages",
        "clients of other languages do one scenario against the server",
    ),
    (
        "many",
        "many servers over one database are one, by their answers to clients that race",
    ),
    ("model", "every reply against the one that a model predicts"),
    (
        "outages",
        "what is acknowledged, refused and made good for while PostgreSQL goes away",
    ),
    (
        "published",
        "what is published, as those see it who have nothing else",
    ),
];

/// Runs every check of the project in turn.
///
/// # Errors
///
/// The first step that failed, with the command that repeats it.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let started = Instant::now();
    let before = git_status(root)?;
    let ci = std::env::var_os("CI").is_some();
    if ci && !before.is_empty() {
        return Err(format!(
            "the work tree isn't clean before the tests:\n{before}"
        ));
    }

    cargo(root, "formatting", &["fmt", "--all", "--check"], &[])?;
    cargo(
        root,
        "generated code",
        &["xtask", "codegen", "--check"],
        &[],
    )?;
    cargo(
        root,
        "changes of the spec",
        &["xtask", "spec-diff", "--check"],
        &[],
    )?;
    cargo(root, "test data", &["xtask", "testdata", "--check"], &[])?;
    cargo(root, "linters of the documents", &["xtask", "lint"], &[])?;
    cargo(root, "dependencies", &["xtask", "dependencies"], &[])?;
    cargo(
        root,
        "lints",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
        &[],
    )?;
    proof_lints(root)?;
    tests(root)?;
    for (proof, shows) in PROOFS {
        cargo(
            root,
            shows,
            // The workspace gives its crates the same features as above, so that nothing is built again. What a proof
            // measured and the seed that it took are worth reading when it succeeds, too.
            &[
                "test",
                "--workspace",
                "--locked",
                "--test",
                proof,
                "--",
                "--nocapture",
            ],
            &[],
        )?;
    }
    cargo(
        root,
        "documentation",
        &["doc", "--workspace", "--no-deps", "--locked"],
        &[("RUSTDOCFLAGS", OsStr::new("-D warnings"))],
    )?;
    cargo(
        root,
        "public surface",
        &["xtask", "surface", "--check"],
        &[],
    )?;
    cargo(root, "packages", &["xtask", "packages"], &[])?;

    step("clean work tree", "git status --porcelain");
    let after = git_status(root)?;
    if after != before {
        return Err(format!(
            "the tests changed the work tree; before:\n{before}after:\n{after}"
        ));
    }
    eprintln!("\nAll checks passed in {} s.", started.elapsed().as_secs());
    Ok(())
}

/// Lints the proofs, which `--all-targets` leaves out as `cargo test` does.
fn proof_lints(root: &Path) -> Result<(), String> {
    let mut arguments = vec!["clippy", "--workspace", "--locked"];
    for (proof, _) in PROOFS {
        arguments.extend(["--test", proof]);
    }
    arguments.extend(["--", "-D", "warnings"]);
    cargo(root, "lints of the proofs", &arguments, &[])
}

/// Runs the tests with snapshots read-only, then refuses snapshot files that no test asked for.
fn tests(root: &Path) -> Result<(), String> {
    let scratch = tempfile::tempdir().map_err(|e| format!("can't make a temporary folder: {e}"))?;
    let references = scratch.path().join("snapshots");
    cargo(
        root,
        "tests",
        &["test", "--workspace", "--locked"],
        &[
            ("INSTA_UPDATE", OsStr::new("no")),
            ("INSTA_REQUIRE_FULL_MATCH", OsStr::new("1")),
            ("INSTA_SNAPSHOT_REFERENCES_FILE", references.as_os_str()),
        ],
    )?;

    step("unreferenced snapshots", "cargo xtask test");
    let list = fs::read_to_string(&references).map_err(|e| {
        format!("no test named the snapshots that it uses ({e}); did the snapshot tests run?")
    })?;
    let used = list
        .lines()
        .filter_map(|line| fs::canonicalize(line).ok())
        .collect::<BTreeSet<_>>();
    let mut kept = BTreeSet::new();
    snapshots(&root.join("crates"), &mut kept)?;
    snapshots(&root.join("tests"), &mut kept)?;
    snapshots(&root.join("xtask"), &mut kept)?;
    let orphans = kept.difference(&used).collect::<Vec<_>>();
    if orphans.is_empty() {
        return Ok(());
    }
    let mut message = String::from("these snapshots belong to no test; delete them:");
    for path in orphans {
        message.push_str(&format!("\n  {}", path.display()));
    }
    Err(message)
}

/// Collects the snapshot files below a folder.
fn snapshots(folder: &Path, found: &mut BTreeSet<PathBuf>) -> Result<(), String> {
    let entries =
        fs::read_dir(folder).map_err(|e| format!("can't read {}: {e}", folder.display()))?;
    for entry in entries {
        let path = entry
            .map_err(|e| format!("can't read {}: {e}", folder.display()))?
            .path();
        if path.is_dir() {
            snapshots(&path, found)?;
        } else if path.extension() == Some(OsStr::new("snap")) {
            let path = fs::canonicalize(&path)
                .map_err(|e| format!("can't resolve {}: {e}", path.display()))?;
            found.insert(path);
        }
    }
    Ok(())
}

/// Runs cargo with the terminal attached.
fn cargo(
    root: &Path,
    name: &str,
    arguments: &[&str],
    variables: &[(&str, &OsStr)],
) -> Result<(), String> {
    let shown = format!("cargo {}", arguments.join(" "));
    step(name, &shown);
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(program)
        .current_dir(root)
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .status()
        .map_err(|e| format!("can't run `{shown}`: {e}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{name}: `{shown}` failed"))
    }
}

/// What git calls changed or untracked, a file a line; empty when the work tree is clean.
fn git_status(root: &Path) -> Result<String, String> {
    let output = Command::new("git")
        .current_dir(root)
        .args(["status", "--porcelain"])
        .output()
        .map_err(|e| format!("can't run git: {e}"))?;
    if !output.status.success() {
        return Err(format!(
            "git status failed: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Announces a step.
fn step(name: &str, command: &str) {
    eprintln!("\n==> {name}: {command}");
}
