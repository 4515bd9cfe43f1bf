//! Finding what stands twice in a list, without memory from the heap where nothing does.

use std::collections::HashMap;
use std::hash::Hash;

/// A value that is looked for among others: a text or an id.
pub(crate) trait Key: Eq + Hash + AsRef<[u8]> {}

impl<K: Eq + Hash + AsRef<[u8]> + ?Sized> Key for K {}

/// Lists up to this length are compared pair by pair.
const FEW: usize = 8;
/// Lists up to this length are looked up in a small table on the stack.
const SOME: usize = 64;
/// Lists up to this length are looked up in a table on the stack. Longer ones take one from the heap.
const MANY: usize = 2_048;

/// Where each value of a list stands first.
pub(crate) struct Firsts<'a, K: ?Sized>(HashMap<&'a K, usize>);

impl<K: Key + ?Sized> Firsts<'_, K> {
    /// The place before `index` where its value `key` stands first. `None` if that is `index` itself.
    pub(crate) fn before(&self, index: usize, key: &K) -> Option<usize> {
        self.0.get(key).copied().filter(|first| *first < index)
    }
}

/// Looks for values that stand twice among the `len` values that `key` gives; those without a value are passed over.
/// `None` if there are none, which up to 2,048 values is found out without an allocation.
#[inline(always)]
pub(crate) fn repeats<'a, K: Key + ?Sized + 'a>(
    len: usize,
    key: impl Fn(usize) -> Option<&'a K>,
) -> Option<Firsts<'a, K>> {
    let may_repeat = if len <= FEW {
        let before = |index, value| (0..index).any(|other| key(other) == Some(value));
        (1..len).any(|index| key(index).is_some_and(|value| before(index, value)))
    } else {
        may_repeat(len, &key)
    };
    may_repeat.then(|| firsts(len, &key)).flatten()
}

/// Says no only if no value stands twice.
#[inline(never)]
fn may_repeat<'a, K: Key + ?Sized + 'a>(len: usize, key: &impl Fn(usize) -> Option<&'a K>) -> bool {
    let search = |slots: &mut [Slot]| {
        let mut seen = Seen::new(slots);
        (0..len).any(|index| key(index).is_some_and(|value| !seen.is_new(index, value, key)))
    };
    if len <= SOME {
        search(&mut [Slot::EMPTY; 2 * SOME])
    } else if len <= MANY {
        search(&mut [Slot::EMPTY; 2 * MANY])
    } else {
        search(&mut slots_for(len))
    }
}

/// Finds what stands twice for good.
#[cold]
#[inline(never)]
fn firsts<'a, K: Key + ?Sized + 'a>(
    len: usize,
    key: &impl Fn(usize) -> Option<&'a K>,
) -> Option<Firsts<'a, K>> {
    let mut firsts = HashMap::with_capacity(len);
    let mut found = false;
    for index in 0..len {
        if let Some(value) = key(index) {
            found |= *firsts.entry(value).or_insert(index) != index;
        }
    }
    found.then_some(Firsts(firsts))
}

/// Slots for a [`Seen`] of so many values. A single one has nothing to be compared with, so it needs none.
pub(crate) fn slots_for(len: usize) -> Vec<Slot> {
    let slots = if len < 2 {
        0
    } else {
        (2 * len).next_power_of_two()
    };
    vec![Slot::EMPTY; slots]
}

/// A value that was seen: half of its hash, and its place plus one, so that an empty slot is all zeros.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Slot {
    hash: u32,
    place: u32,
}

impl Slot {
    const EMPTY: Slot = Slot { hash: 0, place: 0 };
}

/// The values of a list up to some place, in a hash table that holds their places.
pub(crate) struct Seen<'s> {
    slots: &'s mut [Slot],
}

impl<'s> Seen<'s> {
    /// The number of slots is a power of two above that of the values, so that there is always an empty one, or 0 for a
    /// single value.
    pub(crate) fn new(slots: &'s mut [Slot]) -> Seen<'s> {
        debug_assert!(slots.is_empty() || slots.len().is_power_of_two());
        Seen { slots }
    }

    /// Takes the value at `index`, and says yes only if none of those before it is the same. `key` gives these.
    ///
    /// In a list that is made to collide, or is unlucky, it says no to values that are new. So the cost of a value is
    /// bounded, whatever the list.
    #[inline(always)]
    pub(crate) fn is_new<'a, K: Key + ?Sized + 'a>(
        &mut self,
        index: usize,
        value: &K,
        key: impl Fn(usize) -> Option<&'a K>,
    ) -> bool {
        /// With half of the slots empty, not one in a million values gets so far.
        const MOST_STEPS: usize = 64;
        let Some(mask) = self.slots.len().checked_sub(1) else {
            return true;
        };
        let hash = hash(value.as_ref());
        // More values than that don't fit into memory.
        let place = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let new = Slot {
            hash: (hash >> 32) as u32,
            place,
        };
        let mut at = hash as usize & mask;
        for _ in 0..MOST_STEPS {
            let slot = &mut self.slots[at];
            if *slot == Slot::EMPTY {
                *slot = new;
                return true;
            }
            if slot.hash == new.hash && key(slot.place as usize - 1) == Some(value) {
                return false;
            }
            at = (at + 1) & mask;
        }
        false
    }
}

/// A quick hash of short texts, eight bytes at a time.
#[inline(always)]
fn hash(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = bytes.len() as u64;
    let mut mix = |word: u64| {
        state = (state ^ word).wrapping_mul(FACTOR);
        state ^= state >> 29;
    };
    let mut rest = bytes;
    while let Some((word, more)) = rest.split_first_chunk::<8>() {
        mix(u64::from_le_bytes(*word));
        rest = more;
    }
    // Up to seven bytes, put together without a loop or a copy.
    let mut word = 0;
    if let Some((four, more)) = rest.split_first_chunk::<4>() {
        word = u64::from(u32::from_le_bytes(*four));
        rest = more;
    }
    for byte in rest {
        word = word << 8 | u64::from(*byte);
    }
    mix(word);
    state.wrapping_mul(FACTOR).rotate_left(23)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[Option<String>]) -> Vec<Option<usize>> {
        let key = |index: usize| values[index].as_deref();
        let found = repeats(values.len(), key);
        let answers: Vec<_> = (0..values.len())
            .map(|index| {
                let value = values[index].as_deref()?;
                found.as_ref()?.before(index, value)
            })
            .collect();
        // `None` is exactly the answer where nothing repeats.
        assert_eq!(found.is_some(), answers.iter().any(Option::is_some));
        answers
    }

    #[test]
    fn lists_of_every_size_are_searched_alike() {
        for len in [0, 1, 2, 8, 9, 64, 65, 2_048, 2_049, 5_000] {
            let distinct: Vec<_> = (0..len)
                .map(|index| Some(format!("value {index}")))
                .collect();
            assert!(check(&distinct).iter().all(Option::is_none), "{len}");
            if len < 2 {
                continue;
            }
            // The last value stands first, in the middle and at the end.
            let mut repeated = distinct;
            let last = repeated[len - 1].clone();
            repeated[0] = last.clone();
            repeated[len / 2] = last;
            let mut expected = vec![None; len];
            expected[len - 1] = Some(0);
            expected[len / 2] = Some(0);
            if len == 2 {
                // The middle is the end.
                expected = vec![None, Some(0)];
            }
            assert_eq!(check(&repeated), expected, "{len}");
        }
    }

    #[test]
    fn what_has_no_value_is_no_repeat() {
        for len in [3, 30, 300, 3_000] {
            assert!(check(&vec![None; len]).iter().all(Option::is_none));
        }
    }

    #[test]
    fn values_differ_by_content_and_length() {
        let texts = ["", "\0", "\0\0", "a", "a\0", "12345678", "123456789", "é"];
        let values: Vec<_> = texts
            .iter()
            .cycle()
            .take(16)
            .map(|text| Some((*text).to_owned()))
            .collect();
        let expected: Vec<_> = (0..16)
            .map(|index| (index >= 8).then(|| index - 8))
            .collect();
        assert_eq!(check(&values), expected);
        let hashes: std::collections::HashSet<_> =
            texts.iter().map(|text| hash(text.as_bytes())).collect();
        assert_eq!(hashes.len(), texts.len());
    }
}
