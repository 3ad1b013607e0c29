//! Finds a user's place without telling by the time it takes whether there is such a user.
//!
//! A hash table takes one way for a name that it holds and another one for a name that it doesn't, and a processor is slow
//! at a way that it didn't foresee. Here both take the same one: a search by halves, without a branch, through the hashes
//! of all names. For a name that isn't there it ends at a neighbour, always the same one.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;

#[derive(Default)]
pub(super) struct Finder {
    hasher: RandomState,
    // In ascending order; the places in the same.
    hashes: Vec<u64>,
    places: Vec<u32>,
}

/// Where a name is, or would be.
pub(super) struct Found {
    pub(super) place: usize,
    /// Whether the hash is that of the name at the place. That the name is the same is still to be seen.
    pub(super) is_likely: bool,
}

impl Finder {
    /// Of these names; each one's place is its number.
    pub(super) fn new<'a, I>(names: I) -> Self
    where
        I: Iterator<Item = &'a [u8]> + Clone,
    {
        loop {
            let hasher = RandomState::default();
            let hashes = names.clone().map(|name| hasher.hash_one(name));
            let mut order: Vec<(u64, u32)> = hashes.zip(0..).collect();
            order.sort_unstable();
            // Two names with one hash: once in ten million tables of a million names. Another seed parts them.
            if order.is_sorted_by(|a, b| a.0 < b.0) {
                let (hashes, places) = order.into_iter().unzip();
                return Finder { hasher, hashes, places };
            }
        }
    }

    /// `None` where there are no names at all.
    pub(super) fn find(&self, name: &[u8]) -> Option<Found> {
        let hash = self.hasher.hash_one(name);
        let at = self.hashes.partition_point(|other| *other < hash).min(self.hashes.len().checked_sub(1)?);
        Some(Found { place: *self.places.get(at)? as usize, is_likely: *self.hashes.get(at)? == hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_at_its_place_and_others_lead_to_a_neighbour() {
        for count in [1, 2, 3, 1_000] {
            let names: Vec<String> = (0..count).map(|number| format!("user-{number}")).collect();
            let finder = Finder::new(names.iter().map(|name| name.as_bytes()));
            for (place, name) in names.iter().enumerate() {
                let found = finder.find(name.as_bytes()).unwrap();
                assert!(found.is_likely && found.place == place, "{name}");
            }
            for number in 0..100 {
                let name = format!("nobody-{number}");
                let (once, again) = (finder.find(name.as_bytes()).unwrap(), finder.find(name.as_bytes()).unwrap());
                assert!(!once.is_likely && once.place == again.place && once.place < count, "{name}");
            }
        }
        assert!(Finder::default().find(b"anybody").is_none());
    }
}
