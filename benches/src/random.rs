//! Reproducible random numbers: SplitMix64.

const INCREMENT: u64 = 0x9E37_79B9_7F4A_7C15;

/// A generator, seeded with its field.
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(INCREMENT);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        number ^ (number >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound as u64) as usize
    }

    /// 32 bytes, the length of a key.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for group in bytes.as_chunks_mut::<8>().0 {
            *group = self.next_u64().to_le_bytes();
        }
        bytes
    }
}

/// The generator's `index`-th number for the seed 0, computed directly.
pub fn nth(index: u64) -> u64 {
    SplitMix64(index.wrapping_mul(INCREMENT)).next_u64()
}
