//! `cargo xtask bench`: builds the program and the benchmarks as they are released, and runs them.
//!
//! The benchmarks are a crate of their own, so that neither this one nor the server's tests wait for them.

mod build;

use std::path::Path;
use std::process::Command;

/// Runs the benchmarks with these names, or all.
///
/// # Errors
///
/// If something can't be built or measured, or a goal wasn't met.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<(), String> {
    // What is about cargo isn't a matter of the program.
    let (build, others): (Vec<&String>, Vec<&String>) =
        names.iter().partition(|name| *name == BUILD);
    let mut result = Ok(());
    if !others.is_empty() || build.is_empty() {
        result = measure(root, &others);
    }
    if names.is_empty() || !build.is_empty() {
        // A goal that was missed before is no reason to leave this out.
        result = result.and(build::run(root));
    }
    result
}

/// The benchmark that is about cargo.
const BUILD: &str = "build";

fn measure(root: &Path, names: &[&String]) -> Result<(), String> {
    let folder = root.join("target");
    cargo(
        root,
        Command::new(program())
            .args(["build", "--release", "--locked", "--target-dir"])
            .arg(&folder)
            .args(["-p", "layer-payments-cli", "-p", "layer-payments-benches"]),
    )?;
    let release = folder.join("release");
    let suffix = std::env::consts::EXE_SUFFIX;
    cargo(
        root,
        Command::new(release.join(format!("layer-payments-benches{suffix}")))
            .args(names)
            .arg("--program")
            .arg(release.join(format!("layer-payments{suffix}"))),
    )
}

fn program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn cargo(root: &Path, command: &mut Command) -> Result<(), String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let status = command
        .current_dir(root)
        .status()
        .map_err(|e| format!("can't run {shown}: {e}"))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => Err("not every goal was met".to_owned()),
        _ => Err(format!("{shown} failed")),
    }
}
