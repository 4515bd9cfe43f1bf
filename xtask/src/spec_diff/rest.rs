//! Compares two documents key by key, so that nothing goes unseen.
//!
//! [`mod@super::compare`] finds what it has rules for. Here every value that differs is looked up among its findings. What
//! isn't there is documentation, another way to write the same, or a key without a rule, which is refused rather than
//! passed over.

use std::cell::LazyCell;
use std::collections::BTreeSet;

use super::change::{Change, Side};
use super::compare::{At, Found, same};
use crate::codegen::grammar::{Step, trail};
use crate::codegen::yaml::{Kind, Node};

/// A place where the documents differ.
struct Difference {
    old: Option<String>,
    new: Option<String>,
    /// Only the order differs.
    order: bool,
}

/// The changes that aren't among those `found` already.
pub(super) fn remaining(old: &Node, new: &Node, found: &[Found]) -> Vec<Found> {
    let mut differences = Vec::new();
    differ(&At::root(old), &At::root(new), &mut differences);
    // Most differences are explained without this.
    let reach = LazyCell::new(|| (reached(old), reached(new)));
    let mut rest: Vec<Found> = Vec::new();
    for difference in differences {
        let Some(pointer) = difference.new.as_ref().or(difference.old.as_ref()) else {
            continue;
        };
        let steps = trail(pointer);
        let prose = steps.iter().find(|step| is_prose(step));
        let unknown = steps.iter().find(|step| step.key.starts_with("x-"));
        let (change, end) = if let Some(step) = prose {
            (Change::DocumentationChanged, Some(step.end))
        } else if explains(found, &difference, old, new) {
            continue;
        } else if let Some(step) =
            unknown.filter(|step| !matches!(step.key, "x-null-keeps" | "x-deprecated-values"))
        {
            (Change::Unjudged(step.key.to_owned()), Some(step.end))
        } else if let Some(change) = component(pointer, &difference, || &reach) {
            (change, None)
        } else if difference.order {
            (Change::Reordered, None)
        } else {
            match steps.last() {
                Some(step) if has_rules(step) && !hides(step, &difference, old, new) => {
                    (Change::WrittenDifferently, None)
                }
                step => (
                    Change::Unjudged(step.map_or_else(String::new, |step| step.key.to_owned())),
                    None,
                ),
            }
        };
        // A change of an example is one change, however many values of it differ. The end is the same in both pointers
        // unless a list on the way was reordered.
        let cut = |pointer: &Option<String>| {
            let pointer = pointer.as_ref()?;
            let end = match end {
                Some(_) => trail(pointer)
                    .iter()
                    .find(|step| is_prose(step) || step.key.starts_with("x-"))
                    .map_or(pointer.len(), |step| match step.object {
                        // One of the examples, which have names of their own.
                        "Components Object" => {
                            let name = pointer[step.end..].split('/').nth(1);
                            step.end + name.map_or(0, |name| 1 + name.len())
                        }
                        _ => step.end,
                    }),
                None => pointer.len(),
            };
            Some(pointer[..end].to_owned())
        };
        let (old, new) = (cut(&difference.old), cut(&difference.new));
        if rest
            .iter()
            .any(|found| found.change == change && found.old == old && found.new == new)
        {
            continue;
        }
        rest.push(Found {
            place: place(new.as_ref().or(old.as_ref()).map_or("", |pointer| pointer)),
            change,
            side: Side::Elsewhere,
            old,
            new,
            operations: BTreeSet::new(),
            also: Vec::new(),
        });
    }
    rest
}

/// Whether only people read what stands under this key.
pub(super) fn is_prose(step: &Step<'_>) -> bool {
    matches!(
        (step.object, step.key),
        (
            _,
            "description" | "summary" | "externalDocs" | "example" | "examples"
        ) | ("OpenAPI Object", "tags")
            | (
                "Info Object",
                "title" | "termsOfService" | "contact" | "license"
            )
            | ("Schema Object", "title")
            | ("Security Scheme Object", "bearerFormat")
    )
}

/// Whether the comparison has rules for this key, so that a difference that it doesn't report means nothing.
fn has_rules(step: &Step<'_>) -> bool {
    match step.object {
        "OpenAPI Object" => step.key != "tags",
        "Info Object" => step.key == "version",
        "Server Object" | "Server Variable Object" | "Discriminator Object" => true,
        "Security Scheme Object" => true,
        "Parameter Object" | "Header Object" | "Components Object" => {
            !matches!(step.key, "links" | "callbacks")
        }
        "Path Item Object" => step.key != "servers",
        "Operation Object" => !matches!(step.key, "callbacks" | "servers"),
        "Request Body Object" => true,
        "Media Type Object" => step.key == "schema",
        "Response Object" => step.key != "links",
        "Schema Object" => !matches!(step.key, "not" | "readOnly" | "writeOnly" | "xml"),
        _ => false,
    }
}

/// Whether a difference in a schema means something after all. A schema and its `allOf` may say the same key twice, and
/// the comparison heeds one of them; so only what says nothing by itself is taken for another way to write the same.
fn hides(step: &Step<'_>, difference: &Difference, old: &Node, new: &Node) -> bool {
    if step.object != "Schema Object" {
        return false;
    }
    let value = |root: &Node, pointer: &Option<String>| {
        root.find(pointer.as_ref()?).map(|node| node.kind.clone())
    };
    let one = match (value(old, &difference.old), value(new, &difference.new)) {
        (Some(Kind::Map(_)), Some(Kind::Map(_))) => return false,
        (Some(one), None) | (None, Some(one)) => one,
        _ => return true,
    };
    match one {
        Kind::Bool(value) => value != (step.key == "additionalProperties"),
        Kind::Number(number) => {
            let is_count = matches!(step.key, "minLength" | "minItems" | "minProperties");
            !(is_count && number.as_u64() == Some(0))
        }
        _ => !matches!(step.key, "type" | "allOf"),
    }
}

/// Whether one of the changes stands where the documents differ, above it or below it.
fn explains(found: &[Found], difference: &Difference, old: &Node, new: &Node) -> bool {
    // A reference differs because what it leads to has another name.
    let target = |root: &Node, pointer: &Option<String>| {
        let text = root.find(pointer.as_ref()?)?.get("$ref")?.text()?;
        Some(text.strip_prefix('#')?.to_owned())
    };
    let targets = (target(old, &difference.old), target(new, &difference.new));
    // What else differs in a list of parameters isn't explained by their order.
    let is_about = |found: &Found| difference.order || found.change != Change::ParametersReordered;
    found.iter().filter(|found| is_about(found)).any(|found| {
        let related = |a: &Option<String>, b: &Option<String>| match (a, b) {
            (Some(a), Some(b)) => contains(a, b) || contains(b, a),
            _ => false,
        };
        related(&found.old, &difference.old)
            || related(&found.new, &difference.new)
            || (targets.0.is_some() && found.old == targets.0 && found.new == targets.1)
            || found.also.iter().any(|also| {
                difference
                    .old
                    .as_ref()
                    .is_some_and(|old| contains(also, old))
                    || difference
                        .new
                        .as_ref()
                        .is_some_and(|new| contains(also, new))
            })
    })
}

/// Whether the value that `outer` names holds the one that `inner` names, or is it.
pub(super) fn contains(outer: &str, inner: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a difference in a component is by itself: a component that came or went, or one that no operation reaches.
fn component<'r>(
    pointer: &str,
    difference: &Difference,
    reach: impl FnOnce() -> &'r (BTreeSet<String>, BTreeSet<String>),
) -> Option<Change> {
    let rest = pointer.strip_prefix("/components/")?;
    let mut steps = rest.split('/');
    let (section, name) = (steps.next()?, steps.next()?);
    if steps.next().is_none() {
        match (&difference.old, &difference.new) {
            (None, _) => return Some(Change::ComponentAdded),
            (_, None) => return Some(Change::ComponentRemoved),
            _ => {}
        }
    }
    let component = format!("/components/{section}/{name}");
    let (before, after) = reach();
    (!before.contains(&component) && !after.contains(&component))
        .then_some(Change::WrittenDifferently)
}

/// The components that the operations reach.
pub(super) fn reached(root: &Node) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut queue: Vec<&Node> = root.get("paths").into_iter().collect();
    let schemes = root
        .find("/components/securitySchemes")
        .map_or(&[][..], Node::entries);
    for scheme in schemes {
        reached.insert(format!(
            "/components/securitySchemes/{}",
            scheme.key.replace('~', "~0").replace('/', "~1")
        ));
    }
    while let Some(node) = queue.pop() {
        if let Some(pointer) = node
            .get("$ref")
            .and_then(Node::text)
            .and_then(|text| text.strip_prefix('#'))
            && reached.insert(pointer.to_owned())
        {
            queue.extend(root.find(pointer));
        }
        queue.extend(node.entries().iter().map(|entry| &entry.value));
        queue.extend(node.items());
    }
    reached
}

/// What people call the place of a JSON Pointer: the component or path and what follows, without the rest.
fn place(pointer: &str) -> String {
    let steps: Vec<String> = pointer
        .split('/')
        .skip(1)
        .map(|step| step.replace("~1", "/").replace("~0", "~"))
        .collect();
    let (head, rest) = match steps.as_slice() {
        [components, section, name, rest @ ..] if components == "components" => {
            let head = match section.as_str() {
                "schemas" => name.clone(),
                _ => format!("{} {name}", section.trim_end_matches('s')),
            };
            (head, rest)
        }
        [paths, path, rest @ ..] if paths == "paths" => match rest {
            [method, rest @ ..] => (format!("{} {path}", method.to_uppercase()), rest),
            [] => (path.clone(), rest),
        },
        [] => return "the document".to_owned(),
        steps => (steps.join("."), &[][..]),
    };
    let mut text = head;
    for step in rest.iter().filter(|step| *step != "properties") {
        text.push('.');
        text.push_str(step);
    }
    text
}

/// Collects the places where two values differ, the smallest that differ.
fn differ(old: &At<'_>, new: &At<'_>, differences: &mut Vec<Difference>) {
    if same(old.node, new.node) {
        return;
    }
    let mut push = |old: Option<&At<'_>>, new: Option<&At<'_>>, order| {
        differences.push(Difference {
            old: old.map(|at| at.pointer.clone()),
            new: new.map(|at| at.pointer.clone()),
            order,
        });
    };
    match (&old.node.kind, &new.node.kind) {
        (Kind::Map(_), Kind::Map(_)) => {
            let reference = |at: &At<'_>| at.node.get("$ref").map(Node::to_json);
            if reference(old) != reference(new) {
                return push(Some(old), Some(new), false);
            }
            let (before, after) = (old.entries(), new.entries());
            let mut pairs = Vec::new();
            let mut order = Vec::new();
            for (key, one) in &before {
                match after.iter().position(|(other, _)| other == key) {
                    None => push(Some(one), None, false),
                    Some(index) => {
                        order.push(index);
                        pairs.push((one, &after[index].1));
                    }
                }
            }
            for (key, other) in &after {
                if !before.iter().any(|(known, _)| known == key) {
                    push(None, Some(other), false);
                }
            }
            if !order.is_sorted() {
                push(Some(old), Some(new), true);
            }
            for (one, other) in pairs {
                differ(one, other, differences);
            }
        }
        (Kind::List(_), Kind::List(_)) => {
            let (before, after) = (old.items(), new.items());
            let one: Vec<_> = before.iter().map(identity).collect();
            let other: Vec<_> = after.iter().map(identity).collect();
            let mut pairs: Vec<(usize, usize)> = Vec::new();
            let mut taken = BTreeSet::new();
            for (index, identity) in one.iter().enumerate() {
                let found = (0..other.len()).find(|there| {
                    identity.is_some() && other[*there] == *identity && !taken.contains(there)
                });
                if let Some(there) = found {
                    taken.insert(there);
                    pairs.push((index, there));
                }
            }
            // What has no identity is known by its place.
            for index in 0..before.len().min(after.len()) {
                if one[index].is_none() && other[index].is_none() {
                    taken.insert(index);
                    pairs.push((index, index));
                }
            }
            for (index, at) in before.iter().enumerate() {
                if !pairs.iter().any(|(known, _)| *known == index) {
                    push(Some(at), None, false);
                }
            }
            for (index, at) in after.iter().enumerate() {
                if !taken.contains(&index) {
                    push(None, Some(at), false);
                }
            }
            pairs.sort_unstable();
            if !pairs.is_sorted_by_key(|(_, there)| *there) {
                push(Some(old), Some(new), true);
            }
            for (index, there) in pairs {
                differ(&before[index], &after[there], differences);
            }
        }
        _ => push(Some(old), Some(new), false),
    }
}

/// What an item of a list is known by, so that it is found again where the list grew or was reordered.
fn identity(at: &At<'_>) -> Option<String> {
    match &at.node.kind {
        Kind::Map(_) => {
            let text = |key| at.node.get(key).and_then(Node::text);
            let name = text("$ref")
                .or_else(|| text("url"))
                .or_else(|| text("title"))
                .or_else(|| text("name"))?;
            Some(format!("{} {name}", text("in").unwrap_or_default()))
        }
        Kind::List(_) => None,
        _ => Some(at.node.to_json().to_string()),
    }
}
