//! Finds a user's place without telling by the time it takes whether there is such a user.
//!
//! A hash table takes one way for a name that it holds and another one for a name that it doesn't, and a processor is slow
//! at a way that it didn't foresee. Here both take the same one: half of the name's hash says where in a list the other
//! halves stand that it could be, and all of those are compared, without a branch. A name that isn't there leads to one
//! that is, always the same.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;

/// So many names begin in one bucket, on average.
const IN_BUCKET: usize = 3;
/// So many are looked at from a bucket's beginning: a cache line. Where a bucket is fuller, which comes once in a hundred
/// million buckets, the names are hashed anew.
const LOOKED_AT: usize = 16;

#[derive(Default)]
pub(super) struct Finder {
    hasher: RandomState,
    /// Of each bucket, the first place.
    first: Box<[u32]>,
    /// Of the name at each place, and some more, so that any place has enough behind it.
    halves: Box<[u32]>,
    names: usize,
}

/// Where a name is, or would be.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub(super) place: usize,
    /// Whether the hash is that of the name at the place. That the name is the same is still to be seen.
    pub(super) is_likely: bool,
}

impl Finder {
    /// Of names that all differ. Says, place by place, the number of the name that has it.
    pub(super) fn new<'a>(names: impl ExactSizeIterator<Item = &'a [u8]> + Clone) -> (Self, Vec<u32>) {
        loop {
            let (finder, order) = Finder::try_new(RandomState::default(), names.clone());
            // Two that can't be told apart are as rare as a full bucket: once in a hundred tables of a million names.
            if finder.tells_all_apart() {
                return (finder, order);
            }
        }
    }

    fn try_new<'a>(hasher: RandomState, names: impl ExactSizeIterator<Item = &'a [u8]>) -> (Self, Vec<u32>) {
        let (count, buckets) = (names.len(), names.len() / IN_BUCKET + 1);
        let mut order: Vec<(usize, u32, u32)> = Vec::with_capacity(count);
        order.extend(names.zip(0..).map(|(name, number)| {
            let (bucket, half) = halve(hasher.hash_one(name), buckets);
            (bucket, half, number)
        }));
        order.sort_unstable();
        let mut first = Vec::with_capacity(buckets);
        for (&(bucket, ..), place) in order.iter().zip(0..) {
            first.resize(bucket.max(first.len().saturating_sub(1)) + 1, place);
        }
        first.resize(buckets, count as u32);
        let halves = order.iter().map(|&(_, half, _)| half).chain([0; LOOKED_AT]).collect();
        let order = order.into_iter().map(|(.., number)| number).collect();
        (Finder { hasher, first: first.into(), halves, names: count }, order)
    }

    /// Whether each name leads to its own place.
    fn tells_all_apart(&self) -> bool {
        let ends = self.first.iter().skip(1).map(|&end| end as usize).chain([self.names]);
        self.first.iter().zip(ends).enumerate().all(|(bucket, (&first, end))| {
            (first as usize..end).all(|place| {
                let own = Some(Found { place, is_likely: true });
                self.halves.get(place).is_some_and(|&half| self.look(bucket, half) == own)
            })
        })
    }

    /// `None` where there are no names at all.
    pub(super) fn find(&self, name: &[u8]) -> Option<Found> {
        let (bucket, half) = halve(self.hasher.hash_one(name), self.first.len());
        self.look(bucket, half)
    }

    fn look(&self, bucket: usize, half: u32) -> Option<Found> {
        let first = *self.first.get(bucket)? as usize;
        let looked_at = self.halves.get(first..)?.first_chunk::<LOOKED_AT>()?;
        // Not a neighbour: those in front of their buckets would be visited more often than others, and be nearer.
        let anywhere = (u128::from(half) * self.names as u128) >> 32;
        let (mut place, mut is_likely) = (anywhere as usize, false);
        for (at, other) in (first..).zip(looked_at) {
            let equal = *other == half;
            place = if equal { at } else { place };
            is_likely |= equal;
        }
        Some(Found { place: place.min(self.names.checked_sub(1)?), is_likely })
    }
}

/// A bucket, by the upper half of a hash, and the lower one.
fn halve(hash: u64, buckets: usize) -> (usize, u32) {
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
            let (finder, order) = Finder::new(names.iter().map(|name| name.as_bytes()));
            assert_eq!(order.len(), count);
            for (place, number) in order.into_iter().enumerate() {
                let name = &names[number as usize];
                assert_eq!(finder.find(name.as_bytes()), Some(Found { place, is_likely: true }), "{name}");
            }
            for number in 0..100 {
                let name = format!("nobody-{number}");
                let (once, again) = (finder.find(name.as_bytes()).unwrap(), finder.find(name.as_bytes()).unwrap());
                assert!(!once.is_likely && once == again && once.place < count, "{name}");
            }
        }
        assert_eq!(Finder::default().find(b"anybody"), None);
        let (nobody, order) = Finder::new([].into_iter());
        assert!(nobody.find(b"anybody").is_none() && order.is_empty());
    }

    #[test]
    fn who_is_not_there_leads_to_anybody_as_often() {
        let names: Vec<String> = (0..100).map(|number| format!("user-{number}")).collect();
        let (finder, _) = Finder::new(names.iter().map(|name| name.as_bytes()));
        let mut visits = [0; 100];
        for number in 0..100_000 {
            visits[finder.find(format!("nobody-{number}").as_bytes()).unwrap().place] += 1;
        }
        // 1,000 each; six times the standard deviation is 190.
        assert!(visits.iter().all(|visits| (800..1_200).contains(visits)), "{visits:?}");
    }

    #[test]
    fn names_that_could_be_taken_for_each_other_are_hashed_anew() {
        let hasher = RandomState::default();
        // Two with one hash, as the same name twice has: no seed could part them.
        let (twice, _) = Finder::try_new(hasher.clone(), [b"one".as_slice(), b"two", b"one"].into_iter());
        assert!(!twice.tells_all_apart());
        let (all_differ, _) = Finder::try_new(hasher, [b"one".as_slice(), b"two", b"three"].into_iter());
        assert!(all_differ.tells_all_apart());
        // More in one bucket than are looked at.
        let full = Finder { first: [0].into(), halves: (1..40).collect(), names: 20, ..Finder::default() };
        assert!(!full.tells_all_apart());
        let not_full = Finder { names: LOOKED_AT, ..full };
        assert!(not_full.tells_all_apart());
    }
}
