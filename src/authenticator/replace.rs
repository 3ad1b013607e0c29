//! Atomic replacement of everything that a policy file names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ipnet::IpNet;

use super::limits::{ASYNC_AT_ONCE, CallbackLimit};
use super::revocation::ConnectionTags;
use super::throttle::{FailureLimit, FailureLimiter};
use super::{Authenticator, Sources};
use crate::address::{IpList, IpcRule};
use crate::error::Result;

/// The content of a policy file. `None` where the file says nothing.
#[derive(Default)]
pub(crate) struct PolicyContent {
    pub(crate) allow: Option<Vec<IpNet>>,
    pub(crate) deny: Option<Vec<IpNet>>,
    pub(crate) allow_ipc: Option<Vec<IpcRule>>,
    pub(crate) deny_ipc: Option<Vec<IpcRule>>,
    pub(crate) failures: Option<FailureLimit>,
    pub(crate) callbacks: Option<CallbackLimit>,
    pub(crate) async_callbacks: Option<usize>,
    /// Whether clients are marked. It can't be undone.
    pub(crate) mark_clients: bool,
    pub(crate) domains: BTreeMap<String, Sources>,
}

/// What a policy file names, without the values.
#[derive(Default, Clone)]
pub(crate) struct Names {
    allow: bool,
    deny: bool,
    allow_ipc: bool,
    deny_ipc: bool,
    failures: bool,
    callbacks: bool,
    async_callbacks: bool,
    /// Domain and mechanism.
    sources: BTreeSet<(String, Mechanism)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mechanism {
    Null,
    Plain,
    Curve,
    Gssapi,
}

/// What was replaced.
#[derive(Default)]
pub(crate) struct Replaced {
    _sources: Vec<Sources>,
}

impl PolicyContent {
    pub(crate) fn names(&self) -> Names {
        let sources = self.domains.iter().flat_map(|(domain, sources)| {
            let named = [
                sources.null.is_some().then_some(Mechanism::Null),
                sources.plain.is_some().then_some(Mechanism::Plain),
                sources.curve.is_some().then_some(Mechanism::Curve),
                sources.gssapi.is_some().then_some(Mechanism::Gssapi),
            ];
            named.into_iter().flatten().map(|mechanism| (domain.clone(), mechanism))
        });
        Names {
            allow: self.allow.is_some(),
            deny: self.deny.is_some(),
            allow_ipc: self.allow_ipc.is_some(),
            deny_ipc: self.deny_ipc.is_some(),
            failures: self.failures.is_some(),
            callbacks: self.callbacks.is_some(),
            async_callbacks: self.async_callbacks.is_some(),
            sources: sources.collect(),
        }
    }
}

impl Authenticator {
    /// Replaces what the content names, and removes what `before` named and the content doesn't. The next decision sees all
    /// of it; no decision sees a part of it. What neither names stays as the program has set it.
    ///
    /// # Errors
    /// [`Error::Random`](crate::Error::Random); nothing was changed.
    ///
    /// The caller must drop the returned value while it holds no lock: it may hold a callback, whose destructor is the program's code.
    pub(crate) fn replace(&self, before: &Names, content: PolicyContent) -> Result<Replaced> {
        let tags = if content.mark_clients { Some(ConnectionTags::new()?) } else { None };
        let now = content.names();
        let ip_list = |named_before: bool, rules: Option<Vec<IpNet>>| -> Option<IpList> {
            let mut list = IpList::default();
            list.extend(rules.or_else(|| named_before.then(Vec::new))?);
            Some(list)
        };
        let allow = ip_list(before.allow, content.allow);
        let deny = ip_list(before.deny, content.deny);
        let ipc_list = |named_before: bool, rules: Option<_>| rules.or_else(|| named_before.then(Vec::new));
        let allow_ipc = ipc_list(before.allow_ipc, content.allow_ipc);
        let deny_ipc = ipc_list(before.deny_ipc, content.deny_ipc);

        let update = self.begin_update();
        let failure_limiter = match content.failures {
            Some(limit) => {
                let policy = update.read();
                let limiter = policy.failure_limiter.as_ref().map(|limiter| limiter.with_limit(limit));
                Some(Some(Arc::new(limiter.unwrap_or_else(|| FailureLimiter::new(limit)))))
            }
            None => before.failures.then_some(None),
        };
        // Collects what is replaced, to be freed after the lock is released.
        let mut replaced = Vec::new();
        let mut lists = [allow, deny];
        let mut policy = update.write();
        let [allow, deny] = &mut lists;
        let in_force = &mut policy.addresses;
        for (list, new) in [(&mut in_force.allow.ip, allow), (&mut in_force.deny.ip, deny)] {
            new.iter_mut().for_each(|new| std::mem::swap(list, new));
        }
        for (list, new) in [(&mut in_force.allow.ipc, allow_ipc), (&mut in_force.deny.ipc, deny_ipc)] {
            new.into_iter().for_each(|new| *list = new);
        }
        let limiter = failure_limiter.map(|limiter| std::mem::replace(&mut policy.failure_limiter, limiter));
        for (domain, mechanism) in before.sources.difference(&now.sources) {
            let Some(sources) = policy.domains.get_mut(domain) else { continue };
            replaced.push(sources.take(*mechanism));
            if sources.is_empty() {
                policy.domains.remove(domain);
            }
        }
        for (domain, sources) in content.domains {
            replaced.push(policy.domains.entry(&domain).replace(sources));
        }
        if let Some(tags) = tags {
            policy.tags.get_or_insert(tags);
            self.shared.tags_connections.store(true, Ordering::Release);
        }
        if let Some(limit) = content.callbacks.or(before.callbacks.then_some(CallbackLimit::DEFAULT)) {
            self.limits().set(limit);
        }
        let async_callbacks = content.async_callbacks.or(before.async_callbacks.then_some(ASYNC_AT_ONCE));
        #[cfg(feature = "tokio")]
        async_callbacks.into_iter().for_each(|at_once| self.limits().set_async_at_once(at_once));
        #[cfg(not(feature = "tokio"))]
        let _ = async_callbacks;
        drop(policy);
        // These hold no code of the program.
        drop((lists, limiter));
        Ok(Replaced { _sources: replaced })
    }
}

impl Sources {
    /// Takes out the source of one mechanism.
    fn take(&mut self, mechanism: Mechanism) -> Sources {
        let mut taken = Sources::default();
        match mechanism {
            Mechanism::Null => taken.null = self.null.take(),
            Mechanism::Plain => taken.plain = self.plain.take(),
            Mechanism::Curve => taken.curve = self.curve.take(),
            Mechanism::Gssapi => taken.gssapi = self.gssapi.take(),
        }
        taken
    }

    /// Replaces the sources that `new` has, and returns the old ones.
    fn replace(&mut self, mut new: Sources) -> Sources {
        fn swap<T>(old: &mut Option<T>, new: &mut Option<T>) {
            if new.is_some() {
                std::mem::swap(old, new);
            }
        }
        swap(&mut self.null, &mut new.null);
        swap(&mut self.plain, &mut new.plain);
        swap(&mut self.curve, &mut new.curve);
        swap(&mut self.gssapi, &mut new.gssapi);
        new
    }
}
