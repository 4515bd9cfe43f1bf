//! What texts have to look like.

/// What is wrong with a text that isn't a timestamp, as far as it is one of the usual mistakes.
pub(super) fn timestamp_hint(text: &str) -> &'static str {
    let bytes = text.as_bytes();
    // The forms that people and programs write instead, from the start on.
    let has = |pattern: &[u8]| {
        bytes.len() >= pattern.len()
            && bytes
                .iter()
                .zip(pattern)
                .all(|(byte, expected)| match expected {
                    b'd' => byte.is_ascii_digit(),
                    _ => byte == expected,
                })
    };
    if !has(b"dddd-dd-dd") {
        "It begins with a date such as 2024-02-27."
    } else if text.len() == 10 {
        "The time of day and its offset are missing."
    } else if !has(b"dddd-dd-ddTdd:dd:dd") {
        "After the date come a `T` and a time of day such as 02:22:55, with seconds."
    } else if text.len() == 19 {
        "The offset at its end is missing: `Z`, or one such as +01:00."
    } else {
        "The date and the time have to exist, a fraction of a second has 1 to 9 digits, and the end is `Z` or an \
         offset such as +01:00."
    }
}

/// Whether a text is a UUID in its usual form: 32 hexadecimal digits with hyphens.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// What a number is, as it stands in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// A whole number that fits into 64 bits.
    Fits,
    /// A whole number that doesn't.
    TooLarge,
    /// One with a fraction or an exponent, or `-0`, which isn't written as a whole number.
    NotWhole,
}

/// Judges a number as it stands in JSON; the text is a number by JSON's grammar.
pub(super) fn number(text: &str) -> Number {
    if text == "-0" || text.contains(['.', 'e', 'E']) {
        Number::NotWhole
    } else if text.parse::<i64>().is_ok() {
        Number::Fits
    } else {
        Number::TooLarge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_mistakes_in_timestamps_are_named() {
        for (text, part) in [
            ("yesterday", "begins with a date"),
            ("1709000575", "begins with a date"),
            ("2024-02-27", "time of day and its offset"),
            ("2024-02-27 02:22:55Z", "a `T`"),
            ("2024-02-27T02:22Z", "with seconds"),
            ("2024-02-27T02:22:55", "offset at its end is missing"),
            ("2024-02-30T02:22:55Z", "have to exist"),
            ("2024-02-2\u{e9}", "begins with a date"),
        ] {
            assert!(crate::timestamp::parse(text).is_none(), "{text}");
            let hint = timestamp_hint(text);
            assert!(hint.contains(part), "{text}: {hint}");
        }
    }

    #[test]
    fn numbers_are_judged_as_they_are_written() {
        for (text, expected) in [
            ("0", Number::Fits),
            ("-1", Number::Fits),
            ("9223372036854775807", Number::Fits),
            ("-9223372036854775808", Number::Fits),
            ("9223372036854775808", Number::TooLarge),
            ("-9223372036854775809", Number::TooLarge),
            ("1000000000000000000000000000000", Number::TooLarge),
            ("-0", Number::NotWhole),
            ("10.0", Number::NotWhole),
            ("1e3", Number::NotWhole),
            ("1E999", Number::NotWhole),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn uuids_have_hyphens_and_nothing_else() {
        assert!(is_uuid("3a9c378e-dc02-4700-9158-f629d632a83b"));
        assert!(is_uuid("3A9C378E-DC02-4700-9158-F629D632A83B"));
        for bad in [
            "3a9c378edc0247009158f629d632a83b",
            "{3a9c378e-dc02-4700-9158-f629d632a83b}",
            "urn:uuid:3a9c378e-dc02-4700-9158-f629d632a83b",
            "3a9c378e-dc02-4700-9158-f629d632a83g",
            "3a9c378e-dc02-4700-9158f-629d632a83b",
            "",
        ] {
            assert!(!is_uuid(bad), "{bad}");
        }
    }
}
