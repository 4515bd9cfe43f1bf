//! How large a metadata object is, counted without writing it anywhere.

use std::io;

use serde::Serialize;

/// The most bytes that a metadata object may take as compact JSON in UTF-8.
///
/// The newest documentation says 1 KB without saying how it is measured; compact JSON in UTF-8 is what goes over the
/// wire from a client that sends no blanks.
pub const METADATA_LIMIT: usize = 1024;

/// How many bytes `value` takes as compact JSON in UTF-8, with serde_json's escaping (only what JSON demands; other
/// characters as they are). `None` if it can't be written as JSON, which no value that came from JSON can do.
pub fn compact_len<T: Serialize + ?Sized>(value: &T) -> Option<usize> {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value).ok()?;
    Some(counter.0)
}

/// A writer that keeps only the number of bytes.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0 += bytes.len();
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_length_is_that_of_the_text() {
        for value in [
            json!({}),
            json!({"a": "\u{1}\"\\ü😀", "nested": {"list": [1, -2.5, true, null]}}),
            json!({"": i64::MIN, "max": u64::MAX}),
        ] {
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(compact_len(&value), Some(text.len()), "{text}");
        }
    }

    #[test]
    fn blanks_do_not_count() {
        let value: Value = serde_json::from_str("{ \"a\" :  [ 1,\n 2 ] }").unwrap();
        assert_eq!(compact_len(&value), Some(br#"{"a":[1,2]}"#.len()));
    }
}
