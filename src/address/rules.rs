//! Rules that allow or deny addresses, subnets and ipc users.

use std::collections::HashSet;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::fast::RandomState;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::{Prefix, PrefixSet};

use super::{AddressFrame, IpcCredentials, PeerAddress};
use crate::error::{Error, Result};
use crate::in_place::fits_in_place;

/// A rule about `ipc://` peers (Linux), for [`Authenticator::allow_ipc`](crate::Authenticator::allow_ipc) and
/// [`Authenticator::deny_ipc`](crate::Authenticator::deny_ipc).
///
/// It needs a libzmq built with `SO_PEERCRED`, as the bundled one is on Linux. Stock `zmq-sys` isn't: with it, any address
/// rule refuses every ipc client.
///
/// ```
/// use zmq_auth::{Authenticator, IpcRule};
///
/// let auth = Authenticator::new();
/// auth.allow_ipc([IpcRule::User(1000), IpcRule::Group(27)]);
/// auth.deny_ipc([IpcRule::User(1001)]); // even if in group 27
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IpcRule {
    /// Every peer whose user and group the kernel reported.
    Any,
    /// Processes of the user with this id.
    User(u32),
    /// Processes whose primary group has this id.
    Group(u32),
}

impl IpcRule {
    fn covers(self, peer: IpcCredentials) -> bool {
        match self {
            IpcRule::Any => true,
            IpcRule::User(uid) => peer.uid == uid,
            IpcRule::Group(gid) => peer.gid == gid,
        }
    }
}

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressRefusal {
    Denied,
    NotAllowed,
    Unreadable,
}

/// The allow and deny lists. Deny wins; once an allow list exists, only addresses that it covers are allowed.
#[derive(Debug, Default)]
pub(crate) struct AddressRules {
    pub(crate) allow: AddressList,
    pub(crate) deny: AddressList,
}

/// Which of the two lists.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Allow,
    Deny,
}

/// Addresses, subnets, and ipc peers.
#[derive(Debug, Default)]
pub(crate) struct AddressList {
    pub(crate) ip: IpList,
    pub(crate) ipc: Vec<IpcRule>,
}

/// Addresses and subnets.
#[derive(Debug, Default, Clone)]
pub(crate) struct IpList {
    v4: FamilyList<Ipv4Addr, Ipv4Net>,
    v6: FamilyList<Ipv6Addr, Ipv6Net>,
}

/// Addresses and subnets of one family. A look-up costs one hash and one walk down a prefix tree, however many there are.
#[derive(Debug, Clone)]
struct FamilyList<A, N: Prefix> {
    hosts: HashSet<A, RandomState>,
    subnets: PrefixSet<N>,
}

impl AddressRules {
    pub(crate) fn list(&self, side: Side) -> &AddressList {
        match side {
            Side::Allow => &self.allow,
            Side::Deny => &self.deny,
        }
    }

    pub(crate) fn list_mut(&mut self, side: Side) -> &mut AddressList {
        match side {
            Side::Allow => &mut self.allow,
            Side::Deny => &mut self.deny,
        }
    }

    pub(crate) fn check(&self, address: &AddressFrame<'_>) -> Result<(), AddressRefusal> {
        if self.allow.is_empty() && self.deny.is_empty() {
            return Ok(());
        }
        let address = address.peer();
        if address == PeerAddress::Other {
            return Err(AddressRefusal::Unreadable);
        }
        if self.deny.covers(address) {
            return Err(AddressRefusal::Denied);
        }
        if !self.allow.is_empty() && !self.allow.covers(address) {
            return Err(AddressRefusal::NotAllowed);
        }
        Ok(())
    }
}

impl AddressRules {
    /// The rule that decides about an address, in words; `None` if there is none.
    pub(crate) fn explain(&self, address: &AddressFrame<'_>) -> Option<String> {
        let address = address.peer();
        if let Some(rule) = self.deny.covering(address) {
            return Some(format!("deny {rule}"));
        }
        self.allow.covering(address).map(|rule| format!("allow {rule}"))
    }
}

impl AddressList {
    /// The most specific rule that covers an address.
    fn covering(&self, address: PeerAddress) -> Option<String> {
        match address {
            PeerAddress::Ip(IpAddr::V4(ip)) => self.ip.v4.covering(ip).map(|net| net.to_string()),
            PeerAddress::Ip(IpAddr::V6(ip)) => self.ip.v6.covering(ip).map(|net| net.to_string()),
            PeerAddress::Ipc(peer) => {
                self.ipc.iter().find(|rule| rule.covers(peer)).map(|rule| format!("ipc {rule:?}"))
            }
            PeerAddress::Other => None,
        }
    }

    fn is_empty(&self) -> bool {
        self.ip.is_empty() && self.ipc.is_empty()
    }

    fn covers(&self, address: PeerAddress) -> bool {
        match address {
            PeerAddress::Ip(ip) => self.ip.covers(ip),
            PeerAddress::Ipc(peer) => self.ipc.iter().any(|rule| rule.covers(peer)),
            PeerAddress::Other => false,
        }
    }
}

impl IpList {
    pub(crate) fn insert(&mut self, subnet: IpNet) {
        match subnet {
            IpNet::V4(net) => self.v4.insert(net.addr(), net),
            IpNet::V6(net) => self.v6.insert(net.addr(), net),
        }
    }

    #[cfg(test)]
    pub(super) fn spare_hosts(&self) -> (usize, usize) {
        (self.v4.spare(), self.v6.spare())
    }

    /// Whether these rules may be added in place, while decisions wait.
    pub(crate) fn takes_in_place(&self, rules: &[IpNet]) -> bool {
        let hosts = rules.iter().filter(|rule| rule.prefix_len() == rule.max_prefix_len());
        let v4 = hosts.clone().filter(|rule| matches!(rule, IpNet::V4(_))).count();
        let hosts = hosts.count();
        let subnets = rules.len() - hosts;
        // Adding a subnet never moves the others.
        let fits = [(v4, self.v4.spare()), (hosts - v4, self.v6.spare()), (subnets, usize::MAX)];
        fits.into_iter().all(|(changes, spare)| fits_in_place(changes, spare))
    }

    fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    fn covers(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.v4.covers(ip),
            IpAddr::V6(ip) => self.v6.covers(ip),
        }
    }
}

impl<A, N> FamilyList<A, N>
where
    A: Copy + Eq + Hash + Into<N>,
    N: Prefix + Copy + PartialEq,
{
    fn insert(&mut self, address: A, net: N) {
        // A subnet of a single address.
        if net == address.into() {
            self.hosts.insert(address);
        } else {
            self.subnets.insert(net);
        }
    }

    fn covers(&self, address: A) -> bool {
        self.hosts.contains(&address) || (!self.subnets.is_empty() && self.subnets.is_covered(&address.into()))
    }

    /// The most specific entry that covers an address.
    fn covering(&self, address: A) -> Option<N> {
        if self.hosts.contains(&address) {
            return Some(address.into());
        }
        self.subnets.get_lpm(&address.into())
    }

    fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.subnets.is_empty()
    }

    fn spare(&self) -> usize {
        self.hosts.capacity() - self.hosts.len()
    }
}

impl<A, N> Default for FamilyList<A, N>
where
    N: Prefix,
{
    fn default() -> Self {
        FamilyList { hosts: HashSet::default(), subnets: PrefixSet::default() }
    }
}

impl Extend<IpNet> for IpList {
    fn extend<I: IntoIterator<Item = IpNet>>(&mut self, subnets: I) {
        for subnet in subnets {
            self.insert(subnet);
        }
    }
}

/// Parses every rule before any is used.
pub(crate) fn parse_rules<I>(rules: I) -> Result<Vec<IpNet>>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    rules.into_iter().map(|rule| parse_rule(rule.as_ref())).collect()
}

/// Parses `10.0.0.7`, `192.168.1.0/24`, `::1` or `fd00::/8`. An IPv4-mapped address or subnet becomes the IPv4 rule.
///
/// The address of a subnet is parsed as strictly as one that stands alone: `ipnet` would accept `010.0.0.0/8`, which other
/// programs read as octal.
pub(crate) fn parse_rule(rule: &str) -> Result<IpNet> {
    let invalid = |problem| Error::AddressRule { rule: rule.chars().take(64).collect(), problem };
    let subnet = if let Some((ip, prefix)) = rule.split_once('/') {
        subnet(ip, prefix)
            .ok_or_else(|| invalid("not a subnet in CIDR notation, such as 192.168.1.0/24 or fd00::/8"))?
    } else {
        let ip = rule.parse::<IpAddr>().map_err(|_| {
            invalid("not an IP address, such as 10.0.0.7 or ::1 (without host name, port, zone or blanks)")
        })?;
        IpNet::from(ip)
    };
    if subnet.addr() != subnet.network() {
        log_warn!("address rule {rule} has bits set after its prefix: it covers {}", subnet.trunc());
    }
    Ok(canonical(subnet))
}

fn subnet(ip: &str, prefix: &str) -> Option<IpNet> {
    // `parse` alone would accept a sign and leading zeros.
    let is_plain = prefix == "0" || prefix.starts_with(|first| matches!(first, '1'..='9'));
    let prefix = prefix.parse().ok().filter(|_| is_plain)?;
    IpNet::new(ip.parse().ok()?, prefix).ok()
}

/// The subnet with its host bits cleared, as IPv4 if it consists of IPv4-mapped addresses.
pub(crate) fn canonical(subnet: IpNet) -> IpNet {
    let subnet = subnet.trunc();
    let IpNet::V6(net) = subnet else { return subnet };
    match (net.addr().to_ipv4_mapped(), net.prefix_len().checked_sub(96)) {
        (Some(ip), Some(prefix)) => Ipv4Net::new(ip, prefix).map_or(subnet, IpNet::V4),
        _ => subnet,
    }
}
