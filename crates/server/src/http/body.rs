//! Request bodies: read within limits, decoded strictly, checked by the rules, and, where something is wrong, reported
//! with the place and what would be right.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use layer_payments_types::{InvoiceAllocationInput, LedgerAccountAllocationInput};
use layer_payments_validation::validate_allocation_target;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;

use super::outer::drain;
use super::refusal::{Fault, Refusal};
use crate::store::panic_text;
use crate::text::shortened;

/// A body of more bytes is decoded beside the threads that serve connections, so that it doesn't hold them up.
const SMALL: usize = 64 << 10;

/// Reads a body as JSON and checks it. What `check` finds is told all at once.
pub(super) async fn read<T, C>(
    request: Request,
    limit: usize,
    shape: Shape,
    check: C,
) -> Result<T, Refusal>
where
    T: DeserializeOwned + Send + 'static,
    C: FnOnce(&T) -> Vec<Fault> + Send + 'static,
{
    let length = announced_length(request.headers());
    let media_type = check_media_type(request.headers());
    // The body is read even if its media type is wrong, so that its sender gets the reply.
    let bytes = collect(request, length, limit).await?;
    media_type?;
    let small = bytes.len() <= SMALL;
    let decode_and_check = move || {
        let value = decode(&bytes, shape)?;
        let faults = check(&value);
        if faults.is_empty() {
            Ok(value)
        } else {
            Err(Refusal::bad_request(faults))
        }
    };
    if small {
        return decode_and_check();
    }
    match tokio::task::spawn_blocking(decode_and_check).await {
        Ok(result) => result,
        Err(error) => Err(Refusal::panicked(match error.try_into_panic() {
            Ok(panic) => panic_text(panic.as_ref()),
            Err(error) => error.to_string(),
        })),
    }
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads the whole body. One that is too large is read on and thrown away, so that its sender gets the reply.
async fn collect(request: Request, length: Option<u64>, limit: usize) -> Result<Bytes, Refusal> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    if length.is_some_and(|length| length > most) {
        drain(request).await;
        return Err(Refusal::too_large(limit));
    }
    let mut stream = request.into_body().into_data_stream();
    let mut collected = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| {
            Refusal::malformed(
                "body-incomplete",
                "The body ended before its announced end, or its chunks are malformed.".to_owned(),
            )
        })?;
        if collected.len() + chunk.len() > limit {
            drain(Request::new(Body::from_stream(stream))).await;
            return Err(Refusal::too_large(limit));
        }
        collected.extend_from_slice(&chunk);
    }
    Ok(collected.freeze())
}

/// Refuses what isn't plain `application/json` in UTF-8.
fn check_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Refusal::media_type(format!(
            "The body is encoded as {}; send it without a content encoding.",
            shortened(&String::from_utf8_lossy(encoding.as_bytes()))
        )));
    }
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Err(Refusal::media_type(
            "The request has no Content-Type header; send application/json.".to_owned(),
        ));
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let mut parts = text.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let utf8 = parts.all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.eq_ignore_ascii_case("charset")
            || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if media_type.eq_ignore_ascii_case("application/json") && utf8 {
        Ok(())
    } else {
        Err(Refusal::media_type(format!(
            "The content type is {}; send application/json, in UTF-8.",
            shortened(&text)
        )))
    }
}

/// Decodes JSON strictly: what decoding alone would let pass is looked for first.
fn decode<T: DeserializeOwned>(bytes: &[u8], shape: Shape) -> Result<T, Refusal> {
    if let Some(fault) = walk(bytes, shape) {
        return Err(Refusal::bad_request(vec![fault]));
    }
    serde_json::from_slice(bytes).map_err(|error| explain::<T>(bytes, &error))
}

/// Finds out where a body is wrong, and how. Decodes it once more, with the way to each value kept.
fn explain<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Refusal {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Refusal::malformed(
            "body-empty",
            "The body is empty; send a JSON document.".to_owned(),
        );
    }
    if let Err(error) = std::str::from_utf8(bytes) {
        return Refusal::malformed(
            "malformed-json",
            format!(
                "The body isn't UTF-8: byte {} is none that can stand there.",
                error.valid_up_to() + 1
            ),
        );
    }
    // serde_json calls it a fault of the syntax, too, when a number or null stands for a text of a list of texts.
    if error.classify() != Category::Data
        && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_err()
    {
        return Refusal::malformed(
            "malformed-json",
            format!("The body isn't JSON: {}.", shortened(&error.to_string())),
        );
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let (pointer, message) = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => (String::new(), error.to_string()),
        Err(error) => (pointer_of(error.path()), error.inner().to_string()),
    };
    let fault = match serde_json::from_slice(bytes) {
        Ok(document) => explain_at(&document, pointer, &message),
        // The document is broken behind the place of this error, so there is nothing more to look at.
        Err(_) => describe(pointer, &message),
    };
    Refusal::bad_request(vec![fault])
}

/// Looks into the two unions that decode as a whole, where the place of an error within them is lost.
fn explain_at(document: &Value, pointer: String, message: &str) -> Fault {
    let Some(value) = document.pointer(&pointer) else {
        return describe(pointer, message);
    };
    let mut steps = pointer.rsplit('/');
    let (last, before) = (steps.next(), steps.next());
    if before == Some("invoice_payments") && value.is_object() {
        if let Some(violation) = validate_allocation_target(value, &pointer) {
            return violation.into();
        }
        let inner = if value.get("account").is_some() {
            serde_path_to_error::deserialize::<_, LedgerAccountAllocationInput>(value).err()
        } else {
            serde_path_to_error::deserialize::<_, InvoiceAllocationInput>(value).err()
        };
        if let Some(error) = inner {
            let within = pointer_of(error.path());
            let message = error.inner().to_string();
            if within.is_empty() {
                return describe(pointer, &message);
            }
            return explain_at(document, pointer + &within, &message);
        }
    }
    if last.is_some_and(|name| name.contains("account"))
        && !message.starts_with("unknown field")
        && let Some(property) = match value.get("type").and_then(Value::as_str) {
            Some("AccountId") => Some("id"),
            Some("StableName") => Some("stable_name"),
            _ => None,
        }
        && value.get(property).is_some()
    {
        return describe(format!("{pointer}/{property}"), message);
    }
    describe(pointer, message)
}

/// The pointer of a way through a document.
fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => push_key(&mut pointer, key),
            // A variant isn't a step in the document; where the way is unknown, its known part is the answer.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

/// Says in plain words what serde says, and adds what would be right where the property's name tells.
fn describe(mut pointer: String, message: &str) -> Fault {
    let message = message
        .rsplit_once(" at line ")
        .map_or(message, |(message, _)| message);
    let (code, description) = if let Some(name) = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        (
            "property-missing",
            format!("The property `{name}` is missing; it is required."),
        )
    } else if let Some((name, known)) = unknown(message, "unknown field `") {
        // The way leads to the property already, unless it was lost in a union.
        let mut step = String::new();
        push_key(&mut step, name);
        if !pointer.ends_with(&step) {
            pointer.push_str(&step);
        }
        (
            "property-unknown",
            format!(
                "There is no property `{}` here; the properties are {known}.",
                shortened(name)
            ),
        )
    } else if let Some((name, known)) = unknown(message, "unknown variant `") {
        (
            "value-unknown",
            format!(
                "The value `{}` isn't one of those allowed: {known}.",
                shortened(name)
            ),
        )
    } else {
        ("value-malformed", malformed(&pointer, message))
    };
    Fault {
        pointer: Some(pointer),
        code: Some(code),
        description,
    }
}

/// The unknown name in a message that starts with `prefix`, and the names that would be known.
fn unknown<'a>(message: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    let (name, known) = message.strip_prefix(prefix)?.rsplit_once("`, expected ")?;
    Some((name, known.strip_prefix("one of ").unwrap_or(known)))
}

/// A value of the wrong type or form.
fn malformed(pointer: &str, message: &str) -> String {
    let name = pointer.rsplit('/').next().unwrap_or_default();
    let found = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "));
    let expected = if name.ends_with("_at") {
        "an RFC 3339 timestamp such as \"2024-02-27T02:22:55Z\""
    } else if name == "id" || name == "invoice_id" {
        "a UUID such as \"3a9c378e-dc02-4700-9158-f629d632a83b\""
    } else {
        match found.map(|(_, expected)| expected) {
            Some("i64") => "a whole number of cents that fits into 64 bits",
            Some("a sequence") => "a list",
            Some("a map") => "an object",
            Some(text) if text.starts_with("struct ") || text.contains("enum ") => "an object",
            Some("string or map") => "one of the documented texts",
            Some(text) => text,
            None if message == "expected value" => "a text, one of those that the property allows",
            None => return format!("The value can't be read: {}.", shortened(message)),
        }
    };
    match found {
        Some((found, _)) => format!("The value is {}; expected {expected}.", shortened(found)),
        None => format!("The value can't be read; expected {expected}."),
    }
}

/// What a request's body is.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// An object.
    Object,
    /// A list of objects.
    List,
}

/// Looks through a document for what decoding would let pass: a property that stands twice in its object (metadata
/// keeps the last one), and two forms that serde takes besides the documented ones: a list for an object (its elements by
/// position) and `{"CASH": null}` for `"CASH"`. Leaves everything else to decoding, malformed JSON too.
fn walk(bytes: &[u8], shape: Shape) -> Option<Fault> {
    let mut found = None;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let walk = Walk {
        found: &mut found,
        place: match shape {
            Shape::Object => Place::Object,
            Shape::List => Place::Property,
        },
    };
    // An error without a finding is one of the JSON, which decoding runs into again and reports.
    let _ = walk.deserialize(&mut deserializer);
    found
}

/// What may stand at a place in a request.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// No list.
    Object,
    /// Neither a list nor an object.
    Text,
    /// A property's value: if it is a list, then one of objects.
    Property,
    /// Anything, as within metadata.
    Free,
}

/// Walks through JSON and stops at the first finding, whose pointer is put together on the way back.
struct Walk<'a> {
    found: &'a mut Option<Fault>,
    place: Place,
}

impl Walk<'_> {
    fn inner(&mut self, place: Place) -> Walk<'_> {
        Walk {
            found: self.found,
            place,
        }
    }

    fn report<E: serde::de::Error>(self, pointer: String, code: &'static str, text: &str) -> E {
        *self.found = Some(Fault {
            pointer: Some(pointer),
            code: Some(code),
            description: text.to_owned(),
        });
        E::custom(code)
    }

    fn prepend(&mut self, step: impl FnOnce(&mut String)) {
        if let Some(Fault {
            pointer: Some(pointer),
            ..
        }) = self.found
        {
            let mut whole = String::new();
            step(&mut whole);
            whole.push_str(pointer);
            *pointer = whole;
        }
    }
}

/// What a property of a request may hold. The properties with `account` in their names hold one object.
fn place_of(key: &str) -> Place {
    if key == "metadata" {
        Place::Free
    } else if key == "method" {
        Place::Text
    } else if key.contains("account") {
        Place::Object
    } else {
        Place::Property
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
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

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let place = match self.place {
            Place::Object => {
                return Err(self.report(
                    String::new(),
                    "value-malformed",
                    "The value is a list; expected an object.",
                ));
            }
            Place::Text => {
                return Err(self.report(
                    String::new(),
                    "value-malformed",
                    "The value is a list; expected a text.",
                ));
            }
            Place::Property => Place::Object,
            Place::Free => Place::Free,
        };
        let mut index = 0_usize;
        loop {
            match items.next_element_seed(self.inner(place)) {
                Ok(Some(())) => index += 1,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.prepend(|pointer| pointer.push_str(&format!("/{index}")));
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        if self.place == Place::Text {
            return Err(self.report(
                String::new(),
                "value-malformed",
                "The value is an object; expected a text.",
            ));
        }
        let mut keys = Keys::default();
        while let Some(key) = entries.next_key_seed(Key)? {
            if keys.contains(&key) {
                let mut pointer = String::new();
                push_key(&mut pointer, &key);
                return Err(self.report(
                    pointer,
                    "duplicate-property",
                    "The property stands twice in its object; give it once.",
                ));
            }
            let place = match self.place {
                Place::Free => Place::Free,
                Place::Object | Place::Property | Place::Text => place_of(&key),
            };
            if let Err(error) = entries.next_value_seed(self.inner(place)) {
                self.prepend(|pointer| push_key(pointer, &key));
                return Err(error);
            }
            keys.insert(key);
        }
        Ok(())
    }
}

/// The keys of one object: a short list, which is searched faster than it is hashed, until it is a long one.
#[derive(Default)]
struct Keys<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Keys<'de> {
    const FEW: usize = 24;

    fn contains(&self, key: &str) -> bool {
        self.few.iter().any(|known| known == key) || self.many.contains(key)
    }

    fn insert(&mut self, key: Cow<'de, str>) {
        if self.few.len() < Self::FEW {
            self.few.push(key);
        } else {
            self.many.insert(key);
        }
    }
}

/// Reads a key, borrowed from the body where it holds no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a property's name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}
