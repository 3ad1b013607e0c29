//! A bounded queue for calls, which serves policies, the domains of a policy, and the addresses of a domain in turn.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::address::Origin;

/// Tells one policy from another, as long as both exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PolicyId(pub(crate) usize);

/// Whose call it is, and until when its decision is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) policy: PolicyId,
    pub(crate) domain: Arc<[u8]>,
    pub(crate) origin: Origin,
    pub(crate) deadline: Instant,
}

/// Calls that wait.
///
/// Policies share equally, so do the domains of one policy, and the addresses of one domain, whatever a single call costs:
/// at each level the member with the least work behind it is next (start-time fair queueing). Each domain has a bound.
/// Domains and policies are the program's own: clients can't make more of them.
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

/// How many calls wait, and the work that they are.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    calls: usize,
    work: u64,
}

/// Members that take turns.
struct Level<K, G> {
    order: BTreeMap<Tag, K>,
    members: HashMap<K, Member<G>>,
    // The highest tag that was served. Whoever was passed over, with a lower one, makes up for one turn only.
    floor: u64,
    // The tag of whoever was served last, after its work. Newcomers begin here: nobody saves up turns.
    clock: u64,
    next: u64,
}

struct Member<G> {
    tag: Tag,
    group: G,
}

/// The work that was done for a member; then who was there first.
type Tag = (u64, u64);

impl<T> FairQueue<T> {
    pub(crate) fn new() -> Self {
        FairQueue { policies: Level::default(), load: Load::default(), earliest: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.load.calls == 0
    }

    /// Adds a call. Where its domain has `capacity` calls waiting, the address with the most gives up its last one, which is
    /// returned. If that address is the call's own, the call itself is refused.
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

    /// The next call of a domain that may start one. Those that have expired are dropped.
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

    /// Drops the calls that have expired.
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

    /// How many calls wait in the claim's domain.
    pub(crate) fn in_domain(&self, claim: &Claim) -> usize {
        self.domain(claim).map_or(0, |domain| domain.load.calls)
    }

    /// How many calls of the claim's address wait in its domain.
    pub(crate) fn of_address(&self, claim: &Claim) -> usize {
        self.of_origin(claim).calls
    }

    /// How many addresses wait in the claim's domain.
    pub(crate) fn addresses(&self, claim: &Claim) -> usize {
        self.domain(claim).map_or(0, |domain| domain.origins.members.len())
    }

    /// At most so much work will be done before a call that is added now is finished, its own included, as long as nobody
    /// else comes: that of its address as often as there are others that take turns with it, and never more than all.
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
    /// The next call, and the work that it is charged with: none if it has expired.
    fn pop(&mut self, now: Instant) -> Option<(Waiting<T>, u64)> {
        let waiting = self.origins.serve(|_, waiting| {
            let waiting = waiting.pop_front()?;
            let charged = if waiting.claim.deadline > now { waiting.work } else { 0 };
            Some((waiting, charged))
        })?;
        self.load.remove(waiting.0.work);
        Some(waiting)
    }

    /// Removes the last call of the address with the most, if that keeps more than an address that has `own` and adds one.
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

/// A group of calls: empty ones are no members.
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

    /// The member, a new one if there is none.
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

    /// Takes something, and the work that it is, from the first member in the order that has something to take.
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

    /// Changes all groups, and drops those that are empty afterwards.
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

/// How long calls took lately, for each unit of their work.
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

    /// How long this much work takes, shared among so many. By the median; nothing while nothing is known.
    pub(crate) fn estimate(&self, work: u64, at_once: usize) -> Duration {
        let mut sorted = self.ring.clone();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        Duration::from_nanos(median.saturating_mul(work) / at_once.max(1) as u64)
    }
}

#[cfg(test)]
mod tests;
