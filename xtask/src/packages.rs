//! `cargo xtask packages`: makes the package of each published crate, and builds what is in it.
//!
//! `cargo package` would build them, too, but with several crates that aren't published yet it does so by a registry of
//! its own, from which cargo keeps what it unpacked first: after a change it builds against the crates of the last time.
//! So the packages are unpacked here, into a workspace that has nothing else, and checked there, each alone and with each
//! of its features alone. It shares the folder of builds with the other steps.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::members::{self, Member, Published, cargo, run as command};

/// Files that a package has besides its code; the licences' texts are those of the workspace.
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];
const README: &str = "README.md";

/// Features that build only where more than Rust is installed. What they bring is asked of cargo, and not built.
const SYSTEM: [&str; 1] = ["native-tls"];

/// What the client brings for TLS with some features: the features, crates that have to come, crates that mustn't.
type Expectation = (
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);
const CLIENT: &str = "layer-payments-client";
const TLS: [Expectation; 4] = [
    (
        &[],
        &["reqwest"],
        &["rustls", "aws-lc-rs", "ring", "native-tls", "openssl"],
    ),
    (
        &["--features", "rustls"],
        &["rustls", "aws-lc-rs"],
        &["ring", "native-tls", "openssl"],
    ),
    (
        &["--features", "rustls-no-provider"],
        &["rustls"],
        &["aws-lc-rs", "ring", "native-tls", "openssl"],
    ),
    (
        &["--features", "native-tls"],
        &["native-tls"],
        &["rustls", "aws-lc-rs", "ring"],
    ),
];

/// Packages the published crates and checks the packages.
///
/// # Errors
///
/// What a package lacks, and what doesn't build from it.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let Published { members, target } = members::published(root)?;
    let mut lacks = String::new();
    for member in &members {
        for lack in lacking(root, member) {
            lacks.push_str(&format!("\n  {}: {lack}", member.name));
        }
    }
    ensure!(lacks.is_empty(), "these packages lack something:{lacks}");

    let mut package = cargo();
    package.current_dir(root).arg("package");
    for member in &members {
        package.args(["--package", &member.name]);
    }
    // A desk's work tree is never clean while somebody works on it. In CI it is, or the tests wouldn't have begun.
    package.args(["--no-verify", "--allow-dirty", "--locked", "--quiet"]);
    command(&mut package)?;

    let workspace = target.join("packages");
    unpack(root, &target, &workspace, &members)?;
    for member in &members {
        check(&target, &workspace, member)?;
    }
    tls(root)
}

/// What a registry or a reader of it would miss in a package.
fn lacking(root: &Path, member: &Member) -> Vec<String> {
    let mut lacks = Vec::new();
    for (key, given) in [
        ("description", member.description.is_some()),
        ("license", member.license.is_some()),
        ("keywords", !member.keywords.is_empty()),
        ("categories", !member.categories.is_empty()),
    ] {
        if !given {
            lacks.push(format!("`{key}` in its Cargo.toml"));
        }
    }
    if member.readme.as_deref() != Some(README) {
        lacks.push(format!("a {README} of its own"));
    }
    for licence in LICENCES {
        // Compared by content: a link to the workspace's file is a file of another text where links can't be had.
        let wanted = fs::read(root.join(licence)).ok();
        if wanted.is_none() || fs::read(member.folder().join(licence)).ok() != wanted {
            lacks.push(format!("{licence} as a link to ../../{licence}"));
        }
    }
    lacks
}

/// Lays out the packages as the members of a workspace of their own, with the versions of dependencies that this one has.
fn unpack(root: &Path, target: &Path, workspace: &Path, members: &[Member]) -> anyhow::Result<()> {
    if workspace.exists() {
        fs::remove_dir_all(workspace).context("removing the packages of the last time")?;
    }
    fs::create_dir_all(workspace).context("making a folder for the packages")?;
    let mut names = String::new();
    let mut patches = String::new();
    for member in members {
        let Member { name, version, .. } = member;
        let folder = format!("{name}-{version}");
        let archive = target.join(format!("package/{folder}.crate"));
        // With the time of now (-m): a package's files bear a fixed one, by which cargo would take them for unchanged.
        command(
            Command::new("tar")
                .current_dir(workspace)
                .arg("-xzmf")
                .arg(&archive),
        )?;
        names.push_str(&format!("    \"{folder}\",\n"));
        patches.push_str(&format!("{name} = {{ path = \"{folder}\" }}\n"));
        for file in LICENCES.into_iter().chain([README, "Cargo.toml", "src"]) {
            ensure!(
                workspace.join(&folder).join(file).exists(),
                "{file} isn't in the package of {name}; see `include` in its Cargo.toml"
            );
        }
        for folder_of_tests in ["tests", "benches"] {
            ensure!(
                !workspace.join(&folder).join(folder_of_tests).exists(),
                "{folder_of_tests} is in the package of {name} and reads what isn't; say `include.workspace = true` in \
                 its Cargo.toml"
            );
        }
    }
    let manifest = format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\n{names}]\n\n[patch.crates-io]\n{patches}"
    );
    fs::write(workspace.join("Cargo.toml"), manifest).context("writing their manifest")?;
    fs::copy(root.join("Cargo.lock"), workspace.join("Cargo.lock"))
        .context("copying Cargo.lock")?;
    Ok(())
}

/// Checks a package alone, then without its default features, then with each of its features alone.
fn check(target: &Path, workspace: &Path, member: &Member) -> anyhow::Result<()> {
    let mut variants = vec![Vec::new()];
    let features = member.features();
    if features.contains(&"default") {
        variants.push(vec!["--no-default-features"]);
    }
    for feature in features {
        if feature != "default" && !SYSTEM.contains(&feature) {
            variants.push(vec!["--no-default-features", "--features", feature]);
        }
    }
    for variant in variants {
        eprintln!("{} {}", member.name, variant.join(" "));
        command(
            cargo()
                .current_dir(workspace)
                .args(["check", "--quiet", "--package", &member.name])
                .args(&variant)
                .arg("--target-dir")
                .arg(target)
                // As in the workspace's manifest, so that what was built for it serves here.
                .args(["--config", "profile.dev.debug='line-tables-only'"])
                .args(["--config", "profile.dev.package.'*'.debug=false"]),
        )
        .with_context(|| format!("the package of {} doesn't build", member.name))?;
    }
    Ok(())
}

/// Asks cargo what the client brings along for TLS.
fn tls(root: &Path) -> anyhow::Result<()> {
    for (features, wanted, unwanted) in TLS {
        let output = cargo()
            .current_dir(root)
            .args(["tree", "--locked", "--package", CLIENT])
            .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
            .arg("--no-default-features")
            .args(features)
            .output()
            .context("running cargo tree")?;
        if !output.status.success() {
            bail!("cargo tree: {}", String::from_utf8_lossy(&output.stderr));
        }
        let tree = String::from_utf8_lossy(&output.stdout);
        let found = tree
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect::<BTreeSet<_>>();
        let shown = features.join(" ");
        for name in wanted {
            ensure!(
                found.contains(name),
                "{CLIENT} {shown} doesn't bring {name}"
            );
        }
        for name in unwanted {
            ensure!(!found.contains(name), "{CLIENT} {shown} brings {name}");
        }
    }
    Ok(())
}
