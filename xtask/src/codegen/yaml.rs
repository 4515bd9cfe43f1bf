//! Reads YAML into a tree that remembers where each value stands.
//!
//! The usual YAML-to-serde crates forget positions, and a mistake in a document of two thousand lines is only useful
//! with its line. So this module builds the tree from the parser's events. It takes the JSON-like part of YAML 1.2:
//! mappings with text keys, sequences, scalars by the core schema, and anchors with aliases. It refuses what would not
//! survive the way to JSON: tags, merge keys, duplicate keys, several documents.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};
use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value};

use super::mistake::{Mistake, Position, child_pointer};

/// A value of the document and the place where it starts.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) kind: Kind,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// In the order of the document, so that operations keep the order that their author gave them.
    Map(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Position,
    pub(crate) value: Node,
}

impl Node {
    /// The value under `key`, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The mapping's entries; none for any other kind.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The sequence's items; none for any other kind.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// The text, if this is text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if this is one.
    pub(crate) fn truth(&self) -> Option<bool> {
        match &self.kind {
            Kind::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// What kind of value this is, for messages.
    pub(crate) fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a truth value",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// The value that a JSON Pointer names, if there is one.
    pub(crate) fn find(&self, pointer: &str) -> Option<&Node> {
        let mut node = self;
        for step in steps(pointer) {
            node = node.step(&step)?.1;
        }
        Some(node)
    }

    /// Where the value that a JSON Pointer names stands: its key for a mapping's entry, its start for a list's item.
    /// A pointer that leads nowhere gets the position of the last value on its way.
    pub(crate) fn position(&self, pointer: &str) -> Position {
        let mut node = self;
        let mut at = self.at;
        for step in steps(pointer) {
            let Some((position, next)) = node.step(&step) else {
                break;
            };
            at = position;
            node = next;
        }
        at
    }

    /// The same value as JSON. Keys come out sorted whatever features serde_json was built with, so that everything
    /// derived from the result is the same in every build.
    pub(crate) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(value) => Value::Number(value.clone()),
            Kind::Text(value) => Value::String(value.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Kind::Map(entries) => {
                let mut sorted: Vec<&Entry> = entries.iter().collect();
                sorted.sort_by(|a, b| a.key.cmp(&b.key));
                let mut map = Map::new();
                for entry in sorted {
                    map.insert(entry.key.clone(), entry.value.to_json());
                }
                Value::Object(map)
            }
        }
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    fn step(&self, step: &str) -> Option<(Position, &Node)> {
        match &self.kind {
            Kind::Map(_) => self.entry(step).map(|entry| (entry.key_at, &entry.value)),
            Kind::List(items) => {
                let item = items.get(step.parse::<usize>().ok()?)?;
                Some((item.at, item))
            }
            _ => None,
        }
    }
}

/// Written in the order of the document, unlike [`Node::to_json`], for people to read.
impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.kind {
            Kind::Null => serializer.serialize_unit(),
            Kind::Bool(value) => serializer.serialize_bool(*value),
            Kind::Number(value) => value.serialize(serializer),
            Kind::Text(value) => serializer.serialize_str(value),
            Kind::List(items) => serializer.collect_seq(items),
            Kind::Map(entries) => {
                serializer.collect_map(entries.iter().map(|entry| (&entry.key, &entry.value)))
            }
        }
    }
}

/// The steps of a JSON Pointer, unescaped (RFC 6901).
fn steps(pointer: &str) -> impl Iterator<Item = String> {
    pointer
        .split('/')
        .skip(1)
        .map(|step| step.replace("~1", "/").replace("~0", "~"))
}

/// Parses one YAML document. A syntax error ends the parse and is reported alone; duplicate keys are all reported.
pub(crate) fn parse(text: &str) -> Result<Node, Vec<Mistake>> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        mistakes: Vec::new(),
    };
    let document = reader.document().map_err(|mistake| vec![mistake])?;
    if reader.mistakes.is_empty() {
        Ok(document)
    } else {
        Err(reader.mistakes)
    }
}

type Events<'a> = Parser<'a, saphyr_parser::StrInput<'a>>;

struct Reader<'a> {
    events: Events<'a>,
    anchors: HashMap<usize, Node>,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    fn next(&mut self, pointer: &str) -> Result<(Event<'a>, Span), Mistake> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(Mistake::new(
                position(*error.marker()),
                pointer,
                format!("not YAML: {}", error.info()),
            )),
            None => Err(Mistake::new(
                Position::START,
                pointer,
                "the document ends too early",
            )),
        }
    }

    fn document(&mut self) -> Result<Node, Mistake> {
        loop {
            let (event, span) = self.next("")?;
            match event {
                Event::StreamStart | Event::Nothing => {}
                Event::DocumentStart(_) => break,
                _ => {
                    return Err(Mistake::new(
                        position(span.start),
                        "",
                        "the file holds no document",
                    ));
                }
            }
        }
        let (event, span) = self.next("")?;
        let root = self.node(event, span, "")?;
        loop {
            let (event, span) = self.next("")?;
            match event {
                Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => return Ok(root),
                _ => {
                    return Err(Mistake::new(
                        position(span.start),
                        "",
                        "a second document starts here; the file may hold only one",
                    ));
                }
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, pointer: &str) -> Result<Node, Mistake> {
        let at = position(span.start);
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(anchor, tag)
            | Event::MappingStart(anchor, tag) => (*anchor, tag.is_some()),
            _ => (0, false),
        };
        if tag {
            self.mistakes.push(Mistake::new(
                at,
                pointer,
                "a YAML tag; write the value without it",
            ));
        }
        let kind = match event {
            Event::Scalar(text, style, ..) => scalar(&text, style),
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id) else {
                    return Err(Mistake::new(
                        at,
                        pointer,
                        "an alias of an anchor that is not finished yet",
                    ));
                };
                node.kind.clone()
            }
            Event::SequenceStart(..) => self.list(pointer)?,
            Event::MappingStart(..) => self.map(pointer)?,
            other => {
                return Err(Mistake::new(
                    at,
                    pointer,
                    format!("expected a value, found {other:?}"),
                ));
            }
        };
        let node = Node { at, kind };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, pointer: &str) -> Result<Kind, Mistake> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next(pointer)?;
            if event == Event::SequenceEnd {
                return Ok(Kind::List(items));
            }
            let child = child_pointer(pointer, &items.len().to_string());
            items.push(self.node(event, span, &child)?);
        }
    }

    fn map(&mut self, pointer: &str) -> Result<Kind, Mistake> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next(pointer)?;
            let key_at = position(span.start);
            let key = match event {
                Event::MappingEnd => return Ok(Kind::Map(entries)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(Mistake::new(key_at, pointer, "a key that is not text")),
            };
            let child = child_pointer(pointer, &key);
            let (event, span) = self.next(&child)?;
            let value = self.node(event, span, &child)?;
            if key == "<<" {
                self.mistakes.push(Mistake::new(
                    key_at,
                    &child,
                    "a merge key, which YAML 1.2 does not have; write the entries out",
                ));
            } else if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                self.mistakes.push(Mistake::new(
                    key_at,
                    &child,
                    format!(
                        "`{key}` stands twice in this mapping, first in line {}; only one can be meant",
                        first.key_at.line
                    ),
                ));
            } else {
                entries.push(Entry { key, key_at, value });
            }
        }
    }
}

/// Resolves a scalar by the core schema of YAML 1.2: only plain scalars are anything but text.
fn scalar(text: &str, style: ScalarStyle) -> Kind {
    if style != ScalarStyle::Plain {
        return Kind::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ => number(text).map_or_else(|| Kind::Text(text.to_owned()), Kind::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    // Rust reads `inf` and `nan` as floats, YAML writes them `.inf` and `.nan`, and JSON has neither.
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    Number::from_f64(text.parse::<f64>().ok()?)
}

fn position(marker: Marker) -> Position {
    Position {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        parse(text)
            .expect_err("the document has a mistake")
            .iter()
            .map(|mistake| mistake.in_file("f.yaml"))
            .collect()
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        let text = "[~, null, true, False, yes, 12, -3, 0x1f, 0o17, 1.5, '1', \"null\", 2024-01-01, 1_000, .inf, +7, -x]";
        assert_eq!(
            parse(text).unwrap().to_json(),
            json!([
                null,
                null,
                true,
                false,
                "yes",
                12,
                -3,
                31,
                15,
                1.5,
                "1",
                "null",
                "2024-01-01",
                "1_000",
                ".inf",
                7,
                "-x"
            ])
        );
    }

    #[test]
    fn anchors_and_aliases_are_expanded() {
        let node = parse("a: &x {b: 1}\nc: *x\n").unwrap();
        assert_eq!(node.to_json(), json!({"a": {"b": 1}, "c": {"b": 1}}));
    }

    #[test]
    fn positions_are_one_based_and_name_the_key() {
        let node = parse("a:\n  b/c:\n    - x\n    - y: 1\n").unwrap();
        assert_eq!(node.position("/a/b~1c"), Position { line: 2, column: 3 });
        assert_eq!(
            node.position("/a/b~1c/1/y"),
            Position { line: 4, column: 7 }
        );
        assert_eq!(node.find("/a/b~1c/0").unwrap().text(), Some("x"));
        // A pointer past the end falls back to the last value that is there.
        assert_eq!(node.position("/a/b~1c/9"), Position { line: 2, column: 3 });
    }

    #[test]
    fn every_duplicate_key_is_reported() {
        assert_eq!(
            mistakes("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n"),
            [
                "f.yaml:4:3: /b/c: `c` stands twice in this mapping, first in line 3; only one can be meant",
                "f.yaml:5:1: /a: `a` stands twice in this mapping, first in line 1; only one can be meant",
            ]
        );
    }

    #[test]
    fn syntax_errors_have_a_position_and_a_pointer() {
        let all = mistakes("a:\n  b: [1, 2\nc: 3\n");
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].starts_with("f.yaml:3:"), "{all:?}");
        assert!(all[0].contains(": /a/b: not YAML: "), "{all:?}");
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        assert_eq!(mistakes("a: !!str 1\n").len(), 1);
        assert_eq!(mistakes("a: &x {b: 1}\nc: {<<: *x}\n").len(), 1);
        assert_eq!(mistakes("a: 1\n---\nb: 2\n").len(), 1);
        assert_eq!(mistakes("[a]: 1\n").len(), 1);
        assert_eq!(mistakes("a: &x [*x]\n").len(), 1);
        assert_eq!(mistakes("").len(), 1);
    }
}
