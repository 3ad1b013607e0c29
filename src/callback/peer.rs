//! The client as a callback sees it.

use std::net::IpAddr;

use crate::address::{AddressFrame, IpcCredentials, PeerAddress};
use crate::zap::Request;

/// The client that a callback decides about: its address, and the domain of the server that it connects to.
///
/// ```
/// use zmq_auth::Authenticator;
///
/// let auth = Authenticator::new();
/// auth.configure_curve_callback("*", |_key, peer| {
///     // Only over IPv6, and only at the socket with the domain "lab".
///     peer.domain() == "lab" && peer.ip().is_some_and(|ip| ip.is_ipv6())
/// })?;
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    domain: String,
    address: String,
    parsed: PeerAddress,
}

impl Peer {
    /// `None` if the domain or the address isn't UTF-8: no callback is called for such a request.
    pub(crate) fn of(request: &Request<'_>) -> Option<Self> {
        Peer::new(request.domain, &request.address)
    }

    fn new(domain: &[u8], address: &AddressFrame<'_>) -> Option<Self> {
        Some(Peer {
            domain: str::from_utf8(domain).ok()?.to_owned(),
            address: str::from_utf8(address).ok()?.to_owned(),
            parsed: address.peer(),
        })
    }

    /// The ZAP domain of the server's socket; empty if the socket has none.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The address as libzmq gives it: an IP without port (`::ffff:a.b.c.d` for an IPv4 client of an IPv6 socket, with
    /// `%zone` for a link-local client), or `localhost:UID:GID:PID` for an ipc client.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The client's IP, without zone and with IPv4-mapped addresses as IPv4; `None` for an ipc client.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.parsed {
            PeerAddress::Ip(ip) => Some(ip),
            PeerAddress::Ipc(_) | PeerAddress::Other => None,
        }
    }

    /// The client's process, as the kernel reported it; `None` except for ipc clients.
    pub fn ipc(&self) -> Option<IpcCredentials> {
        match self.parsed {
            PeerAddress::Ipc(credentials) => Some(credentials),
            PeerAddress::Ip(_) | PeerAddress::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer_of(domain: &[u8], address: &[u8]) -> Option<Peer> {
        Peer::new(domain, &address.into())
    }

    #[test]
    fn a_callback_gets_the_domain_and_the_address() {
        let peer = peer_of(b"lab", b"::ffff:10.0.0.7").unwrap();
        assert_eq!((peer.domain(), peer.address()), ("lab", "::ffff:10.0.0.7"));
        assert_eq!((peer.ip(), peer.ipc()), (Some(IpAddr::from([10, 0, 0, 7])), None));
        let peer = peer_of(b"", b"localhost:1000:27:4711").unwrap();
        assert_eq!((peer.domain(), peer.address()), ("", "localhost:1000:27:4711"));
        assert_eq!((peer.ip(), peer.ipc()), (None, Some(IpcCredentials { uid: 1000, gid: 27, pid: 4711 })));
        let peer = peer_of(b"", b"").unwrap();
        assert_eq!((peer.ip(), peer.ipc()), (None, None));
        assert!(peer_of(b"\xff", b"").is_none() && peer_of(b"", b"\xff").is_none());
    }
}
