//! Numbered clients, the same in every run: those that a store accepts, and others.

use std::net::{Ipv4Addr, Ipv6Addr};

use zmq_auth_benches::random;

/// The kind and the number of the accepted clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Population {
    /// By a CURVE key.
    Keys(u32),
    /// By a user name and a password.
    Users(u32),
    /// By the address alone: the NULL mechanism.
    Addresses(Family, Shape, u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// The kind of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Single,
    /// Prefixes of 20 to 32 bits (IPv4) or 52 to 64 bits (IPv6), none within another; one address of each asks.
    Subnet,
}

/// The key of a number. Numbers below the size of the store are in it.
pub(crate) fn key(number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, word) in bytes.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&random::nth(number * 4 + place as u64).to_le_bytes());
    }
    bytes
}

pub(crate) fn user(number: u64) -> String {
    format!("user-{number:07}")
}

pub(crate) fn password(number: u64) -> String {
    format!("{:016x}", random::nth(number))
}

/// The address of the client with this number. A rule with this number covers it.
pub(crate) fn address(family: Family, shape: Shape, number: u64) -> String {
    match (family, shape) {
        // An odd factor, so that no two numbers have the same address.
        (Family::V4, Shape::Single) => Ipv4Addr::from((number as u32).wrapping_mul(0x9E37_79B1)).to_string(),
        (Family::V6, Shape::Single) => {
            let subnet = 0x2001_0db8 << 32 | u64::from((number as u32).wrapping_mul(0x9E37_79B1));
            Ipv6Addr::from(u128::from(subnet) << 64 | u128::from(random::nth(number))).to_string()
        }
        (Family::V4, Shape::Subnet) => {
            Ipv4Addr::from(block(number) << 12 | random::nth(number) as u32 & 0xfff).to_string()
        }
        (Family::V6, Shape::Subnet) => v6_in_block(number).to_string(),
    }
}

/// The rule that accepts this number.
pub(crate) fn rule(family: Family, shape: Shape, number: u64) -> String {
    let longer = (number % 13) as u8;
    match (family, shape) {
        (_, Shape::Single) => address(family, shape, number),
        (Family::V4, Shape::Subnet) => {
            let host = address(family, shape, number).parse().expect("an address of ours");
            ipnet::Ipv4Net::new(host, 20 + longer).expect("a prefix of at most 32 bits").trunc().to_string()
        }
        (Family::V6, Shape::Subnet) => {
            let net = ipnet::Ipv6Net::new(v6_in_block(number), 52 + longer).expect("a prefix of at most 128 bits");
            net.trunc().to_string()
        }
    }
}

/// The number's own block, out of 2^20 blocks of addresses.
fn block(number: u64) -> u32 {
    (number as u32).wrapping_mul(0x9E37_79B1) & 0xf_ffff
}

fn v6_in_block(number: u64) -> Ipv6Addr {
    let bits = random::nth(number) & 0xfff;
    let subnet = 0x2001_0db8 << 32 | u64::from(block(number)) << 12 | bits;
    Ipv6Addr::from(u128::from(subnet) << 64 | u128::from(random::nth(number + 1)))
}
