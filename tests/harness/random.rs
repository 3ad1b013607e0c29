//! The random number generator of the tests outside `tests/properties`, with a seed that is printed.

use std::hash::{BuildHasher, RandomState};

/// Sets the seed, to repeat a run.
const SEED: &str = "ZMQ_AUTH_TEST_SEED";

/// SplitMix64. (Steele, Lea and Flood, 2014.)
pub struct Random(u64);

impl Random {
    /// With a new seed each time, which the test runner shows if the test fails.
    pub fn new() -> Self {
        let seed = match std::env::var(SEED) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED}={text:?} is not a number")),
            Err(_) => RandomState::new().hash_one(0),
        };
        println!("{SEED}={seed}");
        Random(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    pub fn byte(&mut self) -> u8 {
        self.number() as u8
    }
}
