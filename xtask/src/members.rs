//! The workspace's crates that are published, as cargo describes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

/// A crate of the workspace.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) version: String,
    manifest_path: PathBuf,
    /// The registries that it may go to; none at all where the manifest says `publish = false`.
    publish: Option<Vec<String>>,
    pub(crate) description: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) readme: Option<String>,
    #[serde(default)]
    pub(crate) keywords: Vec<String>,
    #[serde(default)]
    pub(crate) categories: Vec<String>,
    features: BTreeMap<String, Vec<String>>,
    targets: Vec<Target>,
}

#[derive(Clone, Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Member {
    /// The folder of its manifest.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new("."))
    }

    /// The names of its features, `default` among them.
    pub(crate) fn features(&self) -> Vec<&str> {
        self.features.keys().map(String::as_str).collect()
    }

    /// The name of its library, as Rust code writes it; none for a program.
    pub(crate) fn library(&self) -> Option<&str> {
        self.targets
            .iter()
            .find(|target| target.kind.iter().any(|kind| kind == "lib"))
            .map(|target| target.name.as_str())
    }
}

/// The crates that are published, and where cargo builds them.
#[derive(Debug, Deserialize)]
pub(crate) struct Published {
    /// By name.
    #[serde(rename = "packages")]
    pub(crate) members: Vec<Member>,
    /// Usually `target`; it's the user's to choose.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
}

/// Asks cargo which crates are published.
///
/// # Errors
///
/// When cargo can't read the workspace, or no crate of it is published.
pub(crate) fn published(root: &Path) -> anyhow::Result<Published> {
    let output = cargo()
        .current_dir(root)
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked"])
        .output()
        .context("running cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let mut published: Published =
        serde_json::from_slice(&output.stdout).context("reading what cargo metadata wrote")?;
    let members = &mut published.members;
    members.retain(|member| member.publish.as_ref().is_none_or(|to| !to.is_empty()));
    ensure!(
        !members.is_empty(),
        "no crate of the workspace is published"
    );
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(published)
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command with the terminal attached.
///
/// # Errors
///
/// When it can't be started or fails, with the command.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    let status = command
        .status()
        .with_context(|| format!("can't run `{shown}`"))?;
    ensure!(status.success(), "`{shown}` failed");
    Ok(())
}

/// A command as people type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut shown = program
        .file_stem()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned();
    for argument in command.get_args() {
        shown.push(' ');
        shown.push_str(&argument.to_string_lossy());
    }
    shown
}
