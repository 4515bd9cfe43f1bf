//! Timestamps as RFC 3339 writes them, and nothing beside.

use jiff::Timestamp;

/// Reads the `date-time` of RFC 3339: date, `T`, time with seconds, `Z` or an offset; fractions of 1 to 9 digits. The
/// date has to exist, and leap seconds aren't read.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    // Dates and times of other forms, which jiff reads too, are weeded out first.
    has_form(text.as_bytes())
        .then(|| text.parse().ok())
        .flatten()
}

fn has_form(text: &[u8]) -> bool {
    let Some((date_and_time, rest)) = text.split_at_checked(19) else {
        return false;
    };
    if !fits(date_and_time, b"dddd-dd-ddtdd:dd:dd") || date_and_time[17] > b'5' {
        return false;
    }
    let offset = match rest.split_first() {
        Some((b'.', rest)) => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            &rest[digits..]
        }
        _ => rest,
    };
    fits(offset, b"z")
        || (fits(offset, b"+dd:dd") || fits(offset, b"-dd:dd"))
            && offset[1..3] <= b"23"[..]
            && offset[4] <= b'5'
}

/// Whether a text has a form in which `d` is any digit, a letter that letter in either case, and anything else itself.
fn fits(text: &[u8], form: &[u8]) -> bool {
    text.len() == form.len()
        && text.iter().zip(form).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            _ => byte.eq_ignore_ascii_case(form),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rfc_3339_writes_is_read() {
        for (text, meaning) in [
            ("2024-02-29T23:59:59Z", "2024-02-29T23:59:59Z"),
            ("2024-02-27t02:22:55.1z", "2024-02-27T02:22:55.1Z"),
            (
                "2024-02-27T02:22:55.123456789+01:00",
                "2024-02-27T01:22:55.123456789Z",
            ),
            ("2024-02-27T02:22:55-23:59", "2024-02-28T02:21:55Z"),
            ("2024-02-27T02:22:55-00:00", "2024-02-27T02:22:55Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("9999-12-30T22:00:00Z", "9999-12-30T22:00:00Z"),
        ] {
            let time = parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(time, meaning.parse().unwrap(), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_read() {
        for text in [
            "",
            "2024-02-27",
            "2024-02-27T02:22Z",
            "2024-02-27T02:22:55",
            "2024-02-27 02:22:55Z",
            "20240227T022255Z",
            "2024-2-27T02:22:55Z",
            "2024-02-30T02:22:55Z",
            "2023-02-29T02:22:55Z",
            "2024-13-01T02:22:55Z",
            "2024-00-01T02:22:55Z",
            "2024-02-27T24:00:00Z",
            "2024-02-27T02:60:00Z",
            "2024-02-27T02:22:60Z",
            "2024-02-27T02:22:55.Z",
            "2024-02-27T02:22:55,5Z",
            "2024-02-27T02:22:55.1234567890Z",
            "2024-02-27T02:22:55+0100",
            "2024-02-27T02:22:55+01",
            "2024-02-27T02:22:55+24:00",
            "2024-02-27T02:22:55+01:60",
            "2024-02-27T02:22:55+01:00[Europe/Paris]",
            "2024-02-27T02:22:55Z ",
            " 2024-02-27T02:22:55Z",
            "-2024-02-27T02:22:55Z",
            "+002024-02-27T02:22:55Z",
            "２024-02-27T02:22:55Z",
            "2024-02-27T02:22:5\u{e9}Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
