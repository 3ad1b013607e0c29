use super::rules::{IpList, parse_rule};
use super::*;
use ipnet::IpNet;

fn ip(text: &str) -> PeerAddress {
    PeerAddress::Ip(text.parse().unwrap())
}

#[test]
fn addresses_as_libzmq_writes_them() {
    assert_eq!(PeerAddress::parse(b"127.0.0.1"), ip("127.0.0.1"));
    assert_eq!(PeerAddress::parse(b"::ffff:127.0.0.1"), ip("127.0.0.1"));
    assert_eq!(PeerAddress::parse(b"fe80::1%eth0"), ip("fe80::1"));
    assert_eq!(PeerAddress::parse(b"::ffff:127.0.0.1%eth0"), ip("127.0.0.1"));
    assert_eq!(
        PeerAddress::parse(b"localhost:1000:100:4711"),
        PeerAddress::Ipc(IpcCredentials { uid: 1000, gid: 100, pid: 4711 })
    );
}

#[test]
fn anything_else_is_not_an_address() {
    for text in [
        "",
        "localhost",
        "localhost:",
        "localhost:1",
        "localhost:1:2",
        "localhost:1:2:3:4",
        "localhost:+1:2:3",
        "localhost:-1:2:3",
        "localhost:1:2:x",
        "localhost:4294967296:1:1",
        "localhost:::",
        "127.0.0.1:80",
        "127.0.0.1%eth0",
        "fe80::1%",
        " 127.0.0.1",
        "127.0.0.1 ",
        "010.0.0.1",
        "127.1",
        "example.org",
        "[::1]",
    ] {
        assert_eq!(PeerAddress::parse(text.as_bytes()), PeerAddress::Other, "{text}");
    }
    assert_eq!(PeerAddress::parse(b"\xff"), PeerAddress::Other);
}

#[test]
fn rules_are_added_in_place_while_the_table_has_room_and_they_are_few() {
    let net = |rule: String| rule.parse::<IpNet>().unwrap();
    let v4 = |n: u32| net(format!("10.0.{}.{}/32", n / 256, n % 256));
    let v6 = |n: u32| net(format!("2001:db8::{n:x}/128"));
    let mut list = IpList::default();
    assert!(list.takes_in_place(&[]) && !list.takes_in_place(&[v4(0)]) && !list.takes_in_place(&[v6(0)]));
    let subnet = |n: u32| net(format!("10.{n}.0.0/16"));
    assert!(list.takes_in_place(&(0..64).map(subnet).collect::<Vec<_>>()), "subnets need no table");
    assert!(!list.takes_in_place(&(0..65).map(subnet).collect::<Vec<_>>()), "they are many");
    for n in 0..100 {
        list.insert(v4(n));
        list.insert(v6(n));
        let (v4s, v6s) = list.spare_hosts();
        let (v4s, v6s) = (v4s.min(64), v6s.min(64));
        let rules = |v4s: usize, v6s: usize| -> Vec<IpNet> {
            (0..v4s as u32).map(|n| v4(1_000 + n)).chain((0..v6s as u32).map(|n| v6(1_000 + n))).collect()
        };
        assert!(list.takes_in_place(&rules(v4s, v6s)), "{n}: {v4s}, {v6s}");
        assert!(!list.takes_in_place(&rules(v4s + 1, 0)) && !list.takes_in_place(&rules(0, v6s + 1)), "{n}");
    }
}

#[test]
fn rules_that_do_not_parse() {
    for rule in [
        "",
        " ",
        "localhost",
        "10.0.0.0/33",
        "10.0.0.0/",
        "/8",
        "10.0.0/8",
        "::/129",
        "fe80::1%eth0",
        " 10.0.0.1",
        "10.0.0.1 ",
        "10.0.0.1:80",
        "*",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/08",
        "010.0.0.0/8",
        "::1:2:3:4:5:6:7:8/128",
        "10.0.0.0/8/8",
    ] {
        assert!(parse_rule(rule).is_err(), "{rule:?}");
    }
}

#[test]
fn a_mapped_rule_is_its_ipv4_rule() {
    assert_eq!(parse_rule("::ffff:10.0.0.0/104").unwrap(), "10.0.0.0/8".parse().unwrap());
    assert_eq!(parse_rule("::ffff:10.0.0.7").unwrap(), "10.0.0.7/32".parse().unwrap());
    assert_eq!(parse_rule("::/0").unwrap(), "::/0".parse().unwrap());
}

#[test]
fn bits_after_the_prefix_are_ignored() {
    assert_eq!(parse_rule("10.1.2.3/8").unwrap(), "10.0.0.0/8".parse().unwrap());
}

#[test]
fn a_client_that_owns_a_subnet_is_one_origin() {
    let site = |address: &str| Origin::of(&address.as_bytes().into(), Ipv6Prefix::Site);
    assert_eq!(site("2001:db8::1"), site("2001:db8::ffff:1"));
    assert_eq!(site("2001:db8::1"), site("2001:db8:0:1::1"));
    assert_ne!(site("2001:db8::1"), site("2001:db8:1::1"));
    let subnet = |address: &str| Origin::of(&address.as_bytes().into(), Ipv6Prefix::Subnet);
    assert_eq!(subnet("2001:db8::1"), subnet("2001:db8::ffff:1"));
    assert_ne!(subnet("2001:db8::1"), subnet("2001:db8:0:1::1"));
    assert_eq!(subnet("::ffff:10.0.0.7"), subnet("10.0.0.7"));
    assert_eq!(subnet("localhost:7:8:9"), subnet("localhost:7:1:2"));
}
