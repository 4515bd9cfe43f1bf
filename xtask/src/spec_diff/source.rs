//! The documents that are compared, and where they come from.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{PUBLISHED, Trouble};
use crate::codegen::mistake::{Mistake, Position};
use crate::codegen::yaml::{self, Node};
use crate::codegen::{SPEC, grammar};

/// A document, parsed, with the name that messages give it.
#[derive(Debug)]
pub(crate) struct Document {
    /// A path, or a revision and a path.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) root: Node,
    pub(crate) version: Version,
}

/// A version of the document: major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u64, pub(crate) u64, pub(crate) u64);

impl Version {
    /// Reads three numbers joined by points, without leading zeros and without anything after them.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse::<u64>().ok().filter(|n| n.to_string() == text);
        let mut parts = text.split('.').map(number);
        let version = Self(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Document {
    /// Parses a document and checks it by the grammar of OpenAPI, without which its parts can't be told.
    ///
    /// Line ends of Windows are read as the generator reads them: as plain ones.
    pub(crate) fn parse(name: &str, bytes: &[u8]) -> Result<Self, Trouble> {
        let mistakes = |mistakes: Vec<Mistake>| {
            let mut mistakes = mistakes;
            mistakes.sort();
            Trouble::Mistakes(
                mistakes
                    .iter()
                    .map(|mistake| mistake.in_file(name))
                    .collect(),
            )
        };
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let line = 1 + bytes[..error.valid_up_to()]
                    .iter()
                    .filter(|byte| **byte == b'\n')
                    .count();
                let at = Position { line, column: 1 };
                return Err(mistakes(vec![Mistake::new(at, "", "not UTF-8")]));
            }
        };
        for (index, line) in text.lines().enumerate() {
            if line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ") {
                let at = Position {
                    line: index + 1,
                    column: 1,
                };
                let message = "a merge that isn't finished; choose one side and delete the markers";
                return Err(mistakes(vec![Mistake::new(at, "", message)]));
            }
        }
        let root = yaml::parse(&text.replace("\r\n", "\n")).map_err(mistakes)?;
        let found = grammar::check(&root);
        if !found.is_empty() {
            return Err(mistakes(found));
        }
        let pointer = "/info/version";
        let version = root
            .find(pointer)
            .and_then(Node::text)
            .and_then(Version::read)
            .ok_or_else(|| {
                let message = "expected a version of three numbers, such as 1.4.0";
                mistakes(vec![Mistake::new(root.position(pointer), pointer, message)])
            })?;
        Ok(Self {
            name: name.to_owned(),
            text: text.to_owned(),
            root,
            version,
        })
    }

    /// The document of the work tree.
    pub(crate) fn of_the_work_tree(root: &Path) -> Result<Self, Trouble> {
        Self::read(root, SPEC)
    }

    fn read(root: &Path, path: &str) -> Result<Self, Trouble> {
        let bytes = fs::read(root.join(path)).map_err(|error| Trouble::Unreadable {
            path: path.to_owned(),
            error: error.to_string(),
        })?;
        Self::parse(path, &bytes)
    }

    /// The published document with the highest version.
    pub(crate) fn published(root: &Path) -> Result<Self, Trouble> {
        let version = versions(root)?.pop().ok_or(Trouble::NothingPublished)?;
        Self::of_version(root, version)
    }

    fn of_version(root: &Path, version: Version) -> Result<Self, Trouble> {
        let document = Self::read(root, &published_path(version))?;
        if document.version == version {
            Ok(document)
        } else {
            Err(Trouble::Mislabelled {
                path: document.name,
                version: document.version,
            })
        }
    }

    /// What `revision` names: a published version, or else a revision of git.
    pub(crate) fn at(root: &Path, revision: &str) -> Result<Self, Trouble> {
        if let Some(version) = Version::read(revision)
            && versions(root)?.contains(&version)
        {
            return Self::of_version(root, version);
        }
        // Nothing that git could take for an option.
        if revision.is_empty() || revision.starts_with('-') {
            return Err(unknown(root, revision));
        }
        if git(root, &["rev-parse", "--is-inside-work-tree"])?.is_none() {
            return Err(Trouble::NoGit {
                revision: revision.to_owned(),
            });
        }
        let commit = format!("{revision}^{{commit}}");
        let Some(commit) = git(root, &["rev-parse", "--verify", "--quiet", &commit])? else {
            return Err(unknown(root, revision));
        };
        let commit = String::from_utf8_lossy(&commit).trim().to_owned();
        // `./` makes the path relative to this folder, should the workspace lie below the top of a repository.
        let object = format!("{commit}:./{SPEC}");
        match git(root, &["show", &object])? {
            Some(bytes) => Self::parse(&format!("{revision}:{SPEC}"), &bytes),
            None => Err(Trouble::NotThere {
                revision: revision.to_owned(),
            }),
        }
    }
}

/// Where the document of a version is kept.
pub(crate) fn published_path(version: Version) -> String {
    format!("{PUBLISHED}/{version}.yaml")
}

/// The published versions, the lowest first.
pub(crate) fn versions(root: &Path) -> Result<Vec<Version>, Trouble> {
    let unreadable = |error: std::io::Error| Trouble::Unreadable {
        path: PUBLISHED.to_owned(),
        error: error.to_string(),
    };
    let entries = match fs::read_dir(root.join(PUBLISHED)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut versions = Vec::new();
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        let name = name.to_string_lossy();
        let version = name.strip_suffix(".yaml").and_then(Version::read);
        versions.push(version.ok_or_else(|| Trouble::Stray {
            path: format!("{PUBLISHED}/{name}"),
        })?);
    }
    versions.sort();
    Ok(versions)
}

fn unknown(root: &Path, revision: &str) -> Trouble {
    let answer = git(root, &["rev-parse", "--is-shallow-repository"]);
    let shallow = answer.is_ok_and(|answer| answer.is_some_and(|text| text.starts_with(b"true")));
    Trouble::UnknownRevision {
        revision: revision.to_owned(),
        shallow,
    }
}

/// What git prints; `None` if it fails.
fn git(root: &Path, arguments: &[&str]) -> Result<Option<Vec<u8>>, Trouble> {
    let output = Command::new("git")
        .current_dir(root)
        .args(arguments)
        .output()
        .map_err(|error| Trouble::GitDoesNotRun {
            error: error.to_string(),
        })?;
    Ok(output.status.success().then_some(output.stdout))
}
