//! Random numbers from a seed, the same on every machine and in every release of this project.
//!
//! A failing test prints its seed; to repeat it, set `LAYER_TEST_SEED` to that number.

/// A source of random numbers: SplitMix64, which is small, fast and good enough to choose test data with.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A source that gives the same numbers for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// A source of its own for one part of a test, so that what other parts draw doesn't change it.
    #[must_use]
    pub fn of(seed: u64, part: u64) -> Random {
        let mut random = Random::new(seed ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93));
        random.number();
        random
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    ///
    /// # Panics
    ///
    /// If `end` is 0: there is no such number.
    pub fn below(&mut self, end: u64) -> u64 {
        // The numbers are so much smaller than 2^64 that the bias doesn't matter here.
        self.number() % end
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of several values.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn pick<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        let count = u64::try_from(values.len()).expect("a length fits into 64 bits");
        let index = usize::try_from(self.below(count)).expect("below a length");
        &values[index]
    }
}

/// The seed of this run: that of `LAYER_TEST_SEED`, or `usual`.
///
/// # Panics
///
/// If the variable isn't a number.
#[must_use]
pub fn seed(usual: u64) -> u64 {
    setting("LAYER_TEST_SEED", usual)
}

/// A number from the environment, or `usual`.
///
/// # Panics
///
/// If the variable isn't a number.
#[must_use]
pub fn setting(variable: &str, usual: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is {text:?}; set it to a number")),
        Err(_) => usual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers() {
        let (mut one, mut same, mut other) = (Random::new(1), Random::new(1), Random::of(1, 1));
        let numbers: Vec<_> = (0..10).map(|_| one.number()).collect();
        assert_eq!(numbers, (0..10).map(|_| same.number()).collect::<Vec<_>>());
        assert_ne!(numbers, (0..10).map(|_| other.number()).collect::<Vec<_>>());
        // The first number of the published algorithm for this seed.
        assert_eq!(numbers[0], 10_451_216_379_200_822_465);
        assert!((0..100).all(|_| one.below(3) < 3));
    }
}
