//! How large a metadata object is, counted without writing it.

use std::fmt::{self, Write as _};

use layer_payments_types::Metadata;
use serde_json::{Map, Number, Value};

/// The most bytes that a metadata object may take as compact JSON in UTF-8.
///
/// The newest documentation says 1 KB without saying how it is measured; compact JSON in UTF-8 is what goes over the
/// wire from a client that sends no blanks. (Decision D43.)
pub const METADATA_LIMIT: usize = 1024;

/// How many bytes a metadata object takes as compact JSON in UTF-8, as serde_json writes it: of a text only `"`, `\`
/// and U+0000 to U+001F are escaped.
pub fn metadata_len(metadata: &Metadata) -> usize {
    object_len(&metadata.0)
}

/// The length if it is above the limit. Most metadata is so far below it that its bytes needn't be looked at.
pub(crate) fn excess_len(metadata: &Metadata) -> Option<usize> {
    if most_object_len(&metadata.0) <= METADATA_LIMIT {
        return None;
    }
    Some(metadata_len(metadata)).filter(|length| *length > METADATA_LIMIT)
}

fn object_len(object: &Map<String, Value>) -> usize {
    // Two braces, and a comma less than there are entries.
    let mut length = 2 + object.len().saturating_sub(1);
    for (key, value) in object {
        length += text_len(key) + 1 + value_len(value);
    }
    length
}

fn value_len(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Number(number) => number_len(number),
        Value::String(text) => text_len(text),
        Value::Array(items) => {
            let mut length = 2 + items.len().saturating_sub(1);
            for item in items {
                length += value_len(item);
            }
            length
        }
        Value::Object(object) => object_len(object),
    }
}

/// What [`object_len`] is at most, from the lengths of the texts alone.
fn most_object_len(object: &Map<String, Value>) -> usize {
    let mut length = 2;
    for (key, value) in object {
        // A colon and a comma.
        length += most_text_len(key) + 2 + most_value_len(value);
    }
    length
}

#[inline(always)]
fn most_value_len(value: &Value) -> usize {
    // Nearly all values are texts, which a jump by kind would only hold up.
    if let Value::String(text) = value {
        return most_text_len(text);
    }
    match value {
        // -2.2250738585072014e-308 is one of the longest.
        Value::Number(_) => 24,
        Value::Array(items) => most_array_len(items),
        Value::Object(object) => most_object_len(object),
        Value::Null | Value::Bool(_) | Value::String(_) => 5,
    }
}

fn most_array_len(items: &[Value]) -> usize {
    let mut length = 2;
    for item in items {
        length += 1 + most_value_len(item);
    }
    length
}

/// Every byte of a text might be one that is written as six.
fn most_text_len(text: &str) -> usize {
    6 * text.len() + 2
}

/// The quotes, the bytes, and what escapes add to them.
fn text_len(text: &str) -> usize {
    /// What is looked at together: long enough for vector instructions, short enough to look at again one by one.
    const CHUNK: usize = 32;
    let escaped = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let mut length = text.len() + 2;
    let mut chunks = text.as_bytes().chunks_exact(CHUNK);
    for chunk in &mut chunks {
        // Without a way out in its middle, the loop is done many bytes at a time.
        if chunk.iter().fold(false, |any, byte| any | escaped(*byte)) {
            length += chunk.iter().map(|byte| escape_len(*byte)).sum::<usize>();
        }
    }
    let rest = chunks.remainder();
    length + rest.iter().map(|byte| escape_len(*byte)).sum::<usize>()
}

/// What escaping a byte adds to it.
fn escape_len(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..0x20 => 5,
        _ => 0,
    }
}

fn number_len(number: &Number) -> usize {
    let digits = |value: u64| value.checked_ilog10().unwrap_or(0) as usize + 1;
    if let Some(value) = number.as_u64() {
        digits(value)
    } else if let Some(value) = number.as_i64() {
        // Not above zero, or it would have been one of those before.
        1 + digits(value.unsigned_abs())
    } else {
        let mut counter = Counter(0);
        // A counter takes whatever is written to it.
        let _ = write!(counter, "{number}");
        counter.0
    }
}

/// Takes text and keeps only the number of its bytes.
struct Counter(usize);

impl fmt::Write for Counter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_length_is_that_of_the_text() {
        let every_ascii: String = (0..128_u8).map(char::from).collect();
        let shifted = "x".repeat(13) + &every_ascii;
        for value in [
            json!({}),
            json!([]),
            json!([[], {}, [[1]]]),
            json!({"a": "\u{1}\"\\ü😀", "nested": {"list": [1, -2.5, true, false, null]}}),
            json!({"": i64::MIN, "max": u64::MAX, "zero": 0, "nine": 9, "ten": 10, "minus": -1}),
            json!([0.1, 1e300, -0.0, 1.0, 123_456_789.125]),
            json!(-2.225_073_858_507_201_4e-308),
            json!(-1.234_567_890_123_456_7e-5),
            json!(-1.234_567_890_123_456_7e15),
            json!(every_ascii),
            json!({ shifted: "\u{7f}\u{80}" }),
        ] {
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(value_len(&value), text.len(), "{text}");
            assert!(most_value_len(&value) >= text.len(), "{text}");
        }
    }

    #[test]
    fn blanks_do_not_count() {
        let metadata: Metadata = serde_json::from_str("{ \"a\" :  [ 1,\n 2 ] }").unwrap();
        assert_eq!(metadata_len(&metadata), br#"{"a":[1,2]}"#.len());
    }
}
