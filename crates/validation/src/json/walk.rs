//! The walk through a body's text along its shape, which finds everything that the raw rules speak of.
//!
//! It takes every JSON document to its end and never stops at a fault of the data; only a fault of the JSON itself ends
//! it. It takes values apart no further than they have the right type: what is inside a value that shouldn't be there
//! is read for its syntax alone. How deep it goes is bounded by serde_json, which refuses the 128th level.

use std::fmt;
use std::ops::Range;

use layer_payments_types::{Enumeration, GuidedUnion, Object, Property, Shape, TaggedUnion};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::findings::Findings;
use super::keys::{Key, Keys, Seen, Times};
use super::text::{Number, is_uuid, number, timestamp_hint};
use crate::message::{listed, quoted};
use crate::nearest::nearest;
use crate::pointer::Pointer;
use crate::rule::Rule;
use crate::timestamp;

/// What a list's elements came to.
#[derive(Default)]
pub(super) struct Elements {
    /// For each element whether there is an error in it, listed or not. `None` if there is no list.
    pub(super) refused: Option<Vec<bool>>,
    /// The elements with violations in the list of all, in order: their places, and where their violations end. They
    /// begin where those of the one before end.
    pub(super) listed: Vec<(usize, usize)>,
}

/// A value on the way.
pub(super) struct Walk<'a> {
    pub(super) found: &'a mut Findings,
    pub(super) place: &'a Pointer<'a>,
    pub(super) shape: Shape,
    pub(super) nullable: bool,
    /// Where to note what becomes of the elements, if the value is a list and somebody wants to know.
    pub(super) elements: Option<&'a mut Elements>,
}

impl Walk<'_> {
    fn add(&mut self, rule: Rule, message: impl FnOnce() -> String) {
        self.found.add(rule, self.place, message);
    }

    /// Reports a value of the wrong JSON type.
    fn mismatch(&mut self, what: impl fmt::Display) {
        let (shape, nullable) = (self.shape, self.nullable);
        self.add(Rule::TypeMismatch, || {
            let or_null = if nullable { " or null" } else { "" };
            format!(
                "The value is {what}; it must be {}{or_null}.",
                expected(shape)
            )
        });
    }

    /// Judges the text of a number where a whole number belongs.
    fn whole_number(&mut self, text: &str) {
        match number(text) {
            Number::Fits => {}
            Number::NotWhole => self.mismatch(format_args!("the number {}", bare(text))),
            Number::TooLarge => self.add(Rule::IntegerOutOfRange, || {
                format!(
                    "The value is {}; it must be from {} to {}, which is what fits into 64 bits.",
                    bare(text),
                    i64::MIN,
                    i64::MAX
                )
            }),
        }
    }

    fn text(&mut self, text: &str) {
        match self.shape {
            Shape::Text => {}
            Shape::Timestamp => {
                if timestamp::parse(text).is_none() {
                    self.add(Rule::TimestampMalformed, || {
                        format!(
                            "The value is {}; it must be {}. {}",
                            quoted(text),
                            expected(Shape::Timestamp),
                            timestamp_hint(text)
                        )
                    });
                }
            }
            Shape::Uuid => {
                if !is_uuid(text) {
                    self.add(Rule::UuidMalformed, || {
                        format!(
                            "The value is {}; it must be {}.",
                            quoted(text),
                            expected(Shape::Uuid)
                        )
                    });
                }
            }
            Shape::Enumeration(values) => self.enumeration(values, text),
            _ => self.mismatch(format_args!("the text {}", quoted(text))),
        }
    }

    fn enumeration(&mut self, known: &Enumeration, text: &str) {
        if known.values.contains(&text) {
            return;
        }
        if let Some((_, current)) = known.deprecated.iter().find(|(old, _)| *old == text) {
            self.add(Rule::MethodDeprecated, || {
                format!(
                    "The value `{text}` is an older name; write `{current}`, which means the same."
                )
            });
            return;
        }
        self.add(Rule::ValueUnknown, || {
            let values = || known.values.iter().copied();
            let meant = match nearest(text, values()) {
                Some(value) => format!(" Did you mean `{value}`?"),
                None => String::new(),
            };
            format!(
                "The value is {}; it must be {}.{meant}",
                quoted(text),
                listed(values())
            )
        });
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<(), D::Error> {
        if !matches!(self.shape, Shape::Integer) {
            return deserializer.deserialize_any(self);
        }
        // Whether a number was written as a whole number, or is just too large for one, only its text tells.
        let text = <&RawValue>::deserialize(deserializer)?.get();
        if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            self.whole_number(text);
            return Ok(());
        }
        // The text was skipped to its end, not read.
        serde_json::Deserializer::from_str(text)
            .deserialize_any(self)
            .map_err(|error| D::Error::custom(super::without_place(&error.to_string())))
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(mut self) -> Result<(), E> {
        if !self.nullable {
            self.mismatch("null");
        }
        Ok(())
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        if !matches!(self.shape, Shape::Boolean) {
            self.mismatch(value);
        }
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.mismatch(format_args!("the number {value}"));
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.mismatch(format_args!("the number {value}"));
        Ok(())
    }

    fn visit_f64<E>(mut self, _: f64) -> Result<(), E> {
        self.mismatch("a number");
        Ok(())
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        self.text(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let Shape::List(shape) = self.shape else {
            self.mismatch("a list");
            return Skip.visit_seq(items);
        };
        let mut refused = Vec::new();
        let mut index = 0;
        loop {
            let errors = self.found.errors();
            let start = self.found.len();
            let walk = Walk {
                found: self.found,
                place: &self.place.index(index),
                shape: *shape,
                nullable: false,
                elements: None,
            };
            if items.next_element_seed(walk)?.is_none() {
                break;
            }
            if let Some(elements) = &mut self.elements {
                refused.push(self.found.errors() > errors);
                let end = self.found.len();
                if end > start {
                    elements.listed.push((index, end));
                }
            }
            index += 1;
        }
        if let Some(elements) = self.elements {
            elements.refused = Some(refused);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, entries: A) -> Result<(), A::Error> {
        match self.shape {
            Shape::Object(object) => Inside::of(self).object(object, entries),
            Shape::Guided(union) => Inside::of(self).guided(union, entries),
            Shape::Tagged(union) => Inside::of(self).tagged(union, entries),
            Shape::FreeObject => Free::of(self).visit_map(entries),
            _ => {
                self.mismatch("an object");
                Skip.visit_map(entries)
            }
        }
    }
}

/// What a shape asks for, for "it must be ...".
fn expected(shape: Shape) -> String {
    match shape {
        Shape::Text => "a text".to_owned(),
        Shape::Integer => {
            "a whole number of cents (no quotes, point or exponent)".to_owned()
        }
        Shape::Boolean => "true or false".to_owned(),
        Shape::Timestamp => {
            "an RFC 3339 timestamp such as \"2024-02-27T02:22:55Z\"".to_owned()
        }
        Shape::Uuid => {
            "a UUID such as \"3a9c378e-dc02-4700-9158-f629d632a83b\"".to_owned()
        }
        Shape::Enumeration(known) => listed(known.values.iter().copied()),
        Shape::Tagged(_) => {
            "an object that names an account, such as {\"type\":\"StableName\",\"stable_name\":\"BANK_FEES\"}"
                .to_owned()
        }
        Shape::Object(_) | Shape::Guided(_) | Shape::FreeObject => "an object".to_owned(),
        Shape::List(_) => "a list".to_owned(),
    }
}

/// A number's text, not longer than a person reads.
fn bare(text: &str) -> impl fmt::Display {
    const MOST: usize = 40;
    // A number is ASCII.
    let more = if text.len() > MOST { "…" } else { "" };
    let text = text.get(..MOST).unwrap_or(text).to_owned();
    text + more
}

/// An object on the way: its place, and what has been seen in it.
struct Inside<'a, 'de> {
    found: &'a mut Findings,
    place: &'a Pointer<'a>,
    seen: Seen,
    unknown: Keys<'de>,
}

impl<'a, 'de> Inside<'a, 'de> {
    fn of(walk: Walk<'a>) -> Self {
        Inside {
            found: walk.found,
            place: walk.place,
            seen: Seen::default(),
            unknown: Keys::default(),
        }
    }

    /// An object of one form.
    fn object<A: MapAccess<'de>>(
        mut self,
        object: &'static Object,
        mut entries: A,
    ) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key_seed(Key)? {
            match object.property(&key) {
                Some((index, property)) => {
                    self.property(index, property, &mut entries)?;
                }
                None => {
                    let names = object.properties.iter().map(|property| property.name);
                    self.unknown(key, names, &mut entries)?;
                }
            }
        }
        let seen = self.seen;
        self.missing(object, |_, index| seen.has(index));
        Ok(())
    }

    /// An object of one of two forms, which the mark tells apart. The mark may stand at the end, so properties are
    /// looked at as those of either form; where they may not stand together, that is all that is said about them.
    fn guided<A: MapAccess<'de>>(
        mut self,
        union: &'static GuidedUnion,
        mut entries: A,
    ) -> Result<(), A::Error> {
        let members = [union.marked, union.unmarked];
        let mut marked = false;
        let mut of_the_other = None;
        let mut contested = Vec::new();
        while let Some(key) = entries.next_key_seed(Key)? {
            let Some((index, property)) = find(members, &key) else {
                self.unknown(key, names(members), &mut entries)?;
                continue;
            };
            let both = members
                .iter()
                .all(|member| member.property(property.name).is_some());
            let of_value = self.property(index, property, &mut entries)?;
            if !both {
                if index < union.marked.properties.len() {
                    marked = true;
                } else {
                    of_the_other = Some(property.name);
                }
                contested.extend(of_value);
            }
        }
        if let (true, Some(other)) = (marked, of_the_other) {
            self.found.take_back(&contested);
            self.found.add(Rule::AllocationTargetAmbiguous, self.place, || {
                format!(
                    "The allocation has both `{}` and `{other}`, so that it doesn't say whether the money goes to a \
                     ledger account or to an invoice; leave one of them out.",
                    union.mark
                )
            });
        }
        let chosen = if marked { union.marked } else { union.unmarked };
        let seen = self.seen;
        self.missing(chosen, |name, _| {
            find(members, name).is_some_and(|(index, _)| seen.has(index))
        });
        Ok(())
    }

    /// An object of one of several forms, which the tag's value tells apart. The tag may stand at the end, so
    /// properties are looked at as those of any form; where they don't fit the tag, that is all that is said about them.
    fn tagged<A: MapAccess<'de>>(
        mut self,
        union: &'static TaggedUnion,
        mut entries: A,
    ) -> Result<(), A::Error> {
        let members = || union.members.iter().map(|(_, member)| *member);
        let mut tag = Tag::Absent;
        let mut contested = Vec::new();
        while let Some(key) = entries.next_key_seed(Key)? {
            if key == union.tag {
                match self.seen.note(0) {
                    Times::Once => tag = entries.next_value_seed(TagOf(union))?,
                    times => self.repeated(&self.place.field(union.tag), times, &mut entries)?,
                }
            } else if let Some((index, property)) = find(members(), &key) {
                contested.extend(self.property(index + 1, property, &mut entries)?);
            } else {
                let names = std::iter::once(union.tag).chain(names(members()));
                self.unknown(key, names, &mut entries)?;
            }
        }
        let seen = self.seen;
        let has = |name: &str| find(members(), name).is_some_and(|(index, _)| seen.has(index + 1));
        if let Some(fault) = identifier_fault(union, &tag, has) {
            self.found.take_back(&contested);
            self.found
                .add(Rule::AccountIdentifierMalformed, self.place, || {
                    format!(
                        "{fault}. An account is named by {{\"type\":\"AccountId\",\"id\":\"…\"}} or by \
                         {{\"type\":\"StableName\",\"stable_name\":\"…\"}}."
                    )
                });
        }
        Ok(())
    }

    /// The value of a known property. Gives where its violations are in the list of all, if it has some.
    fn property<A: MapAccess<'de>>(
        &mut self,
        index: usize,
        property: &'static Property,
        entries: &mut A,
    ) -> Result<Option<Range<usize>>, A::Error> {
        let place = self.place.field(property.name);
        let times = self.seen.note(index);
        if times != Times::Once {
            self.repeated(&place, times, entries)?;
            return Ok(None);
        }
        let start = self.found.len();
        entries.next_value_seed(Walk {
            found: self.found,
            place: &place,
            shape: property.shape,
            nullable: property.nullable,
            elements: None,
        })?;
        let end = self.found.len();
        Ok((end > start).then_some(start..end))
    }

    /// The value of a property that stood here before.
    fn repeated<A: MapAccess<'de>>(
        &mut self,
        place: &Pointer<'_>,
        times: Times,
        entries: &mut A,
    ) -> Result<(), A::Error> {
        if times == Times::Twice {
            report_repeated(self.found, place);
        }
        entries.next_value_seed(Skip)
    }

    /// The value of a property that there isn't.
    fn unknown<A: MapAccess<'de>>(
        &mut self,
        key: std::borrow::Cow<'de, str>,
        known: impl Iterator<Item = &'static str>,
        entries: &mut A,
    ) -> Result<(), A::Error> {
        let place = self.place.key(&key);
        let times = self.unknown.note(key.clone());
        if times != Times::Once {
            return self.repeated(&place, times, entries);
        }
        self.found.add(Rule::PropertyUnknown, &place, || {
            let mut known: Vec<&str> = known.collect();
            known.sort_unstable();
            known.dedup();
            let name = quoted(&key);
            match meant(&key, &known) {
                Some(meant) => {
                    format!("There is no property {name} here; did you mean `{meant}`?")
                }
                None => format!(
                    "There is no property {name} here; the properties are {}.",
                    listed(known.into_iter()).replace(" or ", " and ")
                ),
            }
        });
        entries.next_value_seed(Skip)
    }

    /// Reports the required properties of an object that aren't there.
    fn missing(&mut self, object: &Object, is_there: impl Fn(&str, usize) -> bool) {
        for (index, property) in object.properties.iter().enumerate() {
            if property.required && !is_there(property.name, index) {
                let place = self.place.field(property.name);
                self.found.add(Rule::PropertyMissing, &place, || {
                    format!(
                        "The property `{}` is missing; it is required, and is {}.",
                        property.name,
                        expected(property.shape)
                    )
                });
            }
        }
    }
}

fn report_repeated(found: &mut Findings, place: &Pointer<'_>) {
    found.add(Rule::DuplicateKey, place, || {
        "The key stands more than once in its object, and which of its values counts is anybody's guess; give it once."
            .to_owned()
    });
}

/// The property of this name, and its place among those of all members, where one of a name that was there before is
/// that one.
fn find(
    members: impl IntoIterator<Item = &'static Object>,
    name: &str,
) -> Option<(usize, &'static Property)> {
    let mut before = 0;
    for member in members {
        if let Some((index, property)) = member.property(name) {
            return Some((before + index, property));
        }
        before += member.properties.len();
    }
    None
}

fn names(members: impl IntoIterator<Item = &'static Object>) -> impl Iterator<Item = &'static str> {
    members
        .into_iter()
        .flat_map(|member| member.properties)
        .map(|property| property.name)
}

/// What a reply calls the properties of a request that it gives another name. (Decision D16.)
const NAMES_IN_REPLIES: [(&str, &str); 6] = [
    ("at", "paid_at"),
    ("allocations", "invoice_payments"),
    ("transaction_tags", "tags"),
    ("refund_allocations", "dedicated_refunds"),
    (
        "payment_clearing_account",
        "payment_clearing_account_identifier",
    ),
    ("prepayment_account", "redemption_account"),
];

/// The known property that an unknown one was most likely meant to be.
fn meant<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let in_requests = NAMES_IN_REPLIES.iter().find(|(reply, _)| *reply == name);
    in_requests
        .and_then(|(_, request)| known.iter().copied().find(|known| known == request))
        .or_else(|| nearest(name, known.iter().copied()))
}

/// What stood for the tag of a tagged union.
enum Tag {
    /// Nothing.
    Absent,
    /// The value of the member at this place.
    Member(usize),
    /// Another value, for people.
    Unknown(String),
}

/// Why an object is no member of its union, as a sentence without its end. `None` if it is one.
fn identifier_fault(union: &TaggedUnion, tag: &Tag, has: impl Fn(&str) -> bool) -> Option<String> {
    let name = union.tag;
    let (value, member) = match tag {
        Tag::Absent => return Some(format!("The account identifier has no `{name}`")),
        Tag::Unknown(value) => {
            let values = listed(union.members.iter().map(|(value, _)| *value));
            return Some(format!("The `{name}` is {value}; it must be {values}"));
        }
        Tag::Member(index) => union.members.get(*index)?,
    };
    let missing = member
        .properties
        .iter()
        .find(|property| property.required && !has(property.name));
    if let Some(property) = missing {
        return Some(format!(
            "The `{name}` is `{value}`, but the `{}` that belongs to it is missing",
            property.name
        ));
    }
    let foreign = names(union.members.iter().map(|(_, member)| *member))
        .find(|name| member.property(name).is_none() && has(name));
    foreign.map(|property| {
        format!("The `{name}` is `{value}`, to which the `{property}` doesn't belong")
    })
}

/// Reads the value of a tag.
struct TagOf(&'static TaggedUnion);

impl<'de> DeserializeSeed<'de> for TagOf {
    type Value = Tag;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tag, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TagOf {
    type Value = Tag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Tag, E> {
        Ok(Tag::Unknown("null".to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tag, E> {
        Ok(Tag::Unknown(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tag, E> {
        Ok(Tag::Unknown(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tag, E> {
        Ok(Tag::Unknown(value.to_string()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tag, E> {
        Ok(Tag::Unknown("a number".to_owned()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tag, E> {
        let member = self.0.members.iter().position(|(value, _)| *value == text);
        Ok(member.map_or_else(|| Tag::Unknown(quoted(text)), Tag::Member))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Tag, A::Error> {
        Skip.visit_seq(items)?;
        Ok(Tag::Unknown("a list".to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Tag, A::Error> {
        Skip.visit_map(entries)?;
        Ok(Tag::Unknown("an object".to_owned()))
    }
}

/// A value that may be anything, as everything within metadata: only keys that stand twice and numbers that are too large
/// are looked for.
struct Free<'a> {
    found: &'a mut Findings,
    place: &'a Pointer<'a>,
}

impl<'a> Free<'a> {
    fn of(walk: Walk<'a>) -> Self {
        Free {
            found: walk.found,
            place: walk.place,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Free<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Free<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        // Whole numbers within these bounds don't come here, so that even one that is less than the lower bound and is
        // rounded to it is noticed.
        const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;
        const SMALLEST: f64 = -9_223_372_036_854_775_808.0;
        if value >= TOO_LARGE || value <= SMALLEST {
            self.found.add(Rule::MetadataNumberTooLarge, self.place, || {
                format!(
                    "The number is kept as {value:e}, to about 17 digits, since it takes more than 64 bits; send it as a \
                     text if every digit counts."
                )
            });
        }
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            let inner = Free {
                found: self.found,
                place: &self.place.index(index),
            };
            if items.next_element_seed(inner)?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut keys = Keys::default();
        while let Some(key) = entries.next_key_seed(Key)? {
            let place = self.place.key(&key);
            match keys.note(key.clone()) {
                Times::Once => entries.next_value_seed(Free {
                    found: self.found,
                    place: &place,
                })?,
                times => {
                    if times == Times::Twice {
                        report_repeated(self.found, &place);
                    }
                    entries.next_value_seed(Skip)?;
                }
            }
        }
        Ok(())
    }
}

/// A value that isn't looked at. It is read in full all the same, since what is no JSON is none wherever it stands;
/// serde's own way of skipping lets lone surrogates pass.
struct Skip;

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Skip)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while entries.next_key_seed(Skip)?.is_some() {
            entries.next_value_seed(Skip)?;
        }
        Ok(())
    }
}
