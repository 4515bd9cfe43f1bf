//! `cargo xtask spec-diff [REV]`: what a change of `spec/layer-payments.yaml` means for those who built on it.
//!
//! `spec/local.yaml` is published with it under the same version, so it's compared, too, by itself. Where it refers to a
//! schema of the API, the name is compared, and what the name stands for is compared in the API. Its components that no
//! operation uses, which describe the file of fixtures, are no part of the wire: their changes count as trivial.
//!
//! Each change is trivial, compatible or breaking, for callers (clients) and for servers (whoever implements the API)
//! apart; the table is in [`change`]. Both documents are compared by their meaning ([`mod@compare`]), request and reply apart,
//! because the same change means the opposite on either side. Then they are compared key by key ([`rest`]), so that
//! what the first comparison has no rule for is refused instead of passed over.
//!
//! # Against what
//!
//! `spec/published/` keeps the documents of each version that was published, as they were. The work tree is compared with the
//! highest of them unless a revision is named, so that the check needs no history: CI has a clone of main alone, where
//! "the spec on main" is what it is looking at. A branch is compared with `cargo xtask spec-diff main`.
//!
//! # Versions
//!
//! `info.version` has to say what the changes since the last published version mean. Before 1.0 whatever breaks takes a
//! new minor version and whatever is compatible a new patch; from 1.0 on these are a new major and a new minor version.
//! What breaks either side breaks. Trivial changes take none. A version that isn't published yet takes further changes
//! as long as its number covers them. Both documents bear it, and it covers the changes of both. `spec/CHANGELOG.md` has
//! an entry for it. `--bless` publishes the work tree's documents; a published one never changes.
//!
//! # Why it isn't somebody else's
//!
//! Of the tools that can be installed, none is enough. On 27 breaking changes, one at a time, optic 1.0.9 finds 13,
//! api-smart-diff 1.0.6 finds 19 and both together 22; api-smart-diff also calls it breaking when a reply stops being
//! null. Neither sees an operation's new id, a request that refuses further properties, or a list that is written in another
//! style. Oxide's `drift` 0.2.0 classes 5 of them, is silent on `nullable` and panics when a media type changes. None
//! knows servers apart from callers, this document's promise that requests are closed and replies are open, or its
//! extensions. Beside the comparison here they'd add nothing but an installation, so the tests don't run them.

mod change;
mod compare;
mod report;
mod rest;
mod source;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use self::change::{Change, Class, Side};
use self::compare::Found;
use self::report::{Comparison, Report};
use self::source::{Document, PARTS, Version, published_path, versions};
use crate::codegen::SPEC;
use crate::codegen::yaml::Node;

/// The folder of the published documents, relative to the workspace's root.
const PUBLISHED: &str = "spec/published";
/// The document's own changelog.
const CHANGELOG: &str = "spec/CHANGELOG.md";

/// What to compare and how to tell.
#[derive(Args)]
pub(crate) struct Options {
    /// A published version (0.1.0) or a revision of git (main, HEAD~2); the last published version if left out
    #[arg(value_name = "REV", conflicts_with_all = ["check", "bless"])]
    revision: Option<String>,
    /// How to write the changes
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Fail (1) if the documents' version doesn't cover their changes, or has no entry in spec/CHANGELOG.md; otherwise 0
    #[arg(long, conflicts_with = "bless")]
    check: bool,
    /// Keep the documents as the published ones of their version
    #[arg(long)]
    bless: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Compares, prints, and says by its exit code what the changes mean; `cargo xtask spec-diff --help` lists the codes.
pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    match answer(root, options) {
        Ok((text, code)) => {
            // Whoever closes the pipe early still wants the exit code.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::from(code)
        }
        Err(trouble) => {
            eprintln!("{trouble}");
            ExitCode::from(trouble.code(options.check || options.bless))
        }
    }
}

/// What the command prints, and its exit code.
fn answer(root: &Path, options: &Options) -> Result<(String, u8), Trouble> {
    if options.bless {
        return bless(root).map(|text| (text, 0));
    }
    let report = report(root, options.revision.as_deref())?;
    let text = match options.format {
        Format::Text => report.text(),
        Format::Json => format!("{:#}\n", report.json()),
    };
    if options.check {
        check(root, &report)?;
        return Ok((text, 0));
    }
    let code = match report.classes() {
        (Class::Breaking, _) => 5,
        (_, Class::Breaking) => 4,
        (Class::Trivial, Class::Trivial) => 0,
        _ => 3,
    };
    Ok((text, code))
}

/// Compares each document of the work tree with what it was at the revision, or as it was published last.
fn report(root: &Path, revision: Option<&str>) -> Result<Report, Trouble> {
    let (mut comparisons, mut added) = (Vec::new(), Vec::new());
    for part in &PARTS {
        let new = Document::of_the_work_tree(root, part)?;
        let old = match revision {
            Some(revision) => Document::at(root, part, revision)?,
            None => Some(Document::published(root, part)?),
        };
        match old {
            Some(old) => comparisons.push(compare(old, new)),
            None => added.push(new),
        }
    }
    Ok(Report { comparisons, added })
}

/// All changes between two documents, in the order of the later one.
fn compare(old: Document, new: Document) -> Comparison {
    let mut found = changes(&old.root, &new.root);
    if found.is_empty() && old.text != new.text {
        found.push(Found {
            change: Change::LayoutChanged,
            side: Side::Elsewhere,
            place: "the document".to_owned(),
            old: Some(String::new()),
            new: Some(String::new()),
            operations: Default::default(),
            also: Vec::new(),
        });
    }
    let line = |found: &Found| {
        let pointer = found.new.as_ref().or(found.old.as_ref());
        pointer.map(|pointer| new.root.position(pointer))
    };
    found.sort_by_key(line);
    Comparison { old, new, found }
}

fn changes(old: &Node, new: &Node) -> Vec<Found> {
    let mut found = compare::compare(old, new);
    let rest = rest::remaining(old, new, &found);
    found.extend(rest);
    found
}

/// Holds the documents' version and changelog against their changes.
fn check(root: &Path, report: &Report) -> Result<(), Trouble> {
    let new = report.comparisons.iter().map(|comparison| &comparison.new);
    let version = one_version(new)?;
    for comparison in &report.comparisons {
        let (published, version) = (comparison.old.version, comparison.new.version);
        let needed = needed(published, report.classes());
        if version < needed {
            return Err(Trouble::VersionTooLow {
                version,
                published,
                needed,
                changes: report.text(),
            });
        }
    }
    version.map_or(Ok(()), |version| logged(root, version))
}

/// The version that all documents bear.
fn one_version<'a>(
    documents: impl Iterator<Item = &'a Document>,
) -> Result<Option<Version>, Trouble> {
    let mut one = None;
    for document in documents {
        let expected = *one.get_or_insert(document.version);
        if document.version != expected {
            return Err(Trouble::VersionsDiffer {
                path: document.name.clone(),
                version: document.version,
                expected,
            });
        }
    }
    Ok(one)
}

/// The lowest version that a document with these changes may have.
fn needed(published: Version, (callers, servers): (Class, Class)) -> Version {
    let Version(major, minor, patch) = published;
    match (callers.max(servers), major) {
        (Class::Trivial, _) => published,
        (Class::Compatible, 0) => Version(0, minor, patch + 1),
        (Class::Breaking, 0) => Version(0, minor + 1, 0),
        (Class::Compatible, _) => Version(major, minor + 1, 0),
        (Class::Breaking, _) => Version(major + 1, 0, 0),
    }
}

/// Whether the document's changelog has an entry of this version.
fn logged(root: &Path, version: Version) -> Result<(), Trouble> {
    let missing = Trouble::NotInChangelog { version };
    let Ok(text) = fs::read_to_string(root.join(CHANGELOG)) else {
        return Err(missing);
    };
    let name = version.to_string();
    let logged = text.lines().any(|line| {
        let first = line
            .strip_prefix("## ")
            .and_then(|line| line.split_whitespace().next());
        first.is_some_and(|word| word.trim_matches(['[', ']']) == name)
    });
    if logged { Ok(()) } else { Err(missing) }
}

/// Keeps the work tree's documents as the published ones of their version.
fn bless(root: &Path) -> Result<String, Trouble> {
    let api = Document::of_the_work_tree(root, &PARTS[0])?;
    let beside = Document::of_the_work_tree(root, &PARTS[1])?;
    one_version([&api, &beside].into_iter())?;
    let version = api.version;
    let known = versions(root)?;
    let is_known = known.contains(&version);
    if known.is_empty() {
        logged(root, version)?;
    } else if !is_known {
        check(root, &report(root, None)?)?;
    }
    let mut text = String::new();
    // The API comes last: a version is published when it is there.
    for (part, document) in PARTS.iter().zip([api, beside]).rev() {
        let path = published_path(part, version);
        let content = document.text.replace("\r\n", "\n");
        if is_known {
            let there =
                fs::read_to_string(root.join(&path)).map_err(|error| Trouble::Unreadable {
                    path: path.clone(),
                    error: error.to_string(),
                })?;
            if there.replace("\r\n", "\n") != content {
                let document = part.path;
                return Err(Trouble::PublishedAlready { path, document });
            }
            text.push_str(&format!("{path} is up to date\n"));
        } else {
            let write = || {
                fs::create_dir_all(root.join(PUBLISHED))?;
                fs::write(root.join(&path), content)
            };
            write().map_err(|error| Trouble::Unwritable {
                path: path.clone(),
                error: error.to_string(),
            })?;
            text.push_str(&format!("wrote {path}\n"));
        }
    }
    Ok(text)
}

/// Why there is no answer, or not the one that was hoped for. Each says what to do.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A document that isn't one, each mistake with its place.
    Mistakes(Vec<String>),
    Unreadable {
        path: String,
        error: String,
    },
    Unwritable {
        path: String,
        error: String,
    },
    NothingPublished,
    /// A file among the published documents that isn't one.
    Stray {
        path: String,
    },
    /// A published document that bears another version than its file.
    Mislabelled {
        path: String,
        version: Version,
    },
    PublishedAlready {
        path: String,
        document: &'static str,
    },
    /// Not all documents bear the same version.
    VersionsDiffer {
        path: String,
        version: Version,
        expected: Version,
    },
    GitDoesNotRun {
        error: String,
    },
    NoGit {
        revision: String,
    },
    UnknownRevision {
        revision: String,
        shallow: bool,
    },
    /// The revision has no document.
    NotThere {
        revision: String,
    },
    VersionTooLow {
        version: Version,
        published: Version,
        needed: Version,
        changes: String,
    },
    NotInChangelog {
        version: Version,
    },
}

impl Trouble {
    /// The exit code: whoever checks gets 1 for whatever is wrong, others 100, which no class of change has.
    fn code(&self, checking: bool) -> u8 {
        if checking { 1 } else { 100 }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let published = "leave REV out to compare with the last published version";
        match self {
            Self::Mistakes(mistakes) => {
                for mistake in mistakes {
                    writeln!(f, "{mistake}")?;
                }
                write!(f, "nothing was compared; mend the document first")
            }
            Self::Unreadable { path, error } => {
                write!(
                    f,
                    "can't read {path}: {error}; restore it with `git checkout -- {path}`"
                )
            }
            Self::Unwritable { path, error } => write!(f, "can't write {path}: {error}"),
            Self::NothingPublished => write!(
                f,
                "{PUBLISHED} holds no document to compare with; name a revision, or keep the work tree's as the first \
                 published one with `cargo xtask spec-diff --bless`"
            ),
            Self::Stray { path } => write!(
                f,
                "{path} isn't named after a version, such as 0.1.0.yaml; move it elsewhere"
            ),
            Self::Mislabelled { path, version } => write!(
                f,
                "{path} says that its version is {version}; a published document keeps the name and content that it was \
                 published with, so restore it with `git checkout -- {path}`"
            ),
            Self::VersionsDiffer {
                path,
                version,
                expected,
            } => write!(
                f,
                "{path} has version {version}, but {SPEC} has {expected}; they are published together, so give both the \
                 same `info.version`"
            ),
            Self::PublishedAlready { path, document } => write!(
                f,
                "{path} is published with other content, and a published document never changes; give {document}, \
                 and the document beside it, a new version, which `cargo xtask spec-diff --check` tells"
            ),
            Self::GitDoesNotRun { error } => {
                write!(f, "can't run git: {error}; install it, or {published}")
            }
            Self::NoGit { revision } => write!(
                f,
                "`{revision}` is no published version, and this folder isn't a work tree of git, so it can't be a \
                 revision; {published}"
            ),
            Self::UnknownRevision { revision, shallow } => {
                write!(f, "git knows no revision `{revision}`")?;
                if *shallow {
                    write!(
                        f,
                        ", but this clone is shallow; fetch the rest with `git fetch --unshallow`"
                    )?;
                } else {
                    write!(
                        f,
                        " and no such version is published; `git branch -a` and `ls {PUBLISHED}` list them"
                    )?;
                }
                write!(f, ", or {published}")
            }
            Self::NotThere { revision } => write!(
                f,
                "there is no {SPEC} at `{revision}`; name a later revision, or {published}"
            ),
            Self::VersionTooLow {
                version,
                published,
                needed,
                changes,
            } => write!(
                f,
                "{changes}\nthe version is {version}, which doesn't cover these changes of {published}; undo what breaks, \
                 or set `info.version` in {SPEC} and {} to {needed} and describe the changes under `## {needed}` in {CHANGELOG}",
                PARTS[1].path
            ),
            Self::NotInChangelog { version } => write!(
                f,
                "{CHANGELOG} has no entry for version {version}; describe the changes under `## {version}`"
            ),
        }
    }
}

impl std::error::Error for Trouble {}
