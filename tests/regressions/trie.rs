//! Address rules are kept in a tree. It must decide as a list would that is gone through from end to end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use zmq_auth::Authenticator;

use crate::harness::{domain, zap};

/// Numbers that are the same each time (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Few bits may be set, at both ends and in the middle: rules and addresses meet often.
    fn address(&mut self) -> IpAddr {
        let bits = u128::from(self.next()) << 64 | u128::from(self.next());
        match self.below(2) {
            0 => Ipv4Addr::from((bits as u32) & 0xe001_8007).into(),
            _ => Ipv6Addr::from(bits & 0xe000_0000_0000_0001_8000_0000_0000_0007).into(),
        }
    }

    fn rule(&mut self) -> IpNet {
        let address = self.address();
        let longest = if address.is_ipv4() { 32 } else { 128 };
        IpNet::new(address, self.below(longest + 1) as u8).unwrap()
    }

    fn rules(&mut self) -> Vec<IpNet> {
        let count = self.below(25);
        (0..count).map(|_| self.rule()).collect()
    }
}

/// How libzmq writes the address, on a server for both families or for one.
fn written(address: IpAddr, mapped: bool) -> String {
    match address {
        IpAddr::V4(ip) if mapped => ip.to_ipv6_mapped().to_string(),
        address => address.to_string(),
    }
}

#[test]
fn a_tree_of_rules_decides_as_a_list_would() {
    let (domain, mut numbers) = (domain("trie"), Numbers(88_172_645_463_325_252));
    let mut decided = [0; 2];
    for set in 0..400 {
        let (allow, deny, auth) = (numbers.rules(), numbers.rules(), Authenticator::new());
        auth.set_addresses(allow.iter().map(IpNet::to_string), deny.iter().map(IpNet::to_string)).unwrap();
        for _ in 0..40 {
            let address = numbers.address();
            let covered = |rules: &[IpNet]| rules.iter().any(|rule| rule.contains(&address));
            let wanted = !covered(&deny) && (allow.is_empty() || covered(&allow));
            let text = written(address, numbers.below(2) == 0);
            let status = zap::null(&auth, &domain, &text);
            assert_eq!(status, if wanted { 200 } else { 400 }, "set {set}: {text}, allow {allow:?}, deny {deny:?}");
            decided[usize::from(wanted)] += 1;
        }
    }
    // Neither answer is rare.
    assert!(decided.iter().all(|&count| count > 1000), "{decided:?}");
}
