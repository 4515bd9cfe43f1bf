//! `cargo xtask dependencies`: cargo-deny and cargo-machete, on what the workspace depends on.
//!
//! Both are installed below `target/tools` once, each in the pinned release, from the registry that cargo uses for
//! everything else; a machine where that can't be done fails. They are built without optimisations: that takes a third
//! of the time, and both are done in seconds all the same.
//!
//! Advisories aren't checked here, as deny.toml says with its reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::members::{cargo, run as command};

const DENY: (&str, &str) = ("cargo-deny", "0.20.2");
const MACHETE: (&str, &str) = ("cargo-machete", "0.9.2");

/// Checks licences, sources, duplicates and forbidden crates, and that every dependency is used.
///
/// # Errors
///
/// What the tools found, or that one can't be installed.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let machete = install(root, MACHETE)?;
    command(Command::new(machete).current_dir(root)).context(
        "a dependency isn't used: remove it, or name it with the reason under `[package.metadata.cargo-machete]`",
    )?;
    let deny = install(root, DENY)?;
    command(
        Command::new(deny)
            .current_dir(root)
            // An exception that nothing needs any more is a hole, and only warned of unless asked.
            .args(["--locked", "check", "--deny", "warnings"])
            .args(["bans", "licenses", "sources"]),
    )
    .context("a dependency is against deny.toml")
}

/// A program from the registry, installed unless the same release is there already.
fn install(root: &Path, (name, version): (&str, &str)) -> anyhow::Result<PathBuf> {
    let folder = root.join("target/tools").join(name);
    let program = folder
        .join("bin")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    // Written last, so that an installation that was interrupted is begun again.
    let complete = folder.join("installed.txt");
    if fs::read_to_string(&complete).is_ok_and(|installed| installed == version) {
        return Ok(program);
    }
    eprintln!("installing {name} {version} into {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).context("removing an older installation")?;
    }
    command(
        cargo()
            .current_dir(root)
            .args(["install", "--quiet", "--locked", "--debug", "--no-track"])
            .args(["--config", "profile.dev.debug=false"])
            .args(["--version", &format!("={version}"), "--root"])
            .args([&folder])
            .arg(name),
    )
    .with_context(|| {
        format!("{name} can't be installed; it takes the registry of crates, once, and nothing is checked without it")
    })?;
    fs::write(&complete, version).context("noting what was installed")?;
    Ok(program)
}
