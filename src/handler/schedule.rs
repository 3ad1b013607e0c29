//! The schedule of one handler's callbacks: which may start, which wait for a place, and which are past their deadline.

use std::time::{Duration, Instant};

use super::engine::{CallId, NewCall};
use super::places::Places;
use crate::audit::Audit;
use crate::audit::metrics::CallGauges;
use crate::fair_queue::{FairQueue, RecentDurations};
use crate::reason::Reason;

/// Callbacks by domain and address, with a limit on how many run at once.
///
/// - While there is room, a callback starts at once. Some places are reserved for other domains ([`Places::has_room`]); with
///   only one domain, a single address may use all places.
/// - Otherwise it waits, and domains and their addresses take turns. It is refused at once if its address already has its
///   share of places and waiting calls, or if its turn would come after its deadline.
/// - A callback that is past its deadline loses its place to another one, within a bound. Beyond the bound, a domain whose
///   callbacks hang has only the places that they occupy; other domains go on.
pub(super) struct Schedule {
    places: Places,
    waiting: FairQueue<NewCall>,
    recent: RecentDurations,
    /// Whether calls in `waiting` have passed their deadline and must be removed.
    has_expired: bool,
    gauges: CallGauges,
}

/// The outcome for a new call.
pub(super) enum Admission {
    Begin(NewCall),
    Wait,
    /// Refuse the call with this id: the new one, or a waiting one that makes room for it.
    Refuse(CallId),
}

impl Schedule {
    pub(super) fn new() -> Self {
        Schedule {
            places: Places::default(),
            waiting: FairQueue::new(),
            recent: RecentDurations::default(),
            has_expired: false,
            gauges: CallGauges::default(),
        }
    }

    /// Decides whether a new call starts, waits or is refused.
    pub(super) fn admit(&mut self, call: NewCall, at_once: usize, now: Instant) -> Admission {
        let claim = &call.claim;
        self.places.remember(&claim.domain);
        if self.places.has_room(&claim.domain, at_once) {
            return self.begin(call, now);
        }
        if let Some((hung, domain)) = self.places.oldest_hung(at_once)
            && domain != claim.domain
        {
            self.places.replace_hung(hung);
            return self.begin(call, now);
        }
        let waits = self.waiting.of_address(claim);
        let (share, held) = self.places.share(claim, at_once, self.waiting.addresses(claim), waits > 0);
        let wait = self.recent.estimate(self.waiting.work_until_finished(claim, 1), at_once);
        if held + waits >= share || wait > claim.deadline.saturating_duration_since(now) {
            return Admission::Refuse(call.id);
        }
        match self.waiting.push(claim.clone(), 1, call, at_once, now) {
            Ok(None) => Admission::Wait,
            Ok(Some(refused)) | Err(refused) => Admission::Refuse(refused.id),
        }
    }

    fn begin(&mut self, call: NewCall, now: Instant) -> Admission {
        self.places.take(call.id, &call.claim, now);
        self.update_gauges();
        Admission::Begin(call)
    }

    /// The next waiting call, if there is a place for it.
    pub(super) fn next(&mut self, at_once: usize, now: Instant) -> Option<NewCall> {
        if std::mem::take(&mut self.has_expired) {
            self.waiting.remove_expired(now);
        }
        if self.waiting.is_empty() {
            return None;
        }
        let mut next = self.waiting.pop(now, |domain| self.places.has_room(domain, at_once));
        if next.is_none()
            && let Some((hung, hung_domain)) = self.places.oldest_hung(at_once)
        {
            next = self.waiting.pop(now, |domain| *domain != hung_domain);
            if next.is_some() {
                self.places.replace_hung(hung);
            }
        }
        let (claim, call) = next?;
        self.places.take(call.id, &claim, now);
        self.update_gauges();
        Some(call)
    }

    /// Called when a callback has returned.
    pub(super) fn ended(&mut self, id: CallId, at_once: usize, now: Instant) {
        if let Some(took) = self.places.give_back(id, at_once, now) {
            self.recent.record(took, 1);
        }
        self.update_gauges();
    }

    /// Called when the deadline of a request has passed. Returns why it is refused: its callback took too long, or never
    /// started.
    pub(super) fn overdue(&mut self, id: CallId, at_once: usize, deadline: Duration, audit: &Audit) -> Reason {
        let Some(overdue) = self.places.overdue(id, at_once) else {
            self.has_expired = true;
            return Reason::TooManyCalls;
        };
        self.recent.record(deadline, 1);
        self.update_gauges();
        audit.hung(&overdue.domain, overdue.replaced, overdue.hung);
        Reason::TimedOut
    }

    fn update_gauges(&mut self) {
        self.gauges.set(self.places.under_way(), self.places.hung());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Ipv6Prefix, Origin};
    use crate::callback::{Call, Decision};
    use crate::fair_queue::{Claim, PolicyId};
    use std::sync::Arc;

    const DEADLINE: Duration = Duration::from_secs(5);

    struct Fixture {
        schedule: Schedule,
        at_once: usize,
        now: Instant,
        next: u64,
    }

    impl Fixture {
        fn new(at_once: usize) -> Self {
            Fixture { schedule: Schedule::new(), at_once, now: Instant::now(), next: 0 }
        }

        fn call(&mut self, domain: &str, address: &str) -> NewCall {
            self.next += 1;
            let claim = Claim {
                policy: PolicyId(1),
                domain: Arc::from(domain.as_bytes()),
                origin: Origin::of(&address.as_bytes().into(), Ipv6Prefix::Subnet),
                deadline: self.now + DEADLINE,
            };
            NewCall { id: CallId(self.next), call: Call::new(|| Decision::refusal(Reason::CallbackDenied)), claim }
        }

        fn admit(&mut self, domain: &str, address: &str) -> Admission {
            let call = self.call(domain, address);
            self.schedule.admit(call, self.at_once, self.now)
        }

        fn begins(&mut self, domain: &str, address: &str) -> bool {
            matches!(self.admit(domain, address), Admission::Begin(_))
        }

        fn waits(&mut self, domain: &str, address: &str) -> bool {
            matches!(self.admit(domain, address), Admission::Wait)
        }

        fn is_refused(&mut self, domain: &str, address: &str) -> bool {
            let own = CallId(self.next + 1);
            matches!(self.admit(domain, address), Admission::Refuse(id) if id == own)
        }

        fn ended(&mut self, id: u64) {
            self.schedule.ended(CallId(id), self.at_once, self.now);
        }

        fn overdue(&mut self, id: u64) -> Reason {
            self.schedule.overdue(CallId(id), self.at_once, DEADLINE, &Audit::default())
        }

        fn next(&mut self) -> Option<u64> {
            self.schedule.next(self.at_once, self.now).map(|call| call.id.0)
        }
    }

    #[test]
    fn while_nobody_else_waits_one_address_has_all_places_and_no_more() {
        let mut fixture = Fixture::new(8);
        assert!((0..8).all(|_| fixture.begins("d", "10.0.0.1")));
        assert!(fixture.is_refused("d", "10.0.0.1"));
        fixture.ended(1);
        assert!(fixture.begins("d", "10.0.0.1"));
    }

    #[test]
    fn many_addresses_of_one_domain_have_all_places() {
        let mut fixture = Fixture::new(8);
        assert!((0..8).all(|n| fixture.begins("d", &format!("10.0.0.{n}"))));
        let waiting = (0..1000).filter(|n| fixture.waits("d", &format!("10.1.{}.{}", n / 250, n % 250))).count();
        assert_eq!(waiting, 8, "the queue is bounded, however many addresses call");
    }

    #[test]
    fn another_address_waits_for_its_share_and_is_next() {
        let mut fixture = Fixture::new(8);
        assert!((0..8).all(|_| fixture.begins("d", "10.0.0.1")));
        assert!((0..4).all(|_| fixture.waits("d", "10.0.0.2")));
        assert!(fixture.is_refused("d", "10.0.0.2"), "its share is 4");
        assert!(fixture.is_refused("d", "10.0.0.1"));
        fixture.ended(1);
        assert_eq!((fixture.next(), fixture.next()), (Some(9), None));
    }

    #[test]
    fn places_are_reserved_for_every_known_domain() {
        let mut fixture = Fixture::new(8);
        assert!(fixture.begins("b", "10.0.0.2"));
        fixture.ended(1);
        let begun = (0..8).take_while(|_| fixture.begins("a", "10.0.0.1")).count();
        assert_eq!(begun, 6, "a quarter of the places is reserved for b");
        assert!(fixture.begins("b", "10.0.0.2") && fixture.begins("b", "10.0.0.2"));
        assert!(fixture.waits("b", "10.0.0.2"));
        assert!(fixture.is_refused("a", "10.0.0.1"), "more than its share");
        // They take turns; `a` was first.
        fixture.ended(2);
        assert_eq!((fixture.next(), fixture.next()), (Some(8), None));
        fixture.ended(3);
        assert_eq!((fixture.next(), fixture.next()), (Some(11), None));
    }

    #[test]
    fn hung_callbacks_are_replaced_up_to_the_bound_and_beyond_it_for_others() {
        let mut fixture = Fixture::new(2);
        for id in 1..=2 {
            assert!(fixture.begins("a", "10.0.0.1"));
            assert_eq!(fixture.overdue(id), Reason::TimedOut);
        }
        for id in 3..=4 {
            assert!(fixture.begins("a", "10.0.0.1"), "the first two were replaced");
            assert_eq!(fixture.overdue(id), Reason::TimedOut);
        }
        assert!(fixture.is_refused("a", "10.0.0.1"), "the others weren't");
        // Two more are replaced on behalf of other domains.
        assert!(fixture.begins("b", "10.0.0.2") && fixture.begins("c", "10.0.0.2"));
        // The refused call was number 5.
        fixture.ended(6);
        fixture.ended(7);
        assert_eq!(fixture.schedule.places.oldest_hung(2), None);
        // A callback that returns makes room.
        (1..=4).for_each(|id| fixture.ended(id));
        assert!(fixture.begins("a", "10.0.0.1") && fixture.begins("a", "10.0.0.1"));
    }

    #[test]
    fn a_callback_that_hangs_gives_its_place_to_another_domain_that_waits() {
        let mut fixture = Fixture::new(1);
        for id in 1..=2 {
            assert!(fixture.begins("a", "10.0.0.1"));
            assert!(id == 2 || fixture.overdue(id) == Reason::TimedOut);
        }
        assert!(fixture.waits("b", "10.0.0.2"));
        assert_eq!(fixture.next(), None);
        fixture.overdue(2);
        assert_eq!(fixture.next(), Some(3));
    }

    #[test]
    fn a_call_that_expires_while_waiting_never_starts() {
        let mut fixture = Fixture::new(1);
        assert!(fixture.begins("d", "10.0.0.1"));
        assert!(fixture.waits("d", "10.0.0.2"));
        fixture.now += DEADLINE;
        assert_eq!(fixture.overdue(2), Reason::TooManyCalls);
        fixture.ended(1);
        assert_eq!(fixture.next(), None);
        assert!(fixture.schedule.waiting.is_empty(), "the expired call was removed");
    }

    #[test]
    fn a_call_that_would_start_after_its_deadline_is_refused_at_once() {
        let mut fixture = Fixture::new(1);
        assert!(fixture.begins("d", "10.0.0.1"));
        fixture.now += Duration::from_secs(3);
        fixture.ended(1);
        assert!(fixture.begins("d", "10.0.0.1"));
        assert!(fixture.waits("d", "10.0.0.2"), "it would start after 3 s");
        assert!(fixture.is_refused("d", "10.0.0.3"), "it would start after 6 s, past its deadline");
    }
}
