//! The life of a region: allocated, wiped, kept, reused.

use std::collections::HashSet;
use std::thread;

use crate::secret::{KEPT_AT_MOST, LONGEST_KEPT, MARK, Secret, error, kept, mappings, one_at_a_time};

#[test]
fn a_secret_is_wiped_when_it_comes_back() {
    let _alone = one_at_a_time();
    for size in [1, 32, 96, 160, 1_000, LONGEST_KEPT] {
        let secret = Secret::new(size);
        secret.fill(0xa5);
        secret.free();
        assert!(secret.is_mapped(), "{size} bytes are not kept");
        assert!(secret.is_all(0), "{size} bytes are still there");
        assert!((1..=MARK as isize).all(|back| secret.read(-back) == 0), "the mark of {size} bytes is still there");
    }
}

#[test]
fn a_region_is_used_again_for_a_secret_of_its_size_and_no_other() {
    let _alone = one_at_a_time();
    let first = Secret::new(97);
    first.free();
    let before = kept();
    for size in [96, 98, 97 + 4096] {
        assert_ne!(Secret::new(size).address, first.address, "of {size} bytes");
    }
    assert_eq!(Secret::array(97, 1), Some(first));
    // Of the others none was kept before, or one each.
    assert!(kept() < before, "{} kept, {before} before", kept());
    let second = Secret::new(97);
    assert_ne!(second, first, "one region for two secrets");
    first.free();
    second.free();
}

#[test]
fn at_most_256_are_kept() {
    let _alone = one_at_a_time();
    let secrets: Vec<_> = (0..KEPT_AT_MOST + 50).map(|_| Secret::new(40)).collect();
    assert_eq!(secrets.iter().map(|secret| secret.address).collect::<HashSet<_>>().len(), secrets.len());
    let before = mappings();
    for secret in &secrets {
        secret.free();
        assert!(kept() <= KEPT_AT_MOST, "{} are kept", kept());
    }
    assert_eq!(kept(), KEPT_AT_MOST);
    // The oldest were displaced.
    let (gone, waiting) = secrets.split_at(50);
    assert!(gone.iter().all(|secret| !secret.is_mapped()), "a region is neither kept nor unmapped");
    assert!(waiting.iter().all(|secret| secret.is_mapped()), "a later one went before an earlier one");
    assert!(mappings() < before, "{before} to {} mappings", mappings());
}

#[test]
fn sizes_that_were_wanted_once_do_not_stay_in_the_way() {
    let _alone = one_at_a_time();
    // The maximum number of regions, each with its own size: a client chooses the length of its INITIATE.
    for size in 0..KEPT_AT_MOST {
        Secret::new(1_000 + size).free();
    }
    assert_eq!(kept(), KEPT_AT_MOST);
    let usual = Secret::new(64);
    for odd in 0..2 * KEPT_AT_MOST {
        usual.free();
        let before = kept();
        // The system may give a new region the same address.
        assert_eq!((Secret::new(64), kept()), (usual, before - 1), "after {odd} secrets of other sizes");
        Secret::new(2_000 + odd).free();
    }
    usual.free();
}

#[test]
fn what_does_not_fit_in_a_page_is_not_kept() {
    let _alone = one_at_a_time();
    let before = kept();
    for size in [LONGEST_KEPT + 1, 4_096, 5_000, 1 << 20] {
        let secret = Secret::new(size);
        secret.fill(0xa5);
        secret.free();
        assert!(!secret.is_mapped(), "{size} bytes are still there");
    }
    assert_eq!(kept(), before);
}

#[test]
fn numbers_too_large_are_no_memory() {
    let _alone = one_at_a_time();
    // NULL may be freed, as with `free`.
    Secret { address: 0, size: 0 }.free();
    let (most, half) = (usize::MAX, usize::MAX / 2 + 1);
    for (count, size) in [
        (most, 2),
        (2, most),
        (most / 2, 3),
        (1, most),
        (1, most - MARK),
        (1, most - MARK + 1),
        (most - 8, 1),
        (half, 2),
        (2, half),
        (half / 8 + 1, 16),
    ] {
        assert_eq!(Secret::array(count, size), None, "{count} of {size}");
        assert_eq!(error(), Some(libc::ENOMEM), "{count} of {size}");
    }
    for (count, size) in [(0, most), (most, 0), (0, 0), (1, 0)] {
        let nothing = Secret::array(count, size).expect("an address for nothing, as of libsodium");
        nothing.free();
        assert_eq!(Secret::array(count, size), Some(nothing));
        nothing.free();
    }
}

#[test]
fn a_secret_ends_with_its_page_and_is_aligned_as_its_size() {
    let _alone = one_at_a_time();
    for size in (0..=LONGEST_KEPT).step_by(7).chain([LONGEST_KEPT, LONGEST_KEPT + 1, 4_095, 4_096, 4_097, 9_000]) {
        for _ in ["made", "used again"] {
            let secret = Secret::new(size);
            assert_eq!((secret.address + size) % 4_096, 0, "{size} bytes");
            secret.fill(1);
            assert!(secret.is_all(1));
            secret.free();
        }
    }
}

#[test]
fn no_two_threads_have_one_region() {
    let _alone = one_at_a_time();
    thread::scope(|scope| {
        for own in 1..=8 {
            scope.spawn(move || {
                for round in 0..10_000 {
                    let secrets = [32, 96, 96, 160].map(Secret::new);
                    secrets.iter().for_each(|secret| secret.fill(own));
                    if round % 16 == 0 {
                        thread::yield_now();
                    }
                    for secret in secrets {
                        assert!(secret.is_all(own), "another thread wrote to a secret of {} bytes", secret.size);
                        secret.free();
                    }
                }
            });
        }
    });
    assert!(kept() <= KEPT_AT_MOST);
}
