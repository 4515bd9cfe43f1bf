//! A mistake in the document: where it stands and what is wrong.

use std::fmt;

/// A place in a text file; both numbers count from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Position {
    /// The first character of a file.
    pub(crate) const START: Position = Position { line: 1, column: 1 };
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mistake {
    at: Position,
    pointer: String,
    message: String,
}

impl Mistake {
    /// A mistake of the value that the JSON Pointer `pointer` names.
    pub(crate) fn new(at: Position, pointer: &str, message: impl Into<String>) -> Self {
        Self {
            at,
            pointer: pointer.to_owned(),
            message: message.into(),
        }
    }

    /// The mistake as one line, in the form that editors and terminals can jump to.
    pub(crate) fn in_file(&self, file: &str) -> String {
        let Position { line, column } = self.at;
        let pointer = if self.pointer.is_empty() {
            "/"
        } else {
            &self.pointer
        };
        format!("{file}:{line}:{column}: {pointer}: {}", self.message)
    }
}

/// All mistakes found in one file, in the order of the file.
#[derive(Debug)]
pub(crate) struct Mistakes {
    file: String,
    list: Vec<Mistake>,
}

impl Mistakes {
    /// Collects the mistakes of `file`; the same mistake found by two checks is kept once.
    pub(crate) fn new(file: &str, mut list: Vec<Mistake>) -> Self {
        list.sort();
        list.dedup();
        Self {
            file: file.to_owned(),
            list,
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.list {
            writeln!(f, "{}", mistake.in_file(&self.file))?;
        }
        match self.list.len() {
            1 => write!(f, "1 mistake in {}; nothing was generated", self.file),
            count => write!(
                f,
                "{count} mistakes in {}; nothing was generated",
                self.file
            ),
        }
    }
}

impl std::error::Error for Mistakes {}

/// The JSON Pointer of an entry or item of the value that `parent` names (RFC 6901).
pub(crate) fn child_pointer(parent: &str, step: &str) -> String {
    format!("{parent}/{}", step.replace('~', "~0").replace('/', "~1"))
}
