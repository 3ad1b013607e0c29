//! Addresses as libzmq writes them, and rules.

use super::*;

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
fn everything_else_is_no_address() {
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
fn there_is_room_for_as_many_addresses_as_the_table_takes() {
    let net = |rule: String| rule.parse::<IpNet>().unwrap();
    let v4 = |n: u32| net(format!("10.0.{}.{}/32", n / 256, n % 256));
    let v6 = |n: u32| net(format!("2001:db8::{n:x}/128"));
    let mut list = IpList::default();
    assert!(list.has_room(&[]) && !list.has_room(&[v4(0)]) && !list.has_room(&[v6(0)]));
    assert!(list.has_room(&[net("10.0.0.0/8".into()), net("2001:db8::/32".into())]), "subnets need no table");
    for n in 0..100 {
        list.insert(v4(n));
        list.insert(v6(n));
        let room = (list.v4.hosts.capacity() - list.v4.hosts.len(), list.v6.hosts.capacity() - list.v6.hosts.len());
        let rules = |v4s: usize, v6s: usize| -> Vec<IpNet> {
            (0..v4s as u32).map(|n| v4(1_000 + n)).chain((0..v6s as u32).map(|n| v6(1_000 + n))).collect()
        };
        assert!(list.has_room(&rules(room.0, room.1)), "{n}: {room:?}");
        assert!(!list.has_room(&rules(room.0 + 1, 0)) && !list.has_room(&rules(0, room.1 + 1)), "{n}: {room:?}");
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
fn bits_behind_the_prefix_do_not_count() {
    assert_eq!(parse_rule("10.1.2.3/8").unwrap(), "10.0.0.0/8".parse().unwrap());
}
