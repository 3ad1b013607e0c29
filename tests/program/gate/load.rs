//! Many clients, slow ones and hostile ones.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use zmq_auth::zmq;

use super::{DEADLINE, Place, frames};

/// Resident memory of a process, in KiB.
pub(super) fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

pub(super) fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Each connects, asks, and leaves, and nothing of it remains.
#[test]
fn ten_thousand_clients_come_and_go() {
    const CLIENTS: usize = 10_000;
    const AT_ONCE: usize = 50;
    let place = Place::new();
    let gate = place.gate("reply", &["--sender-frame"]);
    let service = std::thread::spawn({
        let context = zmq::Context::new();
        let service = place.service(&context, zmq::REP);
        move || {
            for _ in 0..CLIENTS {
                let request = frames(&service);
                service.send(&request[1], 0).unwrap();
            }
        }
    });
    gate.process.event("ServiceConnected");
    let pid = gate.process.child.id();
    let context = zmq::Context::new();
    let mut after_first = None;
    for round in 0..CLIENTS / AT_ONCE {
        let clients: Vec<_> = (0..AT_ONCE)
            .map(|number| {
                let client = place.connected(&context, zmq::REQ, if number % 2 == 0 { "alice" } else { "bob" }, &gate);
                client.send(&format!("{round}.{number}"), 0).unwrap();
                client
            })
            .collect();
        for (number, client) in clients.iter().enumerate() {
            assert_eq!(frames(client), [format!("{round}.{number}")]);
        }
        if round == 40 {
            after_first = Some((resident(pid), descriptors(pid)));
        }
    }
    service.join().unwrap();
    gate.until("all have left", |gate| gate.metric("zmq_auth_gate_clients", "") == 0);
    let (memory, count) = after_first.unwrap();
    let (memory_after, count_after) = (resident(pid), descriptors(pid));
    println!(
        "{memory} KiB and {count} descriptors after 2,000 clients, {memory_after} KiB and {count_after} after 10,000"
    );
    assert!(memory_after < memory + 20 * 1024, "{memory} {memory_after}");
    assert!(count_after < count + AT_ONCE, "{count} {count_after}");
    assert_eq!(gate.metric("zmq_auth_gate_messages_total", "to=\"clients\""), CLIENTS as u64);
    gate.stop();
}

/// A client that doesn't read its replies loses them, as at a ROUTER. Nobody else waits, and memory stays bounded.
#[test]
fn a_slow_client_loses_its_own_replies_and_keeps_nobody_waiting() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let gate = place.gate("reply", &[]);
    let service = std::thread::spawn({
        let context = zmq::Context::new();
        let service = place.service(&context, zmq::DEALER);
        move || {
            let body = vec![b'x'; 50_000];
            loop {
                let request = service.recv_multipart(0).unwrap();
                if request[2] == b"end" {
                    return;
                }
                let body = if request[2] == b"large" { &body } else { &request[2] };
                service.send_multipart([&request[0][..], b"", body], 0).unwrap();
            }
        }
    });
    let slow = place.client(&context, zmq::DEALER, "alice");
    slow.set_rcvhwm(1).unwrap();
    slow.connect(&gate.front).unwrap();
    let bob = place.connected(&context, zmq::DEALER, "bob", &gate);
    // More than fits into the queues and buffers on the way to it.
    (0..4_000).for_each(|_| slow.send_multipart(["", "large"], 0).unwrap());
    gate.until("a reply is dropped", |gate| gate.dropped("slow_client") > 0);
    let memory = resident(gate.process.child.id());
    assert!(memory < 400 * 1024, "{memory} KiB");
    for number in 0..1_000 {
        bob.send_multipart(["", &number.to_string()], 0).unwrap();
        assert_eq!(frames(&bob), ["", &number.to_string()]);
    }
    println!("{} of 4,000 replies of 50 kB were dropped; {memory} KiB resident", gate.dropped("slow_client"));
    bob.send_multipart(["", "end"], 0).unwrap();
    service.join().unwrap();
}

/// A subscriber that doesn't read misses messages; one that reads gets all.
#[test]
fn a_slow_subscriber_keeps_nobody_waiting() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::XPUB);
    let gate = place.gate("publish", &[]);
    let slow = place.client(&context, zmq::SUB, "alice");
    slow.set_rcvhwm(1).unwrap();
    slow.set_subscribe(b"all").unwrap();
    slow.connect(&gate.front).unwrap();
    let bob = place.client(&context, zmq::SUB, "bob");
    bob.set_subscribe(b"all").unwrap();
    bob.connect(&gate.front).unwrap();
    assert_eq!(frames(&service), ["\u{1}all"]);
    gate.until("both have subscribed", |gate| gate.metric("zmq_auth_gate_clients", "") == 2);
    let body = vec![b'x'; 20_000];
    for number in 0..5_000 {
        service.send_multipart([format!("all {number}").as_bytes(), &body], 0).unwrap();
        assert_eq!(frames(&bob)[0], format!("all {number}"));
    }
    let memory = resident(gate.process.child.id());
    assert!(memory < 200 * 1024, "{memory} KiB: 5,000 messages would be 100 MB more");
    // Once it reads, it gets what is queued, then new messages again.
    let (mut got, mut is_at_end, end) = (0, false, Instant::now() + DEADLINE);
    while !is_at_end {
        assert!(Instant::now() < end, "{got}");
        service.send("all, at the end", 0).unwrap();
        while slow.poll(zmq::POLLIN, 10).unwrap() > 0 {
            let is_last = frames(&slow)[0] == "all, at the end";
            is_at_end |= is_last;
            got += usize::from(!is_last);
        }
    }
    println!("the slow one has got {got} of 5,000; {memory} KiB resident");
    assert!((1..5_000).contains(&got), "{got}");
}

/// While one client floods the gate, another's requests reach the service.
#[test]
fn a_client_that_floods_the_gate_keeps_nobody_waiting() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::DEALER);
    let gate = place.gate("reply", &[]);
    let bob = place.connected(&context, zmq::DEALER, "bob", &gate);
    let alice = place.connected(&context, zmq::DEALER, "alice", &gate);
    let (stop, end) = (AtomicBool::new(false), Instant::now() + DEADLINE);
    bob.set_sndtimeo(100).unwrap();
    std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                let _ = bob.send_multipart(["", "bob"], 0);
            }
        });
        let mut most = 0;
        for round in 0..20 {
            alice.send_multipart(["", "alice"], 0).unwrap();
            let requests = std::iter::from_fn(|| service.recv_multipart(0).ok());
            let is_of_bob = |request: &Vec<Vec<u8>>| request[2] == b"bob" && Instant::now() < end;
            let before = requests.take_while(is_of_bob).count();
            most = most.max(before);
            assert!(Instant::now() < end, "{before} of bob in round {round}, and none of alice");
        }
        stop.store(true, Ordering::Relaxed);
        println!("at most {most} requests of a flooding client before one of another");
        assert!(most > 0, "he floods");
    });
}

/// Connections that aren't ZeroMQ, stop half-way, or announce too much: nobody else notices, and the service sees
/// nothing.
#[test]
fn hostile_clients_reach_nothing_and_stop_nobody() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let policy = std::fs::read_to_string(place.path("policy.toml")).unwrap();
    std::fs::write(place.path("policy.toml"), policy + "[limits]\nmessage_size = \"64 KiB\"\n").unwrap();
    for kind in ["reply", "publish", "collect"] {
        let service = place.service(
            &context,
            match kind {
                "reply" => zmq::DEALER,
                "publish" => zmq::XPUB,
                _ => zmq::PULL,
            },
        );
        attack(&place, &context, kind, &service);
    }
}

fn attack(place: &Place, context: &zmq::Context, kind: &str, service: &zmq::Socket) {
    let gate = place.gate(kind, &[]);
    let address = gate.front.trim_start_matches("tcp://").to_owned();
    let mut greeting = vec![0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 0];
    greeting.extend(b"CURVE");
    greeting.resize(64, 0);
    let mut null = greeting.clone();
    null[12..17].copy_from_slice(b"NULL\0");
    let mut huge = greeting.clone();
    // A long command of 900 MiB.
    huge.extend([6, 0, 0, 0, 0, 56, 64, 0, 0]);
    let mut ready = null.clone();
    ready.extend(b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ");
    let mut hello = greeting.clone();
    hello.extend(b"\x04\xc8\x05HELLO\x01\x00");
    hello.resize(64 + 2 + 200, 7);
    let attacks: [&[u8]; 7] = [b"GET / HTTP/1.1\r\n\r\n", &greeting, &null, &huge, &ready, &hello, &[0; 4096]];
    let mut open = Vec::new();
    for _ in 0..50 {
        for attack in attacks {
            let mut stream = TcpStream::connect(&address).unwrap();
            let _ = stream.write_all(attack);
            // After a greeting alone, a handshake may still follow.
            open.push((stream, attack == greeting));
        }
    }
    let (socket_type, prefix) = match kind {
        "reply" => (zmq::DEALER, ""),
        "publish" => (zmq::XSUB, "\u{1}"),
        _ => (zmq::PUSH, ""),
    };
    let pass = |name: &str, text: &str| {
        let client = place.connected(context, socket_type, name, &gate);
        client.send(&format!("{prefix}{text}"), 0).unwrap();
        let received = service.recv_multipart(0).unwrap().pop().unwrap();
        assert_eq!(received, format!("{prefix}{text}").as_bytes(), "{kind}: and nothing of the others before it");
        client
    };
    let _clients: Vec<_> = (0..100).map(|number| pass("alice", &number.to_string())).collect();
    // libzmq disconnects an accepted client that sends a larger message than the policy allows.
    let large = place.connected(context, socket_type, "bob", &gate);
    // (Adding a topic recurses in libzmq, also in the client.)
    let size = if kind == "publish" { 5_000 } else { 100_000 };
    large.send(&format!("{prefix}{}", "x".repeat(size)), 0).unwrap();
    let _last = pass("alice", "last");
    let memory = resident(gate.process.child.id());
    println!("{kind}: {memory} KiB resident");
    assert!(memory < 200 * 1024, "{memory} KiB");
    // The gate hangs up on the wrong protocol, without waiting for the end of a handshake.
    for (mut stream, _) in open.into_iter().filter(|(_, may_go_on)| !may_go_on) {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        if let Err(error) = stream.read_to_end(&mut Vec::new()) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    }
}
