//! How messages show what a request holds.

use std::fmt::Write as _;

/// A text of a request for use in a message: in quotes, without control characters, and not longer than a person reads.
pub(crate) fn quoted(text: &str) -> String {
    let shown = shortened(text);
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown:?}{more}")
}

fn shortened(text: &str) -> &str {
    const MOST: usize = 100;
    text.char_indices()
        .nth(MOST)
        .map_or(text, |(end, _)| &text[..end])
}

/// The names as a list of a sentence: `` `a`, `b` or `c` ``.
pub(crate) fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    let count = names.len();
    for (index, name) in names.enumerate() {
        let joint = match index {
            0 => "",
            _ if index + 1 == count => " or ",
            _ => ", ",
        };
        // Writing to a `String` can't fail.
        let _ = write!(text, "{joint}`{name}`");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_and_cut() {
        assert_eq!(quoted("a\"\n"), r#""a\"\n""#);
        assert_eq!(quoted(&"ü".repeat(100)), format!("\"{}\"", "ü".repeat(100)));
        assert_eq!(
            quoted(&"ü".repeat(101)),
            format!("\"{}\"…", "ü".repeat(100))
        );
    }

    #[test]
    fn names_are_listed_as_in_a_sentence() {
        assert_eq!(listed(["a"].into_iter()), "`a`");
        assert_eq!(listed(["a", "b", "c"].into_iter()), "`a`, `b` or `c`");
    }
}
