//! A bounded fair queue for calls: policies take turns, as do the domains of a policy and the addresses of a domain.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::address::Origin;

/// Distinguishes policies that exist at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PolicyId(pub(crate) usize);

/// What a call counts against, and its deadline.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) policy: PolicyId,
    pub(crate) domain: Arc<[u8]>,
    pub(crate) origin: Origin,
    pub(crate) deadline: Instant,
}

/// The waiting calls.
///
/// At each of three levels (policies, the domains of a policy, the addresses of a domain), the member that has used the
/// least work is next, whatever a single call costs (start-time fair queueing). Each domain has a bound. Domains and
/// policies are created by the program: clients can't create more of them.
pub(crate) struct FairQueue<T> {
    policies: Level<PolicyId, Level<Arc<[u8]>, Domain<T>>>,
    load: Load,
    // No call expires earlier.
    earliest: Option<Instant>,
}

struct Domain<T> {
    origins: Level<Origin, VecDeque<Waiting<T>>>,
    load: Load,
}

struct Waiting<T> {
    claim: Claim,
    work: u64,
    item: T,
}

/// The number of waiting calls, and their total work.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    calls: usize,
    work: u64,
}

/// The members of one level, which take turns.
struct Level<K, G> {
    order: BTreeMap<Tag, K>,
    members: HashMap<K, Member<G>>,
    // The highest tag served so far. A member that was skipped, with a lower tag, gets only one turn back.
    floor: u64,
    // The tag of the last member served, after its work. Newcomers start here, so nobody saves up turns.
    clock: u64,
    next: u64,
}

struct Member<G> {
    tag: Tag,
    group: G,
}

/// The work done for a member, then the order of arrival.
type Tag = (u64, u64);

impl<T> FairQueue<T> {
    pub(crate) fn new() -> Self {
        FairQueue { policies: Level::default(), load: Load::default(), earliest: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.load.calls == 0
    }

    /// Adds a call. If its domain already has `capacity` calls waiting, the last call of the address that has the most is
    /// removed and returned; if that is the call's own address, the call itself is.
    pub(crate) fn push(
        &mut self,
        claim: Claim,
        work: u64,
        item: T,
        capacity: usize,
        now: Instant,
    ) -> Result<Option<T>, T> {
        let mut evicted = None;
        if self.in_domain(&claim) >= capacity {
            self.remove_expired(now);
        }
        if self.in_domain(&claim) >= capacity {
            let own = self.of_origin(&claim).calls;
            match self.domain_mut(&claim).and_then(|domain| domain.evict(own)) {
                Some(waiting) => {
                    self.load.remove(waiting.work);
                    evicted = Some(waiting.item);
                }
                None => return Err(item),
            }
        }
        self.load.add(work);
        self.earliest = Some(self.earliest.map_or(claim.deadline, |earliest| earliest.min(claim.deadline)));
        let domain = self.policies.member(claim.policy).member(claim.domain.clone());
        domain.load.add(work);
        domain.origins.member(claim.origin.clone()).push_back(Waiting { claim, work, item });
        Ok(evicted)
    }

    /// Takes the next call of a domain that may start one. Expired calls are dropped.
    pub(crate) fn pop(&mut self, now: Instant, may_start: impl Fn(&Arc<[u8]>) -> bool) -> Option<(Claim, T)> {
        loop {
            let (waiting, _) = self.policies.serve(|_, domains| {
                domains.serve(|name, domain| if may_start(name) { domain.pop(now) } else { None })
            })?;
            self.load.remove(waiting.work);
            if waiting.claim.deadline > now {
                return Some((waiting.claim, waiting.item));
            }
        }
    }

    /// Drops expired calls.
    pub(crate) fn remove_expired(&mut self, now: Instant) {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return;
        }
        (self.load, self.earliest) = (Load::default(), None);
        let (load, earliest) = (&mut self.load, &mut self.earliest);
        self.policies.retain(|domains| {
            domains.retain(|domain| {
                domain.load = Load::default();
                domain.origins.retain(|waiting| {
                    waiting.retain(|waiting| waiting.claim.deadline > now);
                    for Waiting { claim, work, .. } in waiting {
                        domain.load.add(*work);
                        *earliest = Some(earliest.map_or(claim.deadline, |earliest| earliest.min(claim.deadline)));
                    }
                });
                load.calls += domain.load.calls;
                load.work += domain.load.work;
            });
        });
    }

    /// The number of calls waiting in the claim's domain.
    pub(crate) fn in_domain(&self, claim: &Claim) -> usize {
        self.domain(claim).map_or(0, |domain| domain.load.calls)
    }

    /// The number of calls of the claim's address waiting in its domain.
    pub(crate) fn of_address(&self, claim: &Claim) -> usize {
        self.of_origin(claim).calls
    }

    /// The number of addresses that have calls waiting in the claim's domain.
    pub(crate) fn addresses(&self, claim: &Claim) -> usize {
        self.domain(claim).map_or(0, |domain| domain.origins.members.len())
    }

    /// An upper bound on the work done until a call that is added now is finished, its own included, if no more calls come:
    /// the work of its address, times the members that take turns at each level, but at most all waiting work.
    pub(crate) fn work_until_finished(&self, claim: &Claim, work: u64) -> u64 {
        let all = self.load.work + work;
        let domains = self.policies.get(&claim.policy);
        let turns = |members: usize, is_one: bool| (members + usize::from(!is_one)) as u64;
        let by_policy = turns(self.policies.members.len(), domains.is_some());
        let by_domain = domains.map_or(1, |level| turns(level.members.len(), level.get(&claim.domain).is_some()));
        let by_origin = self
            .domain(claim)
            .map_or(1, |domain| turns(domain.origins.members.len(), domain.origins.get(&claim.origin).is_some()));
        let own = self.of_origin(claim).work + work;
        own.saturating_mul(by_policy).saturating_mul(by_domain).saturating_mul(by_origin).min(all)
    }

    fn domain(&self, claim: &Claim) -> Option<&Domain<T>> {
        self.policies.get(&claim.policy)?.get(&claim.domain)
    }

    fn domain_mut(&mut self, claim: &Claim) -> Option<&mut Domain<T>> {
        self.policies.get_mut(&claim.policy)?.get_mut(&claim.domain)
    }

    fn of_origin(&self, claim: &Claim) -> Load {
        let mut load = Load::default();
        let waiting = self.domain(claim).and_then(|domain| domain.origins.get(&claim.origin));
        waiting.into_iter().flatten().for_each(|waiting| load.add(waiting.work));
        load
    }
}

impl<T> Domain<T> {
    /// Takes the next call, and the work that it is charged: none if it has expired.
    fn pop(&mut self, now: Instant) -> Option<(Waiting<T>, u64)> {
        let waiting = self.origins.serve(|_, waiting| {
            let waiting = waiting.pop_front()?;
            let charged = if waiting.claim.deadline > now { waiting.work } else { 0 };
            Some((waiting, charged))
        })?;
        self.load.remove(waiting.0.work);
        Some(waiting)
    }

    /// Removes the last call of the address with the most calls, if those are more than `own + 1`.
    fn evict(&mut self, own: usize) -> Option<Waiting<T>> {
        let most = self.origins.members.values_mut().max_by_key(|member| member.group.len())?;
        if most.group.len() <= own + 1 {
            return None;
        }
        let waiting = most.group.pop_back()?;
        self.load.remove(waiting.work);
        Some(waiting)
    }
}

impl Load {
    fn add(&mut self, work: u64) {
        self.calls += 1;
        self.work += work;
    }

    fn remove(&mut self, work: u64) {
        self.calls -= 1;
        self.work -= work;
    }
}

/// A group of calls. Empty groups are removed from their level.
trait Group: Default {
    fn is_empty(&self) -> bool;
}

impl<T> Group for VecDeque<Waiting<T>> {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl<T> Group for Domain<T> {
    fn is_empty(&self) -> bool {
        self.load.calls == 0
    }
}

impl<K, G> Group for Level<K, G> {
    fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<T> Default for Domain<T> {
    fn default() -> Self {
        Domain { origins: Level::default(), load: Load::default() }
    }
}

impl<K, G> Default for Level<K, G> {
    fn default() -> Self {
        Level { order: BTreeMap::new(), members: HashMap::new(), floor: 0, clock: 0, next: 0 }
    }
}

impl<K: Clone + Eq + Hash, G: Group> Level<K, G> {
    fn get(&self, key: &K) -> Option<&G> {
        self.members.get(key).map(|member| &member.group)
    }

    fn get_mut(&mut self, key: &K) -> Option<&mut G> {
        self.members.get_mut(key).map(|member| &mut member.group)
    }

    /// The member's group, created if there is none.
    fn member(&mut self, key: K) -> &mut G {
        let Level { order, members, clock, next, .. } = self;
        let new = || {
            let tag = (*clock, *next);
            *next += 1;
            order.insert(tag, key.clone());
            Member { tag, group: G::default() }
        };
        &mut members.entry(key.clone()).or_insert_with(new).group
    }

    /// Takes an item and its work from the first member, in order, that has one.
    fn serve<T>(&mut self, mut take: impl FnMut(&K, &mut G) -> Option<(T, u64)>) -> Option<(T, u64)> {
        let Level { order, members, .. } = self;
        let (tag, (taken, work)) = order.iter().find_map(|(tag, key)| {
            let member = members.get_mut(key)?;
            Some((*tag, take(key, &mut member.group)?))
        })?;
        let key = self.order.remove(&tag)?;
        self.floor = self.floor.max(tag.0);
        self.clock = self.floor.saturating_add(work);
        if let Some(member) = self.members.get_mut(&key) {
            if member.group.is_empty() {
                self.members.remove(&key);
            } else {
                member.tag = (self.clock, self.next);
                self.next += 1;
                self.order.insert(member.tag, key);
            }
        }
        Some((taken, work))
    }

    /// Changes all groups, and removes those that are then empty.
    fn retain(&mut self, mut change: impl FnMut(&mut G)) {
        let Level { order, members, .. } = self;
        members.retain(|_, member| {
            change(&mut member.group);
            let keep = !member.group.is_empty();
            if !keep {
                order.remove(&member.tag);
            }
            keep
        });
    }
}

/// The recent durations of calls, per unit of work.
#[derive(Debug, Default)]
pub(crate) struct RecentDurations {
    // In nanoseconds.
    ring: Vec<u64>,
    next: usize,
}

impl RecentDurations {
    const KEPT: usize = 32;

    pub(crate) fn record(&mut self, took: Duration, work: u64) {
        let each = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX) / work.max(1);
        if self.ring.len() < Self::KEPT {
            self.ring.push(each);
        } else {
            self.ring[self.next] = each;
        }
        self.next = (self.next + 1) % Self::KEPT;
    }

    /// An estimate of how long this much work takes on `at_once` threads, from the median; zero without data.
    pub(crate) fn estimate(&self, work: u64, at_once: usize) -> Duration {
        let mut sorted = self.ring.clone();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        Duration::from_nanos(median.saturating_mul(work) / at_once.max(1) as u64)
    }
}

#[cfg(test)]
mod tests;
