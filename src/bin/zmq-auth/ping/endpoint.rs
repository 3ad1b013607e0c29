//! The endpoint of a server, and its addresses.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Instant;

use super::reach::{Reach, within};
use crate::endpoint::{self, Transport};
use crate::escape;
use crate::output::Failure;

/// The target of an endpoint.
#[derive(Clone)]
pub(super) enum Target {
    Tcp { host: String, port: u16, addresses: Vec<SocketAddr> },
    Ipc(PathBuf),
}

/// Reads an endpoint to connect to.
pub(super) fn parse(endpoint: &str) -> Result<Target, Failure> {
    let shown = escape::text(endpoint);
    let usage = |problem: &str, hint: &str| Err(Failure::usage(format!("{shown}: {problem}")).hint(hint));
    const EXAMPLES: &str = "Write tcp://HOST:PORT or ipc://PATH.";
    let address = match endpoint::parse(endpoint, EXAMPLES)? {
        (Transport::Ipc, "*") => return usage("only a server can bind *", "Write ipc:// and the path of its socket."),
        (Transport::Ipc, path) => return Ok(Target::Ipc(path.into())),
        (Transport::Tcp, address) => address,
    };
    // The part before a semicolon is the address to connect from.
    let address = address.rsplit(';').next().unwrap_or_default();
    let Some((host, port)) = address.rsplit_once(':') else { return usage("has no port", EXAMPLES) };
    let port = match port.parse::<u16>() {
        Ok(port) if port > 0 => port,
        _ => return usage("the port is not a number from 1 to 65535", EXAMPLES),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match host {
        "" => usage("has no host", EXAMPLES),
        "*" => usage("only a server can bind *", "Write the server's host name or address instead."),
        _ => Ok(Target::Tcp { host: host.to_owned(), port, addresses: Vec::new() }),
    }
}

impl Target {
    /// Resolves the host. Like libzmq by default, uses IPv6 only if there is no IPv4 address.
    pub(super) fn resolve(&self, end: Instant) -> Result<Target, Reach> {
        let Target::Tcp { host, port, .. } = self else { return Ok(self.clone()) };
        let name = (host.clone(), *port);
        let looked_up = within(end, move || name.to_socket_addrs().map(Iterator::collect::<Vec<_>>));
        let all = match looked_up {
            None => return Err(Reach::NoName("the name server didn't answer in time".to_owned())),
            Some(Err(error)) => return Err(Reach::NoName(error.to_string())),
            Some(Ok(all)) if all.is_empty() => return Err(Reach::NoName("it has no address".to_owned())),
            Some(Ok(all)) => all,
        };
        let (v4, v6): (Vec<_>, Vec<_>) = all.into_iter().partition(SocketAddr::is_ipv4);
        let addresses = if v4.is_empty() { v6 } else { v4 };
        Ok(Target::Tcp { host: host.clone(), port: *port, addresses })
    }

    pub(super) fn needs_ipv6(&self) -> bool {
        matches!(self, Target::Tcp { addresses, .. } if addresses.iter().all(SocketAddr::is_ipv6))
    }
}
