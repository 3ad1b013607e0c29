//! Address rules: subnets, IPv6, mapped addresses, zones, ipc peers, and invalid addresses.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;

use ipnet::IpNet;
use zmq_auth::{Authenticator, Error, IpcRule, SocketExt};

use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::{install, keys, password, records};
use crate::harness::random::Random;
use crate::harness::sockets::{Client, Server, Transport};
use crate::harness::{domain, zap};

behaviours! {
    rules_hold_for_every_mechanism,
    an_ipv4_client_of_an_ipv6_server_is_an_ipv4_client,
    an_ipv6_client_is_matched_by_ipv6_rules,
    only_ipc_rules_apply_to_an_ipc_client,
}

fn rules_hold_for_every_mechanism(front_end: FrontEnd) {
    let (context, auth, server_keys, client_keys) = (zmq::Context::new(), Authenticator::new(), keys(), keys());
    auth.configure_plain("d", [("alice", password("a"))]).unwrap();
    auth.configure_curve_keys("d", [client_keys.public]).unwrap();
    let _running = front_end.start(&auth, &context);
    let null = Server::new(&context, |socket| socket.null_server("d"));
    let plain = Server::new(&context, |socket| socket.plain_server("d"));
    let curve = Server::new(&context, |socket| socket.curve_server(&server_keys, "d"));
    let clients = || {
        [
            (&null, Client::null(&context, null.endpoint())),
            (&plain, Client::plain(&context, plain.endpoint(), "alice", &password("a"))),
            (&curve, Client::curve(&context, curve.endpoint(), &client_keys, &server_keys.public)),
        ]
    };
    for (allow, deny, let_in) in [
        (vec![], vec![], true),
        (vec![], vec!["127.0.0.1"], false),
        (vec!["127.0.0.1"], vec![], true),
        (vec!["10.0.0.0/8"], vec![], false),
        (vec!["127.0.0.0/8"], vec!["127.0.0.1"], false),
        (vec!["127.0.0.0/8"], vec!["127.0.0.2"], true),
        (vec!["127.0.0.1"], vec!["0.0.0.0/0"], false),
    ] {
        auth.set_addresses(allow, deny).unwrap();
        for (server, mut client) in clients() {
            if let_in {
                client.round_trip(server);
            } else {
                client.expect_denied();
                server.assert_nothing_received();
            }
        }
    }
    // An allowed address still needs its password and its key.
    auth.set_addresses(["127.0.0.1"], [""; 0]).unwrap();
    Client::plain(&context, plain.endpoint(), "alice", &password("b")).expect_denied();
    Client::curve(&context, curve.endpoint(), &keys(), &server_keys.public).expect_denied();
}

fn an_ipv4_client_of_an_ipv6_server_is_an_ipv4_client(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let _running = front_end.start(&auth, &context);
    let server = Server::bind(&context, zmq::REP, Transport::Tcp6, |socket| socket.null_server("d"));
    let endpoint = format!("tcp://127.0.0.1:{}", server.port());
    auth.set_addresses(["127.0.0.1"], [""; 0]).unwrap();
    Client::null(&context, &endpoint).round_trip(&server);
    auth.set_addresses(["::/0"], [""; 0]).unwrap();
    Client::null(&context, &endpoint).expect_denied();
    auth.set_addresses([""; 0], ["127.0.0.0/8"]).unwrap();
    Client::null(&context, &endpoint).expect_denied();
}

fn an_ipv6_client_is_matched_by_ipv6_rules(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let _running = front_end.start(&auth, &context);
    let server = Server::bind(&context, zmq::REP, Transport::Tcp6, |socket| socket.null_server("d"));
    let endpoint = format!("tcp://[::1]:{}", server.port());
    auth.set_addresses(["::/64"], [""; 0]).unwrap();
    let received = Client::null(&context, &endpoint).round_trip(&server);
    assert_eq!(received.sender().address(), Some("::1"));
    auth.set_addresses(["0.0.0.0/0"], [""; 0]).unwrap();
    Client::null(&context, &endpoint).expect_denied();
    auth.set_addresses([""; 0], ["0:0:0:0::1"]).unwrap();
    Client::null(&context, &endpoint).expect_denied();
}

fn only_ipc_rules_apply_to_an_ipc_client(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let _running = front_end.start(&auth, &context);
    let server = Server::bind(&context, zmq::REP, Transport::Ipc, |socket| socket.null_server("d"));
    let own = std::fs::metadata(server.path()).unwrap();
    let (uid, gid) = (own.uid(), own.gid());
    let connect = || Client::null(&context, server.endpoint());

    auth.deny(["0.0.0.0/0", "::/0"]).unwrap();
    connect().round_trip(&server);
    auth.set_addresses(["0.0.0.0/0", "::/0"], [""; 0]).unwrap();
    connect().expect_denied();
    auth.allow_ipc([IpcRule::User(uid)]);
    connect().round_trip(&server);
    auth.set_ipc([IpcRule::User(uid.wrapping_add(1))], []);
    connect().expect_denied();
    auth.set_ipc([IpcRule::Group(gid)], []);
    connect().round_trip(&server);
    auth.deny_ipc([IpcRule::User(uid)]);
    connect().expect_denied();
    auth.set_addresses([""; 0], [""; 0]).unwrap();
    auth.set_ipc([], [IpcRule::Any]);
    connect().expect_denied();
    auth.set_ipc([], []);
    connect().round_trip(&server);
}

/// The reply to a client at this address, with these rules.
fn decide(allow: &[&str], deny: &[&str], address: &str) -> u16 {
    let auth = Authenticator::new();
    auth.set_addresses(allow, deny).unwrap();
    zap::null(&auth, "d", address)
}

#[test]
fn subnets_cover_what_they_should_and_no_more() {
    for (rule, inside, outside) in [
        ("10.0.0.7", vec!["10.0.0.7"], vec!["10.0.0.8", "10.0.0.70", "::ffff:10.0.0.8", "::10.0.0.7"]),
        ("192.168.1.0/24", vec!["192.168.1.0", "192.168.1.255"], vec!["192.168.0.255", "192.168.2.0"]),
        ("192.168.1.77/24", vec!["192.168.1.1"], vec!["192.168.2.77"]),
        ("172.16.0.0/12", vec!["172.16.0.1", "172.31.255.255"], vec!["172.32.0.0", "172.15.255.255"]),
        ("0.0.0.0/0", vec!["1.2.3.4", "::ffff:1.2.3.4"], vec!["::1", "fe80::1%eth0"]),
        ("::1", vec!["::1", "0:0:0:0:0:0:0:1"], vec!["::2", "127.0.0.1", "::ffff:127.0.0.1"]),
        ("fd00::/8", vec!["fd00::1", "fdff::"], vec!["fc00::1", "fe00::1"]),
        ("::/0", vec!["::1", "2001:db8::1"], vec!["1.2.3.4", "::ffff:1.2.3.4"]),
        ("fe80::/10", vec!["fe80::1", "fe80::1%eth0", "febf::1%2"], vec!["fec0::1%eth0"]),
        ("fe80::1", vec!["fe80::1%eth0", "fe80::1%wlan0"], vec!["fe80::2%eth0"]),
        ("::ffff:10.0.0.7", vec!["10.0.0.7", "::ffff:10.0.0.7", "::ffff:a00:7"], vec!["10.0.0.8"]),
        ("::ffff:10.0.0.0/104", vec!["10.9.9.9", "::ffff:10.9.9.9"], vec!["11.0.0.1"]),
    ] {
        for address in inside {
            assert_eq!(decide(&[rule], &[], address), 200, "allow {rule}: {address}");
            assert_eq!(decide(&[], &[rule], address), 400, "deny {rule}: {address}");
            assert_eq!(decide(&["0.0.0.0/0", "::/0"], &[rule], address), 400, "deny {rule} wins: {address}");
        }
        for address in outside {
            assert_eq!(decide(&[rule], &[], address), 400, "allow {rule}: {address}");
            assert_eq!(decide(&[], &[rule], address), 200, "deny {rule}: {address}");
        }
    }
}

#[test]
fn an_invalid_address_is_denied_as_soon_as_there_is_a_rule() {
    let odd = [
        "",
        " ",
        "localhost",
        "localhost:",
        "localhost:1:2",
        "localhost:1:2:3:4",
        "localhost:-1:2:3",
        "localhost:+1:2:3",
        "localhost:x:2:3",
        "LOCALHOST:1:2:3",
        "10.0.0.1:80",
        "010.0.0.1",
        "10.0.0",
        "[::1]",
        "::1/128",
        "10.0.0.1%eth0",
        "fe80::1%",
        "%eth0",
        "\u{0661}",
        "127.0.0.1\0",
        " 127.0.0.1",
        "localhost:1:2:99999999999",
    ];
    for address in odd {
        assert_eq!(decide(&[], &[], address), 200, "no rule: {address:?}");
        assert_eq!(decide(&["0.0.0.0/0", "::/0"], &[], address), 400, "allow: {address:?}");
        assert_eq!(decide(&[], &["192.0.2.1"], address), 400, "deny: {address:?}");
        for (allow, deny) in [(vec![IpcRule::Any], vec![]), (vec![], vec![IpcRule::User(7)])] {
            let auth = Authenticator::new();
            auth.set_ipc(allow, deny);
            assert_eq!(zap::null(&auth, "d", address), 400, "ipc rule: {address:?}");
        }
    }
    let auth = Authenticator::new();
    let mut request = zap::request("d", "", "NULL", &[]);
    request[3] = b"\xff\xff".to_vec();
    assert_eq!(zap::status(&auth, &request), 200);
    auth.deny(["192.0.2.1"]).unwrap();
    assert_eq!(zap::status(&auth, &request), 400);
}

#[test]
fn ipc_peers_have_their_own_rules() {
    let peer = "localhost:1000:27:4711";
    let decide = |set: &dyn Fn(&Authenticator)| {
        let auth = Authenticator::new();
        set(&auth);
        zap::null(&auth, "d", peer)
    };
    assert_eq!(decide(&|auth| auth.deny(["0.0.0.0/0", "::/0"]).unwrap()), 200, "IP denials don't apply");
    assert_eq!(decide(&|auth| auth.allow(["0.0.0.0/0", "::/0"]).unwrap()), 400, "an allow list keeps it out");
    assert_eq!(decide(&|auth| auth.allow_ipc([IpcRule::Any])), 200);
    assert_eq!(decide(&|auth| auth.allow_ipc([IpcRule::User(1000)])), 200);
    assert_eq!(decide(&|auth| auth.allow_ipc([IpcRule::User(27), IpcRule::Group(1000)])), 400);
    assert_eq!(decide(&|auth| auth.allow_ipc([IpcRule::User(1), IpcRule::Group(27)])), 200);
    assert_eq!(decide(&|auth| auth.allow_ipc([IpcRule::User(4711)])), 400, "the pid is no rule");
    assert_eq!(decide(&|auth| auth.deny_ipc([IpcRule::Group(27)])), 400);
    assert_eq!(
        decide(&|auth| {
            auth.allow_ipc([IpcRule::Any]);
            auth.deny_ipc([IpcRule::User(1000)]);
        }),
        400,
        "deny wins"
    );
    let auth = Authenticator::new();
    auth.allow_ipc([IpcRule::Any]);
    assert_eq!(zap::null(&auth, "d", "127.0.0.1"), 400, "there is one allow list");
    auth.allow(["127.0.0.1"]).unwrap();
    assert_eq!((zap::null(&auth, "d", "127.0.0.1"), zap::null(&auth, "d", peer)), (200, 200));
    auth.set_addresses([""; 0], [""; 0]).unwrap();
    assert_eq!((zap::null(&auth, "d", "127.0.0.1"), zap::null(&auth, "d", peer)), (400, 200), "ipc rules stay");
    auth.allow(["127.0.0.1"]).unwrap();
    auth.set_ipc([], []);
    assert_eq!((zap::null(&auth, "d", "127.0.0.1"), zap::null(&auth, "d", peer)), (200, 400), "addresses stay");
}

#[test]
fn a_rule_with_bits_after_its_prefix_causes_a_warning() {
    install();
    let auth = Authenticator::new();
    auth.deny(["203.0.113.77/28", "198.51.100.16/28", "2001:db8::77/124", "203.0.113.99"]).unwrap();
    let told = |rule: &str| records(|record| record.text.contains(rule));
    for (rule, covers) in [("203.0.113.77/28", "203.0.113.64/28"), ("2001:db8::77/124", "2001:db8::70/124")] {
        let [record] = &told(rule)[..] else { panic!("{rule}: {:?}", told(rule)) };
        assert!(record.level == log::Level::Warn && record.text.contains(covers), "{record:?}");
    }
    assert!(told("198.51.100.16/28").is_empty() && told("203.0.113.99").is_empty(), "as exact as it can be");
}

#[test]
fn a_call_with_a_bad_rule_takes_nothing() {
    let bad = [
        "",
        " ",
        "localhost",
        "10.0.0.0/33",
        "::/129",
        "10.0.0",
        "10.0.0.1/",
        "/8",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "1.2.3.4 ",
        " 1.2.3.4",
        "10.0.0.1:80",
        "[::1]",
        "fe80::1%eth0",
        "fe80::1%eth0/64",
        "*",
        "010.0.0.1",
        "10.0.0.0/255.0.0.0",
        "1.2.3.4\0",
    ];
    let auth = Authenticator::new();
    auth.allow(["10.0.0.0/8"]).unwrap();
    auth.deny(["10.0.0.66"]).unwrap();
    let unchanged = |what: &str| {
        for (address, expected) in [("10.0.0.1", 200), ("10.0.0.66", 400), ("192.0.2.1", 400), ("10.0.0.2", 200)] {
            assert_eq!(zap::null(&auth, "d", address), expected, "{address} after {what:?}");
        }
    };
    for rule in bad {
        let is_refused = |result: zmq_auth::Result<()>| {
            assert!(matches!(result, Err(Error::AddressRule { .. })), "{rule:?} was taken");
            unchanged(rule);
        };
        is_refused(auth.allow(["192.0.2.1", rule]));
        is_refused(auth.allow([rule, "192.0.2.1"]));
        is_refused(auth.deny(["10.0.0.2", rule]));
        is_refused(auth.set_addresses(["192.0.2.1", rule], [""; 0]));
        is_refused(auth.set_addresses(["192.0.2.1"], [rule]));
    }
}

#[test]
fn lists_grow_and_are_replaced() {
    let auth = Authenticator::new();
    auth.allow(["10.0.0.1"]).unwrap();
    auth.allow(["10.0.0.2"]).unwrap();
    auth.deny(["10.0.0.2"]).unwrap();
    let ask = |n: u8| zap::null(&auth, "d", &format!("10.0.0.{n}"));
    assert_eq!((ask(1), ask(2), ask(3)), (200, 400, 400));
    auth.set_addresses(["10.0.0.3"], [""; 0]).unwrap();
    assert_eq!((ask(1), ask(2), ask(3)), (400, 400, 200));
    auth.set_addresses([""; 0], [""; 0]).unwrap();
    assert_eq!((ask(1), ask(2), ask(3)), (200, 200, 200));
    let nothing: [&str; 0] = [];
    auth.allow(nothing).unwrap();
    assert_eq!(ask(1), 200, "no rule is no list");
}

/// Rules and addresses with few bits set, at both ends and in the middle, so that they often match.
mod sparse {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use ipnet::IpNet;

    use crate::harness::random::Random;

    pub(super) fn address(random: &mut Random) -> IpAddr {
        let bits = u128::from(random.number()) << 64 | u128::from(random.number());
        match random.below(2) {
            0 => Ipv4Addr::from((bits as u32) & 0xe001_8007).into(),
            _ => Ipv6Addr::from(bits & 0xe000_0000_0000_0001_8000_0000_0000_0007).into(),
        }
    }

    pub(super) fn rules(random: &mut Random) -> Vec<IpNet> {
        let rule = |random: &mut Random| {
            let address = address(random);
            let longest = if address.is_ipv4() { 32 } else { 128 };
            IpNet::new(address, random.below(longest + 1) as u8).unwrap()
        };
        (0..random.below(25)).map(|_| rule(random)).collect()
    }
}

/// How libzmq writes the address, on a server for both families or for one.
fn written(address: IpAddr, mapped: bool) -> String {
    match address {
        IpAddr::V4(ip) if mapped => ip.to_ipv6_mapped().to_string(),
        address => address.to_string(),
    }
}

/// The rules are stored in a tree.
#[test]
fn a_tree_of_rules_decides_as_a_list_would() {
    let (domain, mut random) = (domain("tree"), Random::new());
    let mut decided = [0; 2];
    for set in 0..400 {
        let (allow, deny, auth) = (sparse::rules(&mut random), sparse::rules(&mut random), Authenticator::new());
        auth.set_addresses(allow.iter().map(IpNet::to_string), deny.iter().map(IpNet::to_string)).unwrap();
        for _ in 0..40 {
            let address = sparse::address(&mut random);
            let covered = |rules: &[IpNet]| rules.iter().any(|rule| rule.contains(&address));
            let wanted = !covered(&deny) && (allow.is_empty() || covered(&allow));
            let text = written(address, random.below(2) == 0);
            let status = zap::null(&auth, &domain, &text);
            assert_eq!(status, if wanted { 200 } else { 400 }, "set {set}: {text}, allow {allow:?}, deny {deny:?}");
            decided[usize::from(wanted)] += 1;
        }
    }
    // Both answers are frequent.
    assert!(decided.iter().all(|&count| count > 1000), "{decided:?}");
}
