//! The external ids of a file, kept to find one that stands in it twice.
//!
//! They are the one thing that grows with a file. So of an id no more is kept than a hash of 128 bits, which takes 24
//! bytes with the place where it was, however long the id is.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher as _, BuildHasherDefault, Hash, Hasher};

/// How many tables share the ids. A table that grows is for a moment there twice; with many small ones in turn that is
/// nothing, where with one it would be half of the memory again.
const TABLES: usize = 256;

/// The ids that were there, each with the number of its row.
pub(crate) struct ExternalIds {
    /// Two hash functions with keys of their own make 128 bits. With random keys nobody can make two ids collide, and
    /// among a thousand million ids two do by chance once in 10^20 files.
    hashers: [RandomState; 2],
    tables: Vec<HashMap<Fingerprint, u64, BuildHasherDefault<Hashed>>>,
}

impl Default for ExternalIds {
    fn default() -> Self {
        Self {
            hashers: Default::default(),
            tables: (0..TABLES).map(|_| HashMap::default()).collect(),
        }
    }
}

impl ExternalIds {
    /// Takes the id of a row. Gives the first row that had it, if one had.
    pub(crate) fn repeated(&mut self, external_id: &str, row: u64) -> Option<u64> {
        let [first, second] = &self.hashers;
        let fingerprint = Fingerprint(first.hash_one(external_id), second.hash_one(external_id));
        // The table is chosen by the half that the tables don't use.
        let table = fingerprint.1 as usize % TABLES;
        match self.tables[table].entry(fingerprint) {
            Entry::Vacant(vacant) => {
                vacant.insert(row);
                None
            }
            Entry::Occupied(first) => Some(*first.get()),
        }
    }
}

/// What stands for an id.
#[derive(PartialEq, Eq)]
struct Fingerprint(u64, u64);

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Half of a hash is hash enough to find a place in the table.
        state.write_u64(self.0);
    }
}

/// Takes what is a hash already for one.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        // A fingerprint doesn't come here. What would, still gets a hash that depends on all of it.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_again_with_its_first_row() {
        let mut ids = ExternalIds::default();
        for row in 0..10_000 {
            assert_eq!(ids.repeated(&format!("payment-{row}"), row), None);
        }
        for row in 0..10_000 {
            assert_eq!(
                ids.repeated(&format!("payment-{row}"), 10_000 + row),
                Some(row)
            );
        }
        assert_eq!(ids.repeated("payment-1 ", 20_000), None);
        assert_eq!(ids.repeated("payment-1 ", 20_001), Some(20_000));
    }

    #[test]
    fn an_id_takes_24_bytes() {
        assert_eq!(size_of::<(Fingerprint, u64)>(), 24);
    }
}
