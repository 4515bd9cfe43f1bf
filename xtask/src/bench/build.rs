//! What the client costs to build, against what others generate from the same document.
//!
//! Three programs are made below `target/bench/build`, each with one dependency: our client; the client that progenitor
//! generates by itself; and the one that openapi-generator generates for Rust. All have TLS by rustls with aws-lc-rs and,
//! where they share a library, the release of this workspace's lock file. Each is built from nothing, in turn. Processor
//! time says more than the clock on a machine with other work.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{codegen, tools};

/// What our client may cost more than the plain one.
const GOAL: f64 = 1.25;

/// A program to build.
struct Side {
    name: &'static str,
    folder: PathBuf,
}

/// What building it cost.
struct Cost {
    crates: usize,
    cpu_seconds: f64,
    seconds: f64,
}

/// Builds all three and prints what they cost.
///
/// # Errors
///
/// If one can't be generated or built, or ours costs more than its goal.
pub(super) fn run(root: &Path) -> Result<(), String> {
    let folder = root.join("target/bench/build");
    println!("build: the client and what it depends on, from nothing, debug");
    let sides = [
        ours(root, &folder)?,
        plain(root, &folder)?,
        openapi_generator(root, &folder)?,
    ];
    let mut costs = Vec::new();
    for side in &sides {
        let cost = cost(root, side)?;
        println!(
            "  {:<54} {:>5} crates {:>8.1} CPU s {:>8.1} s",
            side.name, cost.crates, cost.cpu_seconds, cost.seconds
        );
        costs.push(cost);
    }
    let ratio = |other: &Cost| costs[0].cpu_seconds / other.cpu_seconds;
    let against_plain = ratio(&costs[1]);
    let met = against_plain <= GOAL;
    println!(
        "  {:<54} {against_plain:>12.2} {:<14} goal: at most {GOAL}: {}",
        "ours / progenitor's, processor time",
        "",
        if met { "met" } else { "MISSED" }
    );
    println!(
        "  {:<54} {:>12.2}",
        "ours / openapi-generator's, processor time",
        ratio(&costs[2])
    );
    if met {
        Ok(())
    } else {
        Err("not every goal was met".to_owned())
    }
}

fn ours(root: &Path, folder: &Path) -> Result<Side, String> {
    let folder = folder.join("ours");
    let client = root.join("crates/client");
    write(
        &folder.join("Cargo.toml"),
        &format!(
            "[package]\nname = \"ours\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
             [dependencies]\nlayer-payments-client = {{ path = {client:?} }}\n"
        ),
    )?;
    write(
        &folder.join("src/main.rs"),
        "fn main() {\n    println!(\"{:?}\", layer_payments_client::Client::from_env().is_ok());\n}\n",
    )?;
    Ok(Side {
        name: "ours",
        folder,
    })
}

fn plain(root: &Path, folder: &Path) -> Result<Side, String> {
    let folder = folder.join("plain");
    let generated = codegen::plain(root).map_err(|e| format!("{e:#}"))?;
    write(
        &folder.join("Cargo.toml"),
        "[package]\nname = \"plain\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         bytes = \"1\"\nchrono = { version = \"0.4\", default-features = false, features = [\"serde\"] }\n\
         futures-core = \"0.3\"\nprogenitor-client = \"=0.15.1\"\nregress = \"0.12\"\n\
         reqwest = { version = \"0.13\", default-features = false, features = [\"json\", \"query\", \"rustls\", \"stream\"] }\n\
         serde = { version = \"1\", features = [\"derive\"] }\nserde_json = \"1\"\n\
         uuid = { version = \"1\", features = [\"serde\"] }\n",
    )?;
    write(&folder.join("src/generated.rs"), &generated)?;
    write(
        &folder.join("src/main.rs"),
        "#![allow(unused, dead_code)]\nmod generated;\n\nfn main() {\n    \
         println!(\"{:?}\", generated::Client::new(\"http://localhost\"));\n}\n",
    )?;
    Ok(Side {
        name: "progenitor's own, of the same document",
        folder,
    })
}

fn openapi_generator(root: &Path, folder: &Path) -> Result<Side, String> {
    // The one that lints, too.
    let requirements = root.join("spec/lint/requirements.txt");
    let tools = tools::python(root, "lint-python", &requirements).map_err(|e| format!("{e:#}"))?;
    let tool = tools.join("openapi-generator-cli");
    let folder = folder.join("openapi-generator");
    let client = folder.join("client");
    if client.exists() {
        fs::remove_dir_all(&client)
            .map_err(|e| format!("can't remove {}: {e}", client.display()))?;
    }
    succeed(
        Command::new(tool)
            .args(["generate", "-g", "rust", "--package-name", "generated"])
            .arg("-i")
            .arg(root.join(codegen::SPEC))
            .arg("-o")
            .arg(&client)
            .stdout(Stdio::null()),
    )?;
    write(
        &folder.join("Cargo.toml"),
        "[package]\nname = \"openapi-generator\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\ngenerated = { path = \"client\", default-features = false, features = [\"rustls\"] }\n",
    )?;
    write(
        &folder.join("src/main.rs"),
        "fn main() {\n    println!(\"{:?}\", generated::apis::configuration::Configuration::new().base_path);\n}\n",
    )?;
    Ok(Side {
        name: "openapi-generator's, of the same document",
        folder,
    })
}

/// Builds a program from nothing.
fn cost(root: &Path, side: &Side) -> Result<Cost, String> {
    // The releases of this workspace, where a library is among them.
    let lock = side.folder.join("Cargo.lock");
    fs::copy(root.join("Cargo.lock"), &lock)
        .map_err(|e| format!("can't write {}: {e}", lock.display()))?;
    let target = side.folder.join("target");
    if target.exists() {
        fs::remove_dir_all(&target)
            .map_err(|e| format!("can't remove {}: {e}", target.display()))?;
    }
    let manifest = side.folder.join("Cargo.toml");
    let cargo = super::program();
    let tree = Command::new(&cargo)
        .args([
            "tree",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--no-dedupe",
        ])
        .arg("--manifest-path")
        .arg(&manifest)
        .output()
        .map_err(|e| format!("can't run cargo tree: {e}"))?;
    if !tree.status.success() {
        return Err(format!(
            "{}: {}",
            side.name,
            String::from_utf8_lossy(&tree.stderr)
        ));
    }
    let tree = String::from_utf8_lossy(&tree.stdout);
    // Behind a name and version stands what isn't the same in each place.
    let crates: BTreeSet<&str> = tree
        .lines()
        .map(|line| line.split(" (").next().unwrap_or(line))
        .filter(|line| !line.is_empty())
        .collect();
    // The shell's own builtin tells what its children took, which std doesn't.
    let started = Instant::now();
    let built = Command::new("sh")
        .args(["-c", "\"$@\" && times", "sh"])
        .arg(&cargo)
        .args(["build", "--quiet", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target)
        .env_remove("CARGO_TARGET_DIR")
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("can't run sh: {e}"))?;
    let seconds = started.elapsed().as_secs_f64();
    if !built.status.success() {
        return Err(format!("{} can't be built", side.name));
    }
    let told = String::from_utf8_lossy(&built.stdout);
    let children = told.lines().last().unwrap_or_default();
    let cpu_seconds = children
        .split_whitespace()
        .map(time)
        .sum::<Option<f64>>()
        .ok_or_else(|| format!("`times` said {told:?}"))?;
    fs::remove_dir_all(&target).map_err(|e| format!("can't remove {}: {e}", target.display()))?;
    Ok(Cost {
        // The program itself isn't one that it depends on.
        crates: crates.len() - 1,
        cpu_seconds,
        seconds,
    })
}

/// `1m2.5s`, as the shell writes times, in seconds.
fn time(text: &str) -> Option<f64> {
    let (minutes, seconds) = text.strip_suffix('s')?.split_once('m')?;
    Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| format!("can't make {}: {e}", folder.display()))?;
    }
    fs::write(path, text).map_err(|e| format!("can't write {}: {e}", path.display()))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let shown = Path::new(command.get_program()).display().to_string();
    let status = command
        .status()
        .map_err(|e| format!("can't run {shown}: {e}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{shown} failed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_shell_are_read() {
        assert_eq!(time("0m0.000000s"), Some(0.0));
        assert_eq!(time("2m3.5s"), Some(123.5));
        assert_eq!(time("real"), None);
    }
}
