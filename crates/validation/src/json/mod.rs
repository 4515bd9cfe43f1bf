//! The checks of a request's body as it is sent: as text.
//!
//! Decoding a body by the types tells the first thing that is wrong with it, in the words of a parser, and takes some
//! texts for more than they say. So the text is walked through first, along the shape of its operation's body, and every
//! fault of it is found; what has none is decoded and checked by the other rules. The README of `spec/rules` lays down
//! what is checked when.
//!
//! What a walk finds nothing wrong with decodes, and what decodes passes the walk, but for the texts that serde takes
//! and no documentation knows: an object's values in a list, in the order of the type's fields; `{"CASH": null}` for
//! `"CASH"`; a key twice where the last one counts; timestamps and UUIDs in other forms. A test generates bodies and holds
//! both against each other.

mod findings;
mod keys;
mod text;
mod walk;

use std::fmt;
use std::marker::PhantomData;

use layer_payments_types::{CreateInvoicePayment, Operation, UpdateInvoicePayment};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};

use self::findings::Findings;
use self::walk::{Elements, Walk};
use crate::bulk::{ExternalIds, check_count};
use crate::check::{check_create, check_update};
use crate::context::{Context, Existing};
use crate::pointer::Pointer;
use crate::rule::Rule;
use crate::validated::{Validated, has_errors};
use crate::violation::Violation;

/// Checks the body of a request as it is sent. Gives every violation: of the JSON itself, of types and names, and, for
/// each payment without an error of these kinds, of the rules that [`validate_create`](crate::validate_create),
/// [`validate_bulk`](crate::validate_bulk) and [`validate_update`](crate::validate_update) check.
///
/// A body that isn't JSON has this one violation. Of types and names, at most 100,000 violations are listed.
///
/// An update is checked alone; [`read_update`] checks it against the payment that it changes, too. A list has no body,
/// so nothing can be wrong with it.
///
/// ```
/// use layer_payments_types::Operation;
/// use layer_payments_validation::{Context, validate_json};
///
/// let context = Context::at("2024-03-01T00:00:00Z".parse()?);
/// let body = br#"{"paid_at": "2024-02-27", "method": "cash", "ammount": 90, "invoice_payments": []}"#;
/// let violations = validate_json(Operation::RecordInvoicePayment, body, &context);
/// let found: Vec<_> = violations
///     .iter()
///     .map(|violation| (violation.pointer.as_str(), violation.rule.code()))
///     .collect();
/// assert_eq!(
///     found,
///     [
///         ("/paid_at", "timestamp-malformed"),
///         ("/method", "value-unknown"),
///         ("/ammount", "property-unknown"),
///         ("/amount", "property-missing"),
///     ]
/// );
/// assert!(violations[2].message.contains("did you mean `amount`?"));
/// # Ok::<(), jiff::Error>(())
/// ```
pub fn validate_json(operation: Operation, body: &[u8], context: &Context) -> Vec<Violation> {
    match operation {
        Operation::ListInvoicePayments => Vec::new(),
        Operation::RecordInvoicePayment => violations(read_create(body, context)),
        Operation::BulkCreateInvoicePayments => violations(read_bulk(body, context)),
        Operation::UpdateInvoicePayment => violations(read_update(body, None, context)),
    }
}

fn violations<T>(result: Result<Validated<T>, Vec<Violation>>) -> Vec<Violation> {
    result.map_or_else(|violations| violations, Validated::into_warnings)
}

/// Reads and checks the body of a request to record a payment: what [`validate_json`] finds, and the payment if there is
/// no error among it.
///
/// Where payments stand one a line, each of them is a body, and [`Violation::under`] puts the payment's index before the
/// pointers.
///
/// # Errors
///
/// All violations, warnings included, if one of them is an error.
pub fn read_create(
    body: &[u8],
    context: &Context,
) -> Result<Validated<CreateInvoicePayment>, Vec<Violation>> {
    read(
        Operation::RecordInvoicePayment,
        body,
        |payment: &CreateInvoicePayment, found| {
            check_create(&Pointer::Root, payment, None, context, found);
        },
    )
}

/// Reads and checks the body of an update, against the payment that it changes where that is known: what
/// [`validate_json`] finds and what the two together break, and the update if there is no error among it.
///
/// # Errors
///
/// All violations, warnings included, if one of them is an error.
pub fn read_update(
    body: &[u8],
    existing: Option<&Existing>,
    context: &Context,
) -> Result<Validated<UpdateInvoicePayment>, Vec<Violation>> {
    read(
        Operation::UpdateInvoicePayment,
        body,
        |update: &UpdateInvoicePayment, found| {
            check_update(&Pointer::Root, update, existing, context, found);
        },
    )
}

/// Reads and checks the body of a bulk request: what [`validate_json`] finds, and the payments if there is no error among
/// it. A payment that can't be read doesn't hide the faults of the others.
///
/// # Errors
///
/// All violations, warnings included, if one of them is an error.
pub fn read_bulk(
    body: &[u8],
    context: &Context,
) -> Result<Validated<Vec<CreateInvoicePayment>>, Vec<Violation>> {
    let text = text(body)?;
    let mut elements = Elements::default();
    let raw = walk(
        Operation::BulkCreateInvoicePayments,
        text,
        Some(&mut elements),
    )?;
    let Some(refused) = elements.refused else {
        return Err(raw);
    };
    let mut found = Vec::new();
    check_count(refused.len(), context, &mut found);
    let payments = decode(text, Sound(&refused))?;
    let mut ids = ExternalIds::with_capacity(payments.len());
    let mut sound = payments.iter();
    let mut listed = elements.listed.iter().peekable();
    let mut raw = raw.into_iter();
    let mut taken = 0;
    for (index, refused) in refused.into_iter().enumerate() {
        if let Some((_, end)) = listed.next_if(|(listed, _)| *listed == index) {
            found.extend(raw.by_ref().take(end - taken));
            taken = *end;
        }
        if !refused && let Some(payment) = sound.next() {
            check_create(
                &Pointer::Root.index(index),
                payment,
                Some((&mut ids, index)),
                context,
                &mut found,
            );
        }
    }
    // Where a payment is lacking, there is an error.
    Validated::judge(payments, found).map_err(|invalid| invalid.into_parts().1)
}

/// Decodes the payments of a bulk request that a walk has found no error in; the others are passed over.
struct Sound<'a>(&'a [bool]);

impl<'de> DeserializeSeed<'de> for Sound<'_> {
    type Value = Vec<CreateInvoicePayment>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Sound<'_> {
    type Value = Vec<CreateInvoicePayment>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of payments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut payments = Vec::new();
        for refused in self.0 {
            if *refused {
                items.next_element::<IgnoredAny>()?;
            } else {
                payments.extend(items.next_element::<CreateInvoicePayment>()?);
            }
        }
        // There is no more, but the end has to be read.
        items.next_element::<IgnoredAny>()?;
        Ok(payments)
    }
}

/// Reads a body that is one object, and checks what was read.
fn read<T: DeserializeOwned>(
    operation: Operation,
    body: &[u8],
    check: impl FnOnce(&T, &mut Vec<Violation>),
) -> Result<Validated<T>, Vec<Violation>> {
    let text = text(body)?;
    let mut found = walk(operation, text, None)?;
    if has_errors(&found) {
        return Err(found);
    }
    let value = decode(text, PhantomData)?;
    check(&value, &mut found);
    Validated::judge(value, found).map_err(|invalid| invalid.into_parts().1)
}

/// Walks through a body's text. An error is that it isn't JSON.
fn walk(
    operation: Operation,
    text: &str,
    elements: Option<&mut Elements>,
) -> Result<Vec<Violation>, Vec<Violation>> {
    let mut found = Findings::default();
    let Some(shape) = operation.body() else {
        return Ok(Vec::new());
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let walk = Walk {
        found: &mut found,
        place: &Pointer::Root,
        shape: *shape,
        nullable: false,
        elements,
    };
    walk.deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| not_json(&error))?;
    Ok(found.into_list())
}

/// Decodes what a walk has found no error in. That it fails all the same is a fault of this crate, which refuses what it
/// can't read rather than to guess; a test looks for it.
fn decode<'de, S: DeserializeSeed<'de>>(
    text: &'de str,
    seed: S,
) -> Result<S::Value, Vec<Violation>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    seed.deserialize(&mut deserializer).map_err(|error| {
        vec![Violation {
            rule: Rule::TypeMismatch,
            pointer: Pointer::Root.render(),
            message: format!("The body can't be read: {error}."),
        }]
    })
}

/// A body's text. What can't even be that isn't JSON, and gets the reason that a parser wouldn't find.
fn text(body: &[u8]) -> Result<&str, Vec<Violation>> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(malformed(
            "The body is empty; send one JSON document.".to_owned(),
        ));
    }
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(malformed(
            "The body begins with a byte order mark, which JSON doesn't have; send it without."
                .to_owned(),
        ));
    }
    std::str::from_utf8(body).map_err(|error| {
        let before = &body[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        malformed(format!(
            "The body isn't UTF-8, as JSON has to be: the byte {:#04x} can't stand at line {line} column {column}.",
            body[error.valid_up_to()]
        ))
    })
}

/// The violation of a text that isn't JSON. Lines and columns count from 1, columns in bytes.
fn not_json(error: &serde_json::Error) -> Vec<Violation> {
    let text = error.to_string();
    let (line, column) = (error.line(), error.column());
    malformed(match without_place(&text) {
        "recursion limit exceeded" => format!(
            "The body is nested deeper than 127 levels at line {line} column {column}; make it flatter."
        ),
        "number out of range" => format!(
            "The number at line {line} column {column} fits into no 64-bit floating-point number; send it as a text."
        ),
        "trailing characters" => format!(
            "The body goes on behind its end at line {line} column {column}; send one JSON document and nothing after \
             it."
        ),
        fault => format!("The body isn't JSON: {fault} at line {line} column {column}."),
    })
}

fn malformed(message: String) -> Vec<Violation> {
    vec![Violation {
        rule: Rule::JsonMalformed,
        pointer: Pointer::Root.render(),
        message,
    }]
}

/// The message of an error of serde_json without the place that it ends in.
fn without_place(message: &str) -> &str {
    message
        .rsplit_once(" at line ")
        .map_or(message, |(message, _)| message)
}
