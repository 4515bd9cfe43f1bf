//! The keys of an object: read, and remembered to find those that stand there twice.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

/// Reads a key, borrowed from the text where it holds no escapes.
pub(super) struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// How often a key has stood in its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    /// This is the first time.
    Once,
    /// This is the second time, which is to be reported.
    Twice,
    /// This has been reported.
    Often,
}

/// The keys of one object. A short list is searched faster than it is hashed, so that is what it is until it is a long
/// one, which only somebody with bad intent or a great deal of metadata makes.
#[derive(Default)]
pub(super) struct Keys<'de> {
    few: Vec<(Cow<'de, str>, bool)>,
    many: HashMap<Cow<'de, str>, bool>,
}

impl<'de> Keys<'de> {
    const FEW: usize = 24;

    /// Remembers a key, and tells how often it has stood here.
    pub(super) fn note(&mut self, key: Cow<'de, str>) -> Times {
        let few = self.few.iter_mut().find(|(known, _)| *known == key);
        let reported = match few.map(|(_, reported)| reported) {
            Some(reported) => reported,
            None => match self.many.get_mut(&key) {
                Some(reported) => reported,
                None if self.few.len() < Self::FEW => {
                    self.few.push((key, false));
                    return Times::Once;
                }
                None => {
                    self.many.insert(key, false);
                    return Times::Once;
                }
            },
        };
        if std::mem::replace(reported, true) {
            Times::Often
        } else {
            Times::Twice
        }
    }
}

/// The known properties of one object that stood in it, by their places among those properties.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    once: u64,
    twice: u64,
}

impl Seen {
    /// Remembers a property, and tells how often it has stood here.
    pub(super) fn note(&mut self, index: usize) -> Times {
        let bit = Self::bit(index);
        if self.once & bit == 0 {
            self.once |= bit;
            Times::Once
        } else if self.twice & bit == 0 {
            self.twice |= bit;
            Times::Twice
        } else {
            Times::Often
        }
    }

    /// Whether a property stood there.
    pub(super) fn has(self, index: usize) -> bool {
        self.once & Self::bit(index) != 0
    }

    /// An object has at most 64 properties, which the generator of the shapes makes sure of.
    fn bit(index: usize) -> u64 {
        u32::try_from(index)
            .ok()
            .and_then(|index| 1_u64.checked_shl(index))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_time_is_told_once() {
        let mut keys = Keys::default();
        for round in 0..3 {
            for index in 0..100 {
                let expected = [Times::Once, Times::Twice, Times::Often][round];
                let key = format!("key {index}");
                assert_eq!(keys.note(Cow::Owned(key)), expected, "{index}");
            }
        }
        let mut seen = Seen::default();
        for round in 0..3 {
            for index in [0, 1, 63] {
                assert_eq!(seen.has(index), round > 0);
                assert_eq!(
                    seen.note(index),
                    [Times::Once, Times::Twice, Times::Often][round]
                );
            }
        }
        assert!(!seen.has(2));
    }
}
