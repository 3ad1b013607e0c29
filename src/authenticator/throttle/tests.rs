use super::*;
use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::address::AddressFrame;

const WINDOW: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(300);

fn limiter(failures: u32) -> (Arc<FailureLimiter>, Instant) {
    let limiter = Arc::new(FailureLimiter::new(FailureLimit::new(failures, WINDOW, PAUSE).unwrap()));
    let now = limiter.start;
    (limiter, now)
}

fn client(address: &str, user: &str) -> Client<'static> {
    let own = |text: &str| Cow::Owned(text.as_bytes().to_vec());
    let identity = Identity::User(own(user));
    let address = AddressFrame::from(address.as_bytes()).into_owned();
    Client { mechanism: own("PLAIN"), domain: own("d"), address, identity }
}

/// Tries once; whether the attempt was admitted.
fn attempt(limiter: &Arc<FailureLimiter>, client: &Client<'_>, reason: Reason, now: Instant) -> bool {
    match limiter.reserve(client, now) {
        Ok(attempt) => {
            attempt.expect("PLAIN is limited").finish(reason, now);
            true
        }
        Err(reason) => {
            assert_eq!(reason, Reason::TooManyFailures);
            false
        }
    }
}

/// Makes this many failing attempts, and returns how many were admitted.
fn fail(limiter: &Arc<FailureLimiter>, client: &Client<'_>, times: u32, now: Instant) -> u32 {
    (0..times).map(|_| u32::from(attempt(limiter, client, Reason::WrongPassword, now))).sum()
}

fn is_paused(limiter: &Arc<FailureLimiter>, client: &Client<'_>, now: Instant) -> bool {
    let (checked, reserved) = (limiter.check(client, now).is_err(), limiter.reserve(client, now).is_err());
    assert_eq!(checked, reserved, "explain and decide disagree");
    checked
}

#[test]
fn three_failures_cause_a_pause_which_ends() {
    let (limiter, now) = limiter(3);
    let mallory = client("10.0.0.7", "alice");
    assert_eq!(fail(&limiter, &mallory, 2, now), 2);
    assert!(!is_paused(&limiter, &mallory, now));
    fail(&limiter, &mallory, 1, now);
    assert!(is_paused(&limiter, &mallory, now));
    assert!(is_paused(&limiter, &mallory, now + PAUSE - Duration::from_millis(1)));
    assert!(!is_paused(&limiter, &mallory, now + PAUSE));
}

#[test]
fn addresses_and_users_are_counted_separately_in_each_domain() {
    let (limiter, now) = limiter(3);
    fail(&limiter, &client("10.0.0.7", "alice"), 3, now);
    assert!(is_paused(&limiter, &client("10.0.0.7", "bob"), now));
    assert!(is_paused(&limiter, &client("10.1.0.8", "alice"), now));
    assert!(!is_paused(&limiter, &client("10.1.0.8", "bob"), now));
    let elsewhere = Client { domain: Cow::Borrowed(b"e"), ..client("10.0.0.7", "alice") };
    assert!(!is_paused(&limiter, &elsewhere, now));
}

#[test]
fn only_plain_is_limited() {
    let (limiter, now) = limiter(1);
    fail(&limiter, &client("10.0.0.7", "alice"), 1, now);
    for identity in [Identity::Nobody, Identity::Key([7; 32].into()), Identity::Principal(Cow::Borrowed(b"alice"))] {
        let other = Client { identity, ..client("10.0.0.7", "alice") };
        assert!(limiter.reserve(&other, now).is_ok_and(|attempt| attempt.is_none()));
        assert_eq!(limiter.check(&other, now), Ok(()));
    }
}

#[test]
fn an_outcome_that_says_nothing_about_the_password_is_not_a_failure() {
    let (limiter, now) = limiter(1);
    let alice = client("10.0.0.7", "alice");
    for reason in [
        Reason::Password(None),
        Reason::NotConfigured,
        Reason::CallbackRetry,
        Reason::TooManyCalls,
        Reason::TimedOut,
        Reason::NoThread,
        Reason::NeedsRuntime,
        Reason::Stopping,
    ] {
        assert!(attempt(&limiter, &alice, reason, now), "{reason:?}");
    }
    for (number, reason) in
        [Reason::CallbackDenied, Reason::CallbackFault, Reason::CallbackPanicked, Reason::UnreadableText]
            .into_iter()
            .enumerate()
    {
        let client = client(&format!("10.{number}.0.1"), &format!("user-{number}"));
        assert!(attempt(&limiter, &client, reason, now));
        assert!(is_paused(&limiter, &client, now), "{reason:?}");
    }
}

#[test]
fn failures_count_within_the_window_both_ends_included() {
    let (limiter, now) = limiter(3);
    let clumsy = client("10.0.0.7", "alice");
    fail(&limiter, &clumsy, 2, now);
    fail(&limiter, &clumsy, 2, now + WINDOW + Duration::from_millis(1));
    assert!(!is_paused(&limiter, &clumsy, now + WINDOW + Duration::from_millis(1)));
    let mallory = client("10.1.0.7", "bob");
    fail(&limiter, &mallory, 2, now);
    fail(&limiter, &mallory, 1, now + WINDOW);
    assert!(is_paused(&limiter, &mallory, now + WINDOW));
}

#[test]
fn running_attempts_count() {
    let (limiter, now) = limiter(3);
    let mallory = client("10.0.0.7", "alice");
    let mut under_way: Vec<Box<Attempt>> = (0..64).filter_map(|_| limiter.reserve(&mallory, now).ok()?).collect();
    assert_eq!(under_way.len(), 3);
    under_way.pop().unwrap().finish(Reason::WrongPassword, now);
    assert!(is_paused(&limiter, &mallory, now), "one failure and two under way");
    drop(under_way);
    assert!(!is_paused(&limiter, &mallory, now), "what is given back doesn't count");
    assert_eq!(fail(&limiter, &mallory, 10, now), 2);
}

#[test]
fn a_success_neither_clears_failures_nor_ends_a_pause() {
    let (limiter, now) = limiter(5);
    let mut admitted = 0;
    for _ in 0..250 {
        admitted += fail(&limiter, &client("10.0.0.7", "alice"), 4, now);
        attempt(&limiter, &client("192.168.0.1", "alice"), Reason::Password(None), now);
    }
    assert_eq!(admitted, 5);
    let under_way = limiter.reserve(&client("10.0.0.9", "bob"), now).unwrap().unwrap();
    fail(&limiter, &client("10.0.0.9", "bob"), 4, now);
    limiter.lock().users.fail(under_way.user, 5, limiter.millis(now + PAUSE));
    under_way.finish(Reason::Password(None), now);
    assert!(is_paused(&limiter, &client("10.1.0.9", "bob"), now));
}

#[test]
fn a_subnet_of_ipv6_is_one_address() {
    let (limiter, now) = limiter(3);
    for n in 1..=3 {
        fail(&limiter, &client(&format!("2001:db8::{n}"), &format!("user {n}")), 1, now);
    }
    assert!(is_paused(&limiter, &client("2001:db8::4", "user 4"), now));
    assert!(!is_paused(&limiter, &client("2001:db8:0:1::4", "user 4"), now));
}

#[test]
fn a_network_is_paused_long_before_its_addresses_fill_the_table() {
    let (limiter, now) = limiter(5);
    let mut admitted = 0;
    for n in 0..327_680_u32 {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 0, (n % 65_536) as u16, 0, 0, 0, 1).to_string();
        admitted += fail(&limiter, &client(&address, &format!("user {n}")), 1, now);
    }
    assert_eq!(admitted, 5 * NETWORK_FACTOR);
    let mallory = client("2001:db8:1::1", "alice");
    assert_eq!(fail(&limiter, &mallory, 10, now), 5, "another network is limited as ever");
}

#[test]
fn a_full_set_gets_stricter() {
    let (limiter, now) = limiter(2);
    let set_of = |n: u32| {
        let counted = limiter.counted(&client(&Ipv4Addr::from(n).to_string(), "u")).unwrap();
        counted.address.id as usize % SETS
    };
    let sharing: Vec<u32> = (0..).map(|n| n * 256).filter(|n| set_of(*n) == set_of(0)).take(WAYS + 3).collect();
    let client = |n: &u32| client(&Ipv4Addr::from(*n).to_string(), &format!("user {n}"));
    for n in &sharing[..WAYS] {
        assert_eq!(fail(&limiter, &client(n), 5, now), 2);
    }
    let [first, second, third] = &sharing[WAYS..] else { unreachable!() };
    assert_eq!(fail(&limiter, &client(first), 1, now), 1);
    assert_eq!(fail(&limiter, &client(second), 5, now), 1, "newcomers share an entry");
    assert!(is_paused(&limiter, &client(third), now));
    assert!(sharing[..WAYS].iter().all(|n| is_paused(&limiter, &client(n), now)), "no pause ended early");
    assert!(!is_paused(&limiter, &client(third), now + PAUSE));
}

#[test]
fn a_million_addresses_neither_fill_memory_nor_end_a_pause() {
    let (limiter, now) = limiter(3);
    let mallory = client("10.0.0.7", "alice");
    fail(&limiter, &mallory, 3, now);
    for n in 0..1_000_000_u32 {
        attempt(&limiter, &client(&Ipv4Addr::from(n * 256).to_string(), "x"), Reason::WrongPassword, now);
    }
    assert!(is_paused(&limiter, &mallory, now));
    let tables = limiter.lock();
    assert_eq!((tables.addresses.0.len(), tables.users.0.len()), (SETS, SETS));
    assert!(size_of::<[Entry; WAYS + 1]>() * SETS * 2 <= 3_000_000);
}
