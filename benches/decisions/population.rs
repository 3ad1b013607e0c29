//! Who is let in, and who asks besides: numbered, the same in every run, and spread as in life.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Those who are let in, and how many there are.
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

/// What a rule covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Single,
    /// Prefixes of 20 to 32 bits (IPv4) or 52 to 64 bits (IPv6), none within another; one address of each asks.
    Subnet,
}

/// Any number's key: those below the size of the store are in it.
pub(crate) fn key(number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, word) in bytes.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&mixed(number * 4 + place as u64).to_le_bytes());
    }
    bytes
}

pub(crate) fn user(number: u64) -> String {
    format!("user-{number:07}")
}

pub(crate) fn password(number: u64) -> String {
    format!("{:016x}", mixed(number))
}

/// An address that asks: of a rule, if the number is that of a rule.
pub(crate) fn address(family: Family, shape: Shape, number: u64) -> String {
    match (family, shape) {
        // Odd factors: no two numbers have one address.
        (Family::V4, Shape::Single) => Ipv4Addr::from((number as u32).wrapping_mul(0x9E37_79B1)).to_string(),
        (Family::V6, Shape::Single) => {
            let subnet = 0x2001_0db8 << 32 | u64::from((number as u32).wrapping_mul(0x9E37_79B1));
            Ipv6Addr::from(u128::from(subnet) << 64 | u128::from(mixed(number))).to_string()
        }
        (Family::V4, Shape::Subnet) => Ipv4Addr::from(block(number) << 12 | mixed(number) as u32 & 0xfff).to_string(),
        (Family::V6, Shape::Subnet) => v6_in_block(number).to_string(),
    }
}

/// The rule that lets this number in.
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

/// One of 2^20 blocks of addresses, each number's own.
fn block(number: u64) -> u32 {
    (number as u32).wrapping_mul(0x9E37_79B1) & 0xf_ffff
}

fn v6_in_block(number: u64) -> Ipv6Addr {
    let bits = mixed(number) & 0xfff;
    let subnet = 0x2001_0db8 << 32 | u64::from(block(number)) << 12 | bits;
    Ipv6Addr::from(u128::from(subnet) << 64 | u128::from(mixed(number + 1)))
}

/// A number that looks random, always the same for one number (the finaliser of SplitMix64).
pub(crate) fn mixed(number: u64) -> u64 {
    let mut word = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
