//! The page about fleets: runs its commands in an empty directory.

use std::net::TcpListener;

use crate::shell;

#[test]
fn the_pages_commands_start_a_fleet_and_a_revoked_client_is_refused_at_both_gates() {
    let blocks = include_str!("../../../src/fleet.md").split("```sh\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    // Free ports of this machine, instead of 4221 to 4223 and so on.
    let ports = ["422", "622", "555"].map(|prefix| (prefix, free_prefix(prefix)));
    let with_free_ports = |block: &str| {
        ports.iter().fold(block.to_owned(), |block, (prefix, free)| {
            let block = block.replace(&format!("127.0.0.1:{prefix}"), &format!("127.0.0.1:{free}"));
            block.replace(&format!("ping {prefix}"), &format!("ping {free}"))
        })
    };
    let blocks: Vec<String> = blocks.map(with_free_ports).collect();
    let directory = tempfile::tempdir().unwrap();
    let printed = shell::run(directory.path(), &blocks);
    let [_install, _cluster, add, gates, accepted, revoked] = &printed[..] else {
        panic!("six blocks of commands: {printed:#?}");
    };
    assert!(add.contains("clients: a bucket with 3 replicas") && add.contains("Alice  "), "{add}");
    assert!(gates.contains("server-1  last heartbeat ") && gates.contains("server-2  last heartbeat "), "{gates}");
    assert_eq!(accepted.matches("authenticated (CURVE").count(), 2, "{accepted}");
    assert!(revoked.contains("server-1 refuses it") && revoked.contains("server-2 refuses it"), "{revoked}");
    assert_eq!(revoked.matches("denied (400)").count(), 2, "{revoked}");
    for gate in ["gate-1.log", "gate-2.log"] {
        let log = std::fs::read_to_string(directory.path().join(gate)).unwrap();
        assert!(log.contains("Denied"), "{gate}: {log}");
    }
}

/// The first digits of three free ports, below the system's ephemeral ones.
fn free_prefix(like: &str) -> u16 {
    // So that concurrent runs of this test begin elsewhere.
    let first = like.parse::<u16>().unwrap() * 3 + (std::process::id() % 150) as u16;
    let is_free = |prefix: &u16| (1..=3).all(|last| TcpListener::bind(("127.0.0.1", prefix * 10 + last)).is_ok());
    (first..first + 500).find(is_free).expect("three free ports")
}
