//! `cargo xtask bench`: builds the program and the benchmarks as they are released, and runs them.
//!
//! The benchmarks are a crate of their own, so that neither this one nor the server's tests wait for them.

use std::path::Path;
use std::process::Command;

/// Runs the benchmarks with these names, or all.
///
/// # Errors
///
/// If something can't be built or measured, or a goal wasn't met.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<(), String> {
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
