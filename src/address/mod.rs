//! A client's address: parsing libzmq's text, address rules, and grouping for limiters.

mod rules;

use std::borrow::Cow;
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Deref;

pub use rules::IpcRule;
pub(crate) use rules::{AddressList, AddressRefusal, AddressRules, Side, canonical, parse_rules};
#[cfg(feature = "policy")]
pub(crate) use rules::{IpList, parse_rule};

/// The address frame of a request, parsed on first use and only once.
#[derive(Debug, Clone, Default)]
pub(crate) struct AddressFrame<'a> {
    bytes: Cow<'a, [u8]>,
    parsed: Cell<Option<PeerAddress>>,
}

impl AddressFrame<'_> {
    pub(crate) fn peer(&self) -> PeerAddress {
        self.parsed.get().unwrap_or_else(|| {
            let peer = PeerAddress::parse(&self.bytes);
            self.parsed.set(Some(peer));
            peer
        })
    }

    pub(crate) fn into_owned(self) -> AddressFrame<'static> {
        AddressFrame { bytes: Cow::Owned(self.bytes.into_owned()), parsed: self.parsed }
    }
}

impl<'a> From<&'a [u8]> for AddressFrame<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        AddressFrame { bytes: Cow::Borrowed(bytes), parsed: Cell::default() }
    }
}

impl Deref for AddressFrame<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The content of an address frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerAddress {
    /// An IP address without port or zone; an IPv4-mapped address as IPv4.
    Ip(IpAddr),
    /// A process on this machine, over `ipc://`, as the kernel identifies it.
    Ipc(IpcCredentials),
    /// Anything else.
    Other,
}

/// The process at the other end of an `ipc://` connection. On Linux, libzmq writes it into the ZAP address.
///
/// ```
/// # use zmq_auth::{Authenticator, IpcCredentials, Verdict};
/// let auth = Authenticator::new();
/// auth.configure_curve_callback("jobs", |_key, peer| {
///     matches!(peer.ipc(), Some(IpcCredentials { uid: 0, .. }))
/// })?;
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IpcCredentials {
    /// The user id of the peer's process.
    pub uid: u32,
    /// The (primary) group id of the peer's process.
    pub gid: u32,
    /// The process id when it connected. Ids are reused: fine for a log, not for a rule.
    pub pid: u32,
}

impl PeerAddress {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(bytes) else { return PeerAddress::Other };
        // Every address but IPv4 has a colon, so no format is tried in vain.
        if !text.contains(':') {
            return text.parse().map_or(PeerAddress::Other, |ip| PeerAddress::Ip(IpAddr::V4(ip)));
        }
        if let Some(credentials) = text.strip_prefix("localhost:") {
            return ipc(credentials).map_or(PeerAddress::Other, PeerAddress::Ipc);
        }
        // The zone of a link-local peer (`fe80::1%eth0`) is the interface it came in by, not its identity.
        let ip: Option<Ipv6Addr> = match text.split_once('%') {
            Some((ip, zone)) if !zone.is_empty() => ip.parse().ok(),
            Some(_) => None,
            None => text.parse().ok(),
        };
        ip.map_or(PeerAddress::Other, |ip| PeerAddress::Ip(ip.to_canonical()))
    }
}

/// `UID:GID:PID`, all decimal.
fn ipc(text: &str) -> Option<IpcCredentials> {
    let mut numbers = text.split(':').map(|number| {
        // `parse` alone would accept a sign.
        if number.bytes().all(|byte| byte.is_ascii_digit()) { number.parse().ok() } else { None }
    });
    let credentials = IpcCredentials { uid: numbers.next()??, gid: numbers.next()??, pid: numbers.next()?? };
    numbers.next().is_none().then_some(credentials)
}

/// The clients that a limiter counts as one: an IPv4 address, an IPv6 prefix, a local user, or any unreadable address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    Ip(IpAddr),
    Uid(u32),
    Unreadable(Box<[u8]>),
}

/// The number of leading bits of an IPv6 address that its owner can't choose.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ipv6Prefix {
    /// A site: what a provider assigns.
    Site = 48,
    /// A subnet, within which one host can choose its addresses.
    Subnet = 64,
}

impl Origin {
    /// The network of an IP address: an IPv4 /24 or an IPv6 /48.
    pub(crate) fn network(&self) -> Option<IpAddr> {
        match self {
            Origin::Ip(IpAddr::V4(ip)) => Some(Ipv4Addr::from_bits(ip.to_bits() & !0xff).into()),
            Origin::Ip(IpAddr::V6(ip)) => Some(Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80).into()),
            Origin::Uid(_) | Origin::Unreadable(_) => None,
        }
    }

    pub(crate) fn of(address: &AddressFrame<'_>, prefix: Ipv6Prefix) -> Self {
        match address.peer() {
            PeerAddress::Ip(IpAddr::V6(ip)) => {
                let host_bits = 128 - prefix as u32;
                Origin::Ip(Ipv6Addr::from_bits(ip.to_bits() >> host_bits << host_bits).into())
            }
            PeerAddress::Ip(ip) => Origin::Ip(ip),
            PeerAddress::Ipc(peer) => Origin::Uid(peer.uid),
            PeerAddress::Other => Origin::Unreadable(address.get(..64).unwrap_or(address).into()),
        }
    }
}

#[cfg(test)]
mod tests;
