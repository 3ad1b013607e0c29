//! The places for callbacks of one handler: which domains and addresses hold them, and which callbacks have lost theirs
//! because they hang.
//!
//! A callback is *hung* once it is past its deadline. It is *replaced* when it loses its place, which another callback may
//! then take; its thread goes on. Beyond a bound, a hung callback keeps its place.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::CallId;
use crate::address::Origin;
use crate::fair_queue::Claim;

/// The number of domains that are remembered. When there are more, those without a running callback are forgotten.
const KNOWN_DOMAINS: usize = 256;

/// The running callbacks. Each holds a place, unless it is past its deadline and was replaced.
#[derive(Default)]
pub(super) struct Places {
    held: HashMap<CallId, Held>,
    /// Those in `held` that are hung.
    hung: VecDeque<CallId>,
    /// With their domains.
    replaced: HashMap<CallId, Arc<[u8]>>,
    domains: HashMap<Arc<[u8]>, DomainPlaces>,
}

struct Held {
    claim: Claim,
    since: Instant,
}

#[derive(Default)]
struct DomainPlaces {
    held: usize,
    by_address: HashMap<Origin, usize>,
    replaced: usize,
}

/// A callback whose deadline has passed. `hung` counts those in the same state (replaced, or not), itself included.
pub(super) struct Overdue {
    pub(super) domain: Arc<[u8]>,
    pub(super) replaced: bool,
    pub(super) hung: usize,
}

impl Places {
    /// Whether a callback of this domain may start. Half of the places are reserved, in equal parts, for the known
    /// domains (if there are more domains than that, none).
    pub(super) fn has_room(&self, domain: &Arc<[u8]>, at_once: usize) -> bool {
        let held = self.held.len();
        // Nothing is reserved while half of the places are free.
        held < at_once.div_ceil(2) || held + self.reserved_for_others(domain, at_once) < at_once
    }

    fn reserved_for_others(&self, domain: &Arc<[u8]>, at_once: usize) -> usize {
        let each = if self.domains.len() < 2 { 0 } else { at_once / (2 * self.domains.len()) };
        let others = self.domains.iter().filter(|(name, _)| *name != domain);
        others.map(|(_, others)| each.saturating_sub(others.held)).sum()
    }

    /// Reserves places for this domain until it is forgotten.
    pub(super) fn remember(&mut self, domain: &Arc<[u8]>) {
        if self.domains.contains_key(domain) {
            return;
        }
        if self.domains.len() >= KNOWN_DOMAINS {
            self.domains.retain(|_, places| places.held + places.replaced > 0);
        }
        self.domains.insert(domain.clone(), DomainPlaces::default());
    }

    pub(super) fn take(&mut self, id: CallId, claim: &Claim, now: Instant) {
        let domain = self.domains.entry(claim.domain.clone()).or_default();
        domain.held += 1;
        *domain.by_address.entry(claim.origin.clone()).or_default() += 1;
        self.held.insert(id, Held { claim: claim.clone(), since: now });
    }

    /// Called when a callback has returned: frees its place, or, if it had lost it, that of another hung one. Returns how long
    /// it took, if it returned in time.
    pub(super) fn give_back(&mut self, id: CallId, at_once: usize, now: Instant) -> Option<Duration> {
        if let Some(held) = self.release(id) {
            let is_hung = self.hung.iter().position(|hung| *hung == id).and_then(|place| self.hung.remove(place));
            return is_hung.is_none().then(|| now.saturating_duration_since(held.since));
        }
        let domain = self.replaced.remove(&id)?;
        if let Some(places) = self.domains.get_mut(&domain) {
            places.replaced -= 1;
        }
        if let Some(next) = self.hung.iter().position(|hung| self.may_be_replaced(*hung, at_once)) {
            self.hung.remove(next).into_iter().for_each(|id| self.replace(id));
        }
        None
    }

    /// Called when the deadline of a callback has passed: takes its place away, if that is within the bound. `None` if the
    /// callback isn't running.
    pub(super) fn overdue(&mut self, id: CallId, at_once: usize) -> Option<Overdue> {
        let domain = self.held.get(&id)?.claim.domain.clone();
        let replaced = self.may_be_replaced(id, at_once);
        if replaced {
            self.replace(id);
        } else {
            self.hung.push_back(id);
        }
        let hung = if replaced { self.replaced.len() } else { self.hung.len() };
        Some(Overdue { domain, replaced, hung })
    }

    /// The callback that is past its deadline the longest, with its domain, if its place may go to another domain.
    pub(super) fn oldest_hung(&self, at_once: usize) -> Option<(CallId, Arc<[u8]>)> {
        let id = *self.hung.front().filter(|_| self.replaced.len() < 2 * at_once)?;
        Some((id, self.held.get(&id)?.claim.domain.clone()))
    }

    /// Takes a hung callback's place away.
    pub(super) fn replace_hung(&mut self, id: CallId) {
        self.hung.retain(|hung| *hung != id);
        self.replace(id);
    }

    /// The number of places for this address of this domain if all share equally, and the number that it holds. `waits`:
    /// whether callbacks of this address are waiting.
    pub(super) fn share(&self, claim: &Claim, at_once: usize, waiting_addresses: usize, waits: bool) -> (usize, usize) {
        let busy = |(name, places): &(&Arc<[u8]>, &DomainPlaces)| places.held > 0 || **name == claim.domain;
        let domains = self.domains.iter().filter(busy).count().max(1);
        let own = self.domains.get(&claim.domain);
        let held = own.and_then(|places| places.by_address.get(&claim.origin)).copied().unwrap_or(0);
        let newcomer = usize::from(held == 0 && !waits);
        let addresses = own.map_or(0, |places| places.by_address.len()) + waiting_addresses + newcomer;
        ((at_once / domains / addresses.max(1)).max(1), held)
    }

    /// The number of callbacks that have not returned.
    pub(super) fn under_way(&self) -> usize {
        self.held.len() + self.replaced.len()
    }

    /// The number of those that are past their deadline.
    pub(super) fn hung(&self) -> usize {
        self.hung.len() + self.replaced.len()
    }

    /// Whether a hung callback may be replaced on behalf of its own domain: up to `at_once` of each domain, and twice as
    /// many in all. On behalf of other domains only the second bound counts ([`oldest_hung`](Self::oldest_hung)).
    fn may_be_replaced(&self, id: CallId, at_once: usize) -> bool {
        let domain = self.held.get(&id).and_then(|held| self.domains.get(&held.claim.domain));
        self.replaced.len() < 2 * at_once && domain.is_some_and(|places| places.replaced < at_once)
    }

    fn replace(&mut self, id: CallId) {
        if let Some(held) = self.release(id) {
            let domain = held.claim.domain;
            self.domains.entry(domain.clone()).or_default().replaced += 1;
            self.replaced.insert(id, domain);
        }
    }

    fn release(&mut self, id: CallId) -> Option<Held> {
        let held = self.held.remove(&id)?;
        if let Some(places) = self.domains.get_mut(&held.claim.domain) {
            places.held -= 1;
            if let Some(count) = places.by_address.get_mut(&held.claim.origin) {
                *count -= 1;
                if *count == 0 {
                    places.by_address.remove(&held.claim.origin);
                }
            }
        }
        Some(held)
    }
}
