//! What a comparison says, for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::change::{Change, Class, Side};
use super::compare::Found;
use super::source::Document;

/// The changes of all documents that are published together.
pub(crate) struct Report {
    /// The API first.
    pub(crate) comparisons: Vec<Comparison>,
    /// The documents that there was nothing to compare with.
    pub(crate) added: Vec<Document>,
}

impl Report {
    /// What the changes of all documents together mean for callers and for servers.
    pub(crate) fn classes(&self) -> (Class, Class) {
        let none = (Class::Trivial, Class::Trivial);
        // A document that is new has only operations that are new.
        let added = self.added.iter().map(|_| {
            let judgement = Change::OperationAdded.judge(Side::Elsewhere);
            (judgement.callers, judgement.servers)
        });
        let all = self.comparisons.iter().map(Comparison::classes);
        all.chain(added).fold(none, |most, classes| {
            (most.0.max(classes.0), most.1.max(classes.1))
        })
    }

    /// The report for people, under a heading for each document.
    pub(crate) fn text(&self) -> String {
        let added = self.added.iter().map(|document| {
            let (name, version) = (&document.name, document.version);
            format!("{name} ({version}) wasn't there\nall of it is new: compatible for callers, breaking for servers\n")
        });
        let all = self.comparisons.iter().map(Comparison::text);
        all.chain(added).collect::<Vec<_>>().join("\n")
    }

    /// The report for programs.
    pub(crate) fn json(&self) -> Value {
        let (callers, servers) = self.classes();
        let added: Vec<&str> = self
            .added
            .iter()
            .map(|document| document.name.as_str())
            .collect();
        json!({
            "callers": callers.to_string(),
            "servers": servers.to_string(),
            "documents": self.comparisons.iter().map(Comparison::json).collect::<Vec<_>>(),
            "added": added,
        })
    }
}

/// The changes between two documents.
pub(crate) struct Comparison {
    pub(crate) old: Document,
    pub(crate) new: Document,
    pub(crate) found: Vec<Found>,
}

impl Comparison {
    /// What the changes together mean for callers and for servers.
    fn classes(&self) -> (Class, Class) {
        let mut classes = (Class::Trivial, Class::Trivial);
        for found in &self.found {
            let judgement = found.change.judge(found.side);
            classes.0 = classes.0.max(judgement.callers);
            classes.1 = classes.1.max(judgement.servers);
        }
        classes
    }

    /// The report for people.
    fn text(&self) -> String {
        let mut text = format!(
            "{} ({}) against {} ({})\n",
            self.new.name, self.new.version, self.old.name, self.old.version
        );
        if self.found.is_empty() {
            text.push_str("no changes\n");
            return text;
        }
        let mut counts = Vec::new();
        for (title, kind) in [
            ("breaking for callers", Kind::Callers),
            ("breaking for servers only", Kind::Servers),
            ("compatible", Kind::Compatible),
            ("trivial", Kind::Trivial),
        ] {
            let group: Vec<&Found> = self
                .found
                .iter()
                .filter(|found| self::kind(found) == kind)
                .collect();
            if group.is_empty() {
                continue;
            }
            counts.push(format!("{} {title}", group.len()));
            // Writing to a string can't fail.
            let _ = write!(text, "\n{title}:\n");
            for found in group {
                self.one(found, kind, &mut text);
            }
        }
        let count = self.found.len();
        let changes = if count == 1 { "change" } else { "changes" };
        let _ = write!(text, "\n{count} {changes}: {}\n", counts.join(", "));
        text
    }

    fn one(&self, found: &Found, kind: Kind, text: &mut String) {
        let judgement = found.change.judge(found.side);
        let detail = found
            .change
            .detail()
            .map_or_else(String::new, |detail| format!(" ({})", one_line(&detail)));
        let mut place = found.place.clone();
        match found.side {
            Side::Request => place.push_str(", sent by callers"),
            Side::Reply => place.push_str(", sent by servers"),
            Side::Elsewhere => {}
        }
        let _ = writeln!(text, "  {}: {place}{detail}", found.change.id());
        let (file, pointer, line) = match self.lines(found) {
            (_, Some((line, pointer))) => (&self.new.name, pointer, line),
            (Some((line, pointer)), None) => (&self.old.name, pointer, line),
            (None, None) => return,
        };
        let _ = writeln!(text, "    {file}:{line}: {pointer}");
        if kind == Kind::Trivial {
            return;
        }
        if !found.operations.is_empty() {
            let names: Vec<&str> = found.operations.iter().map(String::as_str).collect();
            let _ = writeln!(text, "    in {}", names.join(", "));
        }
        let servers = match kind {
            Kind::Callers if judgement.servers == Class::Breaking => " (breaking for servers, too)",
            _ => "",
        };
        let _ = writeln!(text, "    why: {}{servers}", judgement.cause);
        let _ = writeln!(text, "    do: {}", judgement.remedy);
    }

    /// The report for programs.
    fn json(&self) -> Value {
        let (callers, servers) = self.classes();
        let changes: Vec<Value> = self
            .found
            .iter()
            .map(|found| {
                let judgement = found.change.judge(found.side);
                let (old, new) = self.lines(found);
                let place = |at: Option<Line<'_>>| {
                    at.map(|(line, pointer)| json!({ "line": line, "pointer": pointer }))
                };
                json!({
                    "change": found.change.id(),
                    "side": match found.side {
                        Side::Request => Some("request"),
                        Side::Reply => Some("reply"),
                        Side::Elsewhere => None,
                    },
                    "place": found.place,
                    "detail": found.change.detail(),
                    "operations": found.operations,
                    "old": place(old),
                    "new": place(new),
                    "callers": judgement.callers.to_string(),
                    "servers": judgement.servers.to_string(),
                    "cause": judgement.cause,
                    "remedy": judgement.remedy,
                })
            })
            .collect();
        let document = |document: &Document| json!({ "name": document.name, "version": document.version.to_string() });
        json!({
            "old": document(&self.old),
            "new": document(&self.new),
            "callers": callers.to_string(),
            "servers": servers.to_string(),
            "changes": changes,
        })
    }

    /// The line and the pointer of what stands in either document.
    fn lines<'a>(&self, found: &'a Found) -> (Option<Line<'a>>, Option<Line<'a>>) {
        let line = |document: &Document, pointer: &'a Option<String>| {
            let pointer = pointer.as_deref()?;
            document.root.find(pointer)?;
            let shown = if pointer.is_empty() { "/" } else { pointer };
            Some((document.root.position(pointer).line, shown))
        };
        (line(&self.old, &found.old), line(&self.new, &found.new))
    }
}

/// A line of a document, and the pointer of what stands there.
type Line<'a> = (usize, &'a str);

/// The groups of the report.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Callers,
    Servers,
    Compatible,
    Trivial,
}

fn kind(found: &Found) -> Kind {
    let judgement = found.change.judge(found.side);
    match (judgement.callers, judgement.servers) {
        (Class::Breaking, _) => Kind::Callers,
        (_, Class::Breaking) => Kind::Servers,
        (Class::Trivial, Class::Trivial) => Kind::Trivial,
        _ => Kind::Compatible,
    }
}

/// The beginning of a text, on one line.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
