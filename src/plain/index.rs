//! The index of user names: a look-up whose time doesn't show whether the name exists.
//!
//! An ordinary hash table takes one path for a name that it has and another for one that it hasn't, and a processor is slow
//! on a path that it didn't predict, which a client could measure. Here hits and misses take the same path:
//!
//! ```text
//! hash(name) = ┌─ upper half ─┬─ lower half ─┐
//!                     │               │
//!                     ▼               ▼ compared with 16 short hashes, without branching
//! buckets        ──▶ first[b] ──▶ [h₀ h₁ h₂ … h₁₅]        a cache line
//!                                      │
//!                       hit: its place │ miss: the place of some other name, always the same for one hash
//!                                      ▼
//! PaddedPasswords               one comparison, in constant time
//! ```

use std::hash::BuildHasher;

use foldhash::quality::RandomState;

/// Names in a bucket, on average.
const NAMES_PER_BUCKET: usize = 3;
/// Short hashes compared from the start of a bucket: a cache line. If a bucket has more, which happens once in a hundred
/// million buckets, all names are hashed again with another seed.
const SCANNED: usize = 16;

#[derive(Default)]
pub(super) struct NameIndex {
    hasher: RandomState,
    /// The first place of each bucket.
    first: Box<[u32]>,
    /// The short hash of the name at each place, then padding, so that 16 follow every place.
    short_hashes: Box<[u32]>,
    names: usize,
}

/// The place of a name, or that of its stand-in.
#[derive(Debug, PartialEq)]
pub(super) struct Slot {
    pub(super) place: usize,
    /// Whether the hash matches that of the name at the place. The caller must still compare the names.
    pub(super) hash_matches: bool,
}

impl NameIndex {
    /// Builds the index of distinct names, and returns for each place the number of its name.
    pub(super) fn new<'a>(names: impl ExactSizeIterator<Item = &'a [u8]> + Clone) -> (Self, Vec<u32>) {
        loop {
            let (index, order) = NameIndex::try_new(RandomState::default(), names.clone());
            // Two names with the same hash are as rare as a full bucket: once in a hundred tables of a million names.
            if index.tells_all_apart() {
                return (index, order);
            }
        }
    }

    fn try_new<'a>(hasher: RandomState, names: impl ExactSizeIterator<Item = &'a [u8]>) -> (Self, Vec<u32>) {
        let (count, buckets) = (names.len(), names.len() / NAMES_PER_BUCKET + 1);
        let mut order: Vec<(usize, u32, u32)> = Vec::with_capacity(count);
        order.extend(names.zip(0..).map(|(name, number)| {
            let (bucket, short_hash) = split_hash(hasher.hash_one(name), buckets);
            (bucket, short_hash, number)
        }));
        order.sort_unstable();
        let mut first = Vec::with_capacity(buckets);
        for (&(bucket, ..), place) in order.iter().zip(0..) {
            first.resize(bucket.max(first.len().saturating_sub(1)) + 1, place);
        }
        first.resize(buckets, count as u32);
        let short_hashes = order.iter().map(|&(_, short_hash, _)| short_hash).chain([0; SCANNED]).collect();
        let order = order.into_iter().map(|(.., number)| number).collect();
        (NameIndex { hasher, first: first.into(), short_hashes, names: count }, order)
    }

    /// Whether each name leads to its own place.
    fn tells_all_apart(&self) -> bool {
        let ends = self.first.iter().skip(1).map(|&end| end as usize).chain([self.names]);
        self.first.iter().zip(ends).enumerate().all(|(bucket, (&first, end))| {
            (first as usize..end).all(|place| {
                let own = Some(Slot { place, hash_matches: true });
                self.short_hashes.get(place).is_some_and(|&short_hash| self.scan(bucket, short_hash) == own)
            })
        })
    }

    /// `None` if the index is empty.
    pub(super) fn find(&self, name: &[u8]) -> Option<Slot> {
        let (bucket, short_hash) = split_hash(self.hasher.hash_one(name), self.first.len());
        self.scan(bucket, short_hash)
    }

    fn scan(&self, bucket: usize, short_hash: u32) -> Option<Slot> {
        let first = *self.first.get(bucket)? as usize;
        let scanned = self.short_hashes.get(first..)?.first_chunk::<SCANNED>()?;
        // Not a neighbour: the first names of buckets would stand in more often, and so be cached more often.
        let stand_in = (u128::from(short_hash) * self.names as u128) >> 32;
        let (mut place, mut hash_matches) = (stand_in as usize, false);
        for (at, other) in (first..).zip(scanned) {
            let equal = *other == short_hash;
            place = if equal { at } else { place };
            hash_matches |= equal;
        }
        Some(Slot { place: place.min(self.names.checked_sub(1)?), hash_matches })
    }
}

/// Splits a hash: the upper half gives the bucket, the lower half is the short hash.
fn split_hash(hash: u64, buckets: usize) -> (usize, u32) {
    let bucket = (u128::from(hash >> 32) * buckets as u128) >> 32;
    (bucket as usize, hash as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_at_its_place_and_others_lead_to_someone_else_s() {
        for count in [1, 2, 3, 4, 1_000, 100_000] {
            let names: Vec<String> = (0..count).map(|number| format!("user-{number}")).collect();
            let (index, order) = NameIndex::new(names.iter().map(|name| name.as_bytes()));
            assert_eq!(order.len(), count);
            for (place, number) in order.into_iter().enumerate() {
                let name = &names[number as usize];
                assert_eq!(index.find(name.as_bytes()), Some(Slot { place, hash_matches: true }), "{name}");
            }
            for number in 0..100 {
                let name = format!("nobody-{number}");
                let (once, again) = (index.find(name.as_bytes()).unwrap(), index.find(name.as_bytes()).unwrap());
                assert!(!once.hash_matches && once == again && once.place < count, "{name}");
            }
        }
        assert_eq!(NameIndex::default().find(b"anybody"), None);
        let (nobody, order) = NameIndex::new([].into_iter());
        assert!(nobody.find(b"anybody").is_none() && order.is_empty());
    }

    #[test]
    fn an_unknown_name_leads_to_every_user_equally_often() {
        let names: Vec<String> = (0..100).map(|number| format!("user-{number}")).collect();
        let (index, _) = NameIndex::new(names.iter().map(|name| name.as_bytes()));
        let mut visits = [0; 100];
        for number in 0..100_000 {
            visits[index.find(format!("nobody-{number}").as_bytes()).unwrap().place] += 1;
        }
        // 1,000 each; six times the standard deviation is 190.
        assert!(visits.iter().all(|visits| (800..1_200).contains(visits)), "{visits:?}");
    }

    #[test]
    fn names_that_collide_are_hashed_again() {
        let hasher = RandomState::default();
        // Two names with one hash, here the same name twice: no seed can separate them.
        let (twice, _) = NameIndex::try_new(hasher.clone(), [b"one".as_slice(), b"two", b"one"].into_iter());
        assert!(!twice.tells_all_apart());
        let (all_differ, _) = NameIndex::try_new(hasher, [b"one".as_slice(), b"two", b"three"].into_iter());
        assert!(all_differ.tells_all_apart());
        // More names in one bucket than are compared.
        let full = NameIndex { first: [0].into(), short_hashes: (1..40).collect(), names: 20, ..NameIndex::default() };
        assert!(!full.tells_all_apart());
        let not_full = NameIndex { names: SCANNED, ..full };
        assert!(not_full.tells_all_apart());
    }
}
