//! Writes or checks the files that a task makes.
//!
//! Every task that makes files hands their whole contents to [`sync`] and says whether to write or to check. As both
//! ways share everything up to the last step, a check can't pass on what a write would change.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use similar::TextDiff;

/// A file as a task wants it to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// Relative to the workspace's root, with `/` between its parts.
    pub(crate) path: String,
    /// The whole text; line ends are normalised to `\n`.
    pub(crate) contents: String,
}

/// What to do about a file that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Write it.
    Write,
    /// Fail, with the difference and the command that mends it.
    Check,
}

/// Who makes the files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task<'a> {
    /// The command that makes them, as people type it.
    pub(crate) command: &'a str,
    /// How each of them starts, if they can carry a mark. Any other file of the workspace that starts so is an orphan:
    /// something made it once, and nothing keeps it up to date any more.
    pub(crate) banner: Option<&'a str>,
}

/// What [`sync`] found or did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Synced {
    /// The files that were written, in the order given. Always empty for a check.
    pub(crate) written: Vec<String>,
    /// How many files were as they should be.
    pub(crate) unchanged: usize,
}

/// Makes the files under `root` what `outputs` says, or checks that they are.
///
/// # Errors
///
/// In [`Mode::Check`] a missing or different file, with a unified diff. In both modes an orphan (see [`Task::banner`]),
/// and a file that can't be read or written. Nothing is written if there is an orphan.
pub(crate) fn sync(
    root: &Path,
    outputs: &[Output],
    mode: Mode,
    task: Task<'_>,
) -> anyhow::Result<Synced> {
    let orphans = orphans(root, outputs, task.banner)?;
    if !orphans.is_empty() {
        bail!(
            "`{}` doesn't make these files any more; delete them:\n  {}",
            task.command,
            orphans.join("\n  ")
        );
    }

    let mut synced = Synced {
        written: Vec::new(),
        unchanged: 0,
    };
    let mut differences = String::new();
    for output in outputs {
        let path = root.join(&output.path);
        let wanted = normalise(&output.contents);
        let found = match fs::read_to_string(&path) {
            Ok(text) => Some(normalise(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("reading {}", output.path)),
        };
        if found.as_deref() == Some(wanted.as_str()) {
            synced.unchanged += 1;
            continue;
        }
        match mode {
            Mode::Write => {
                write(&path, &wanted).with_context(|| format!("writing {}", output.path))?;
                synced.written.push(output.path.clone());
            }
            Mode::Check => {
                differences.push_str(&difference(&output.path, found.as_deref(), &wanted))
            }
        }
    }
    if differences.is_empty() {
        Ok(synced)
    } else {
        bail!(
            "{differences}These files are out of date; run `{}` and commit the result.",
            task.command
        )
    }
}

fn difference(path: &str, found: Option<&str>, wanted: &str) -> String {
    let old = if found.is_some() { path } else { "/dev/null" };
    TextDiff::from_lines(found.unwrap_or_default(), wanted)
        .unified_diff()
        .context_radius(3)
        .header(old, path)
        .to_string()
}

fn normalise(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// Writes the whole file or leaves the old one: readers, and a build that runs beside, never see half of it.
fn write(path: &Path, contents: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = folder.join(name);
    let written = fs::write(&temporary, contents).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one worth telling.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn orphans(root: &Path, outputs: &[Output], banner: Option<&str>) -> anyhow::Result<Vec<String>> {
    let Some(banner) = banner else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
            let kind = entry.file_type()?;
            if kind.is_dir() && !skipped(&entry.file_name()) {
                folders.push(entry.path());
            } else if kind.is_file() && starts_with(&entry.path(), banner)? {
                let path = relative(root, &entry.path());
                if !outputs.iter().any(|output| output.path == path) {
                    found.push(path);
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Folders that hold no sources: hidden ones, such as the repository's own, and what cargo and packagers build.
fn skipped(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') || name == "target" || name == "dist" || name == "node_modules"
}

fn starts_with(path: &Path, banner: &str) -> anyhow::Result<bool> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        // Somebody's temporary file, gone between the listing and now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let mut start = Vec::with_capacity(banner.len());
    file.take(banner.len() as u64)
        .read_to_end(&mut start)
        .with_context(|| format!("reading {}", path.display()))?;
    Ok(start == banner.as_bytes())
}

fn relative(root: &Path, path: &Path) -> String {
    let relative: PathBuf = path
        .strip_prefix(root)
        .unwrap_or(path)
        .components()
        .collect();
    let parts: Vec<_> = relative.iter().map(OsStr::to_string_lossy).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: Task<'_> = Task {
        command: "cargo xtask something",
        banner: Some("// made by `cargo xtask something`"),
    };

    fn output(contents: &str) -> Output {
        Output {
            path: "a/b/made.rs".to_owned(),
            contents: format!("// made by `cargo xtask something`\n{contents}"),
        }
    }

    #[test]
    fn writes_once_and_then_finds_nothing_to_do() {
        let root = tempfile::tempdir().unwrap();
        let outputs = [output("fn a() {}\n")];
        let first = sync(root.path(), &outputs, Mode::Write, TASK).unwrap();
        assert_eq!(first.written, ["a/b/made.rs"]);
        let second = sync(root.path(), &outputs, Mode::Write, TASK).unwrap();
        assert_eq!((second.written.len(), second.unchanged), (0, 1));
        let checked = sync(root.path(), &outputs, Mode::Check, TASK).unwrap();
        assert_eq!((checked.written.len(), checked.unchanged), (0, 1));
        let names: Vec<_> = fs::read_dir(root.path().join("a/b")).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file may be left: {names:?}");
    }

    #[test]
    fn a_check_shows_the_difference_and_the_command_and_writes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let missing = sync(root.path(), &[output("fn a() {}\n")], Mode::Check, TASK).unwrap_err();
        assert!(
            missing
                .to_string()
                .contains("--- /dev/null\n+++ a/b/made.rs\n"),
            "{missing}"
        );
        assert!(!root.path().join("a").exists());

        sync(root.path(), &[output("fn a() {}\n")], Mode::Write, TASK).unwrap();
        let error = sync(root.path(), &[output("fn b() {}\n")], Mode::Check, TASK)
            .unwrap_err()
            .to_string();
        assert!(error.contains("-fn a() {}\n+fn b() {}\n"), "{error}");
        assert!(
            error.ends_with("run `cargo xtask something` and commit the result."),
            "{error}"
        );
        let kept = fs::read_to_string(root.path().join("a/b/made.rs")).unwrap();
        assert!(kept.ends_with("fn a() {}\n"), "{kept}");
    }

    #[test]
    fn line_ends_make_no_difference() {
        let root = tempfile::tempdir().unwrap();
        let text = output("fn a() {}\n");
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        fs::write(
            root.path().join(&text.path),
            text.contents.replace('\n', "\r\n"),
        )
        .unwrap();
        assert_eq!(
            sync(root.path(), &[text], Mode::Check, TASK)
                .unwrap()
                .unchanged,
            1
        );
    }

    #[test]
    fn an_orphan_is_an_error_in_both_modes_and_nothing_is_written() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("old")).unwrap();
        fs::create_dir_all(root.path().join("target")).unwrap();
        fs::write(root.path().join("old/made.rs"), output("").contents).unwrap();
        fs::write(root.path().join("target/made.rs"), output("").contents).unwrap();
        fs::write(root.path().join("old/hand.rs"), "// not made\n").unwrap();
        for mode in [Mode::Write, Mode::Check] {
            let error = sync(root.path(), &[output("")], mode, TASK)
                .unwrap_err()
                .to_string();
            assert!(error.ends_with("delete them:\n  old/made.rs"), "{error}");
        }
        assert!(!root.path().join("a").exists());

        let unmarked = Task {
            banner: None,
            ..TASK
        };
        sync(root.path(), &[output("")], Mode::Write, unmarked).unwrap();
    }
}
