//! The documents that are compared, and where they come from.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{PUBLISHED, Trouble};
use crate::codegen::mistake::{Mistake, Position};
use crate::codegen::yaml::{self, Node};
use crate::codegen::{SPEC, grammar};

/// One of the documents that are published together, under one version.
#[derive(Debug)]
pub(crate) struct Part {
    /// Where the work tree has it.
    pub(crate) path: &'static str,
    /// What follows the version in the name of a published one.
    suffix: &'static str,
    /// How references to another of the documents begin. They are compared by name: what they lead to is compared in
    /// its own document.
    beside: Option<&'static str>,
}

/// The API first.
pub(crate) const PARTS: [Part; 2] = [
    Part {
        path: SPEC,
        suffix: ".yaml",
        beside: None,
    },
    Part {
        path: "spec/local.yaml",
        suffix: ".local.yaml",
        beside: Some("layer-payments.yaml#/components/schemas/"),
    },
];

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
    /// A document beside the API may refer to it, and describe what no operation uses, such as the form of a file.
    pub(crate) fn parse(part: &Part, name: &str, bytes: &[u8]) -> Result<Self, Trouble> {
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
        let mut found = grammar::check(&root);
        if let Some(beside) = part.beside {
            let elsewhere = format!(": `{beside}");
            found.retain(|mistake| {
                let text = mistake.in_file(name);
                let leads_there = text.contains(&elsewhere)
                    && text.contains("is no reference to a Schema Object");
                !leads_there && !text.contains(": nothing refers to this component")
            });
        }
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
    pub(crate) fn of_the_work_tree(root: &Path, part: &Part) -> Result<Self, Trouble> {
        Self::read(root, part, part.path)
    }

    fn read(root: &Path, part: &Part, path: &str) -> Result<Self, Trouble> {
        let bytes = fs::read(root.join(path)).map_err(|error| Trouble::Unreadable {
            path: path.to_owned(),
            error: error.to_string(),
        })?;
        Self::parse(part, path, &bytes)
    }

    /// The published document with the highest version.
    pub(crate) fn published(root: &Path, part: &Part) -> Result<Self, Trouble> {
        let version = versions(root)?.pop().ok_or(Trouble::NothingPublished)?;
        Self::of_version(root, part, version)
    }

    fn of_version(root: &Path, part: &Part, version: Version) -> Result<Self, Trouble> {
        let document = Self::read(root, part, &published_path(part, version))?;
        if document.version == version {
            Ok(document)
        } else {
            Err(Trouble::Mislabelled {
                path: document.name,
                version: document.version,
            })
        }
    }

    /// What `revision` names: a published version, or else a revision of git. `None` if it has the API but not this
    /// document.
    pub(crate) fn at(root: &Path, part: &Part, revision: &str) -> Result<Option<Self>, Trouble> {
        if let Some(version) = Version::read(revision)
            && versions(root)?.contains(&version)
        {
            return Self::of_version(root, part, version).map(Some);
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
        let path = part.path;
        let object = format!("{commit}:./{path}");
        match git(root, &["show", &object])? {
            Some(bytes) => Self::parse(part, &format!("{revision}:{path}"), &bytes).map(Some),
            None if part.beside.is_some() => Ok(None),
            None => Err(Trouble::NotThere {
                revision: revision.to_owned(),
            }),
        }
    }
}

/// Where the document of a version is kept.
pub(crate) fn published_path(part: &Part, version: Version) -> String {
    format!("{PUBLISHED}/{version}{}", part.suffix)
}

/// The published versions, the lowest first; those that the API was published under.
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
        let version = |part: &Part| name.strip_suffix(part.suffix).and_then(Version::read);
        let [api, beside] = &PARTS;
        if let Some(version) = version(api) {
            versions.push(version);
        } else if version(beside).is_none() {
            return Err(Trouble::Stray {
                path: format!("{PUBLISHED}/{name}"),
            });
        }
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
