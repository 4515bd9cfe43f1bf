//! Texts and names as PostgreSQL can keep them.
//!
//! PostgreSQL's texts can't hold U+0000, and its indexes no entry above some 2,700 bytes. JSON may have both, and SQLite
//! keeps both, so a client may have sent either. [`text`] and [`untext`] write U+0000 in another way. A name by which
//! something is found is kept as its [`Name`]: itself where that can be indexed, and else its beginning and its SHA-256,
//! with the whole text in a column beside it.

use std::borrow::Cow;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// The character that says that the next one stands for another. No name that is kept as itself has it.
const MARK: char = '\u{1A}';

/// Names up to so many bytes are indexed as they are.
const INDEXED: usize = 500;

/// So many characters of a longer name are readable in its index.
const READABLE: usize = 60;

/// A text without U+0000, from which [`untext`] makes the text again.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', MARK]) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => kept.extend([MARK, '0']),
            MARK => kept.extend([MARK, '1']),
            other => kept.push(other),
        }
    }
    Cow::Owned(kept)
}

/// The text that [`text`] was given.
pub(super) fn untext(kept: String) -> String {
    if !kept.contains(MARK) {
        return kept;
    }
    let mut text = String::with_capacity(kept.len());
    let mut characters = kept.chars();
    while let Some(character) = characters.next() {
        match character {
            MARK => text.push(match characters.next() {
                Some('0') => '\0',
                _ => MARK,
            }),
            other => text.push(other),
        }
    }
    text
}

/// A name as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    /// What is indexed. Two names have the same if they are the same.
    pub(super) indexed: Cow<'a, str>,
    /// The whole, as [`text`] writes it, where that isn't what is indexed.
    pub(super) long: Option<Cow<'a, str>>,
}

impl<'a> Name<'a> {
    pub(super) fn of(name: &'a str) -> Name<'a> {
        if name.len() <= INDEXED && !name.contains(['\0', MARK]) {
            return Name {
                indexed: Cow::Borrowed(name),
                long: None,
            };
        }
        let mut indexed: String = name
            .chars()
            .filter(|character| !matches!(*character, '\0' | MARK))
            .take(READABLE)
            .collect();
        indexed.push(MARK);
        for byte in Sha256::digest(name) {
            // Writing to a string can't fail.
            let _ = write!(indexed, "{byte:02x}");
        }
        Name {
            indexed: Cow::Owned(indexed),
            long: Some(text(name)),
        }
    }
}

/// The name of which these are the columns.
pub(super) fn whole(indexed: Option<String>, long: Option<String>) -> Option<String> {
    long.map(untext).or(indexed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn back(name: &Name<'_>) -> String {
        let long = name.long.clone().map(Cow::into_owned);
        whole(Some(name.indexed.clone().into_owned()), long).unwrap()
    }

    proptest! {
        #[test]
        fn texts_come_back(written in "[\\x00\\x1a01a-c\u{1F600}]{0,40}") {
            let kept = text(&written).into_owned();
            prop_assert!(!kept.contains('\0'));
            prop_assert_eq!(untext(kept), written);
        }

        #[test]
        fn names_come_back_and_differ_as_they_do(
            one in "[\\x00\\x1a01a-c]{0,5}", other in "[\\x00\\x1a01a-c]{0,5}", times in 1..400_usize,
        ) {
            let (one, other) = (one.repeat(times), other.repeat(times));
            let (first, second) = (Name::of(&one), Name::of(&other));
            prop_assert_eq!(&back(&first), &one);
            prop_assert!(!first.indexed.contains('\0'));
            prop_assert!(first.indexed.len() <= INDEXED);
            prop_assert_eq!(first.indexed == second.indexed, one == other);
        }
    }

    #[test]
    fn a_usual_name_is_kept_as_it_is() {
        let name = Name::of("invoice-1");
        assert_eq!((&*name.indexed, name.long), ("invoice-1", None));
        // What a long one is indexed by can't be somebody else's usual name.
        let long = "x".repeat(INDEXED + 1);
        let indexed = Name::of(&long).indexed.into_owned();
        assert!(indexed.starts_with(&"x".repeat(READABLE)));
        assert_ne!(Name::of(&indexed).indexed, indexed);
    }
}
