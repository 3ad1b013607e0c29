//! The queue is fair, bounded, and drops what has expired.

use super::*;
use std::net::Ipv4Addr;

const CAPACITY: usize = 64;

struct Scene {
    queue: FairQueue<u32>,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Scene { queue: FairQueue::new(), now: Instant::now() }
    }

    fn claim(&self, policy: usize, domain: &str, host: u32) -> Claim {
        Claim {
            policy: PolicyId(policy),
            domain: Arc::from(domain.as_bytes()),
            origin: Origin::Ip(Ipv4Addr::from_bits(host).into()),
            deadline: self.now + Duration::from_secs(5),
        }
    }

    fn push(&mut self, policy: usize, domain: &str, host: u32, item: u32) -> Result<Option<u32>, u32> {
        let claim = self.claim(policy, domain, host);
        self.queue.push(claim, 1, item, CAPACITY, self.now)
    }

    fn pop(&mut self) -> Option<u32> {
        self.queue.pop(self.now, |_| true).map(|(_, item)| item)
    }

    fn pop_all(&mut self) -> Vec<u32> {
        std::iter::from_fn(|| self.pop()).collect()
    }
}

#[test]
fn calls_of_one_address_come_in_their_order() {
    let mut scene = Scene::new();
    (0..10).for_each(|item| assert_eq!(scene.push(1, "a", 1, item), Ok(None)));
    assert_eq!(scene.pop_all(), (0..10).collect::<Vec<_>>());
    assert!(scene.queue.is_empty() && scene.queue.policies.members.is_empty() && scene.queue.policies.order.is_empty());
}

#[test]
fn a_newcomer_to_a_long_queue_is_served_next_at_each_level() {
    for (policy, domain, host) in [(2, "a", 1), (1, "b", 1), (1, "a", 2)] {
        let mut scene = Scene::new();
        (0..50).for_each(|item| assert_eq!(scene.push(1, "a", 1, item), Ok(None)));
        assert_eq!(scene.pop(), Some(0));
        (100..103).for_each(|item| assert_eq!(scene.push(policy, domain, host, item), Ok(None)));
        let order = scene.pop_all();
        assert_eq!(order[..7], [1, 100, 2, 101, 3, 102, 4], "{policy} {domain} {host}");
        assert_eq!(order.len(), 52);
    }
}

#[test]
fn whoever_asks_once_at_a_time_starves_nobody() {
    let mut scene = Scene::new();
    (0..10).for_each(|item| assert_eq!(scene.push(1, "a", 1, item), Ok(None)));
    let mut served = Vec::new();
    for _ in 0..10 {
        scene.push(1, "b", 1, 100).unwrap();
        served.extend([scene.pop().unwrap(), scene.pop().unwrap()]);
    }
    assert_eq!(served.iter().filter(|item| **item < 100).count(), 10);
}

#[test]
fn shares_are_of_the_work_not_of_the_calls() {
    let mut scene = Scene::new();
    for item in 0..20 {
        let (dear, cheap) = (scene.claim(1, "dear", 1), scene.claim(1, "cheap", 1));
        scene.queue.push(dear, 10, item, CAPACITY, scene.now).unwrap();
        scene.queue.push(cheap, 1, 100 + item, CAPACITY, scene.now).unwrap();
    }
    let first: Vec<_> = (0..22).map(|_| scene.pop().unwrap()).collect();
    assert_eq!(first.iter().filter(|item| **item < 100).count(), 2, "{first:?}");
}

#[test]
fn a_hundred_thousand_addresses_take_no_more_than_the_capacity_of_their_domain() {
    let mut scene = Scene::new();
    let accepted = (0..100_000).filter(|host| scene.push(1, "a", *host, *host) == Ok(None)).count();
    assert_eq!(accepted, CAPACITY);
    assert_eq!((scene.queue.load.calls, scene.queue.load.work), (CAPACITY, CAPACITY as u64));
    assert_eq!(scene.push(1, "b", 1, 7), Ok(None), "another domain has room");
    assert_eq!(scene.pop_all().len(), CAPACITY + 1);
}

#[test]
fn in_a_full_domain_the_address_with_the_most_gives_way() {
    let mut scene = Scene::new();
    (0..CAPACITY as u32).for_each(|item| assert_eq!(scene.push(1, "a", 1, item), Ok(None)));
    assert_eq!(scene.push(1, "a", 1, 99), Err(99));
    for n in 1..=CAPACITY as u32 / 2 {
        assert_eq!(scene.push(1, "a", 2, 100 + n), Ok(Some(CAPACITY as u32 - n)));
    }
    assert_eq!(scene.push(1, "a", 2, 99), Err(99), "each has its half");
    assert_eq!(scene.pop_all().len(), CAPACITY);
}

#[test]
fn what_has_expired_is_dropped_and_makes_room() {
    let mut scene = Scene::new();
    (0..CAPACITY as u32).for_each(|item| assert_eq!(scene.push(1, "a", item, item), Ok(None)));
    scene.now += Duration::from_secs(4);
    scene.push(1, "b", 1, 100).unwrap();
    scene.now += Duration::from_secs(1);
    assert_eq!(scene.push(1, "a", 200, 200), Ok(None), "all that filled it have expired");
    assert_eq!(scene.queue.load.calls, 2);
    assert_eq!(scene.pop_all(), [100, 200]);

    scene.push(1, "a", 1, 1).unwrap();
    scene.now += Duration::from_secs(5);
    assert_eq!(scene.pop(), None, "at its deadline a call is late");
    assert!(scene.queue.is_empty() && scene.queue.policies.order.is_empty());
}

#[test]
fn a_domain_that_may_not_start_is_passed_over_and_keeps_its_turn() {
    let mut scene = Scene::new();
    for (domain, item) in [("a", 1), ("a", 2), ("b", 3), ("b", 4)] {
        scene.push(1, domain, 1, item).unwrap();
    }
    let only_b = |name: &Arc<[u8]>| **name == *b"b";
    assert_eq!(scene.queue.pop(scene.now, only_b).map(|(_, item)| item), Some(3));
    assert_eq!(scene.pop_all(), [1, 4, 2]);
    scene.push(1, "a", 1, 5).unwrap();
    assert!(scene.queue.pop(scene.now, only_b).is_none());
    assert_eq!(scene.pop(), Some(5));
}

#[test]
fn the_work_ahead_is_that_of_the_own_queue_and_of_those_who_take_turns() {
    let mut scene = Scene::new();
    let (stranger, client) = (scene.claim(1, "a", 1), scene.claim(2, "b", 1));
    assert_eq!(scene.queue.work_until_finished(&client, 3), 3);
    for item in 0..10 {
        scene.queue.push(stranger.clone(), 5, item, CAPACITY, scene.now).unwrap();
    }
    assert_eq!(scene.queue.work_until_finished(&stranger, 5), 55);
    assert_eq!(scene.queue.work_until_finished(&client, 3), 6);
    scene.queue.push(client.clone(), 3, 100, CAPACITY, scene.now).unwrap();
    assert_eq!(scene.queue.work_until_finished(&client, 3), 12);
    assert_eq!(scene.queue.work_until_finished(&client, 100), 153, "no more than there is");
}

#[test]
fn the_estimate_is_by_the_median_of_the_last() {
    let mut recent = RecentDurations::default();
    assert_eq!(recent.estimate(1_000_000, 1), Duration::ZERO, "nothing is known");
    (0..100).for_each(|_| recent.record(Duration::from_secs(60), 1));
    for n in 0..RecentDurations::KEPT as u64 {
        recent.record(Duration::from_millis(if n % 3 == 0 { 6_000 } else { 20 }), 2);
    }
    assert_eq!(recent.estimate(8, 4), Duration::from_millis(20));
    recent.record(Duration::MAX, 0);
    assert_eq!(recent.estimate(u64::MAX, 1), Duration::from_nanos(u64::MAX));
}
