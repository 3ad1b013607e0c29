//! A gate whose loop doesn't turn: revocations go on, and if that lasts, the program ends.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use zmq_auth::{Handshake, zmq};

use super::load::resident;
use super::{DEADLINE, DEADLINE_MS, Gate, Place, frames};

/// Stops the thread of a gate's loop, and nothing else of the process: to the others it looks as if libzmq kept it.
fn stop_the_loop(gate: &Gate) -> Pid {
    let tasks = fs::read_dir(format!("/proc/{}/task", gate.process.child.id())).unwrap();
    let is_the_loop =
        |task: &fs::DirEntry| fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "gate\n");
    let task = tasks.map(Result::unwrap).find(is_the_loop).expect("the thread of the loop");
    let thread = Pid::from_raw(task.file_name().to_str().unwrap().parse().unwrap());
    ptrace::seize(thread, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(thread).unwrap();
    assert!(matches!(waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap(), WaitStatus::PtraceEvent(..)));
    thread
}

/// A traced thread is waited for by its tracer; before that, its process doesn't end.
fn until_ended(thread: Pid) {
    let end = Instant::now() + DEADLINE;
    while let Ok(WaitStatus::StillAlive) = waitpid(thread, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
        assert!(Instant::now() < end, "it doesn't end");
        thread::yield_now();
    }
}

/// Alice is revoked, and disconnected although the loop doesn't turn. A while later the process ends.
#[test]
fn a_gate_that_stalls_disconnects_revoked_clients_and_then_ends() {
    // On a very busy machine, the gate may have ended before the revocation was in force.
    for _ in 0..5 {
        let (place, context) = (Place::new(), zmq::Context::new());
        let service = place.service(&context, zmq::XPUB);
        let mut gate = place.gate("publish", &[]);
        let clients = ["alice", "bob"].map(|name| {
            let mut client = place.monitored(&context, zmq::SUB, name, &gate);
            assert_eq!(client.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Authenticated));
            client.set_subscribe(name.as_bytes()).unwrap();
            assert_eq!(frames(&service), [format!("\u{1}{name}")]);
            client
        });

        // Once this has arrived, the loop doesn't process a subscription any more.
        service.send("bob", 0).unwrap();
        assert_eq!(frames(&clients[1]), ["bob"]);
        let thread = stop_the_loop(&gate);
        place.revoke("alice");
        let (mut alice_is_out, mut lines) = (false, Vec::new());
        let stalled = loop {
            let line = gate.process.line();
            alice_is_out |= line["event"] == "ClientDisconnected" && line["user_id"] == "alice";
            assert_ne!((&line["event"], &line["user_id"]), (&"ClientDisconnected".into(), &"bob".into()));
            if line["event"] == "Stalled" {
                break line;
            }
            lines.push(line);
        };
        assert!(stalled["gate"].as_str().unwrap().starts_with("tcp://"), "{stalled}");
        until_ended(thread);
        assert_eq!(gate.process.ended().code(), Some(1));
        drop(clients);
        if alice_is_out {
            return;
        }
        println!("not revoked in time: {lines:?}");
    }
    panic!("a revoked client stayed connected");
}

/// A ZMTP 3.0 frame.
fn frame(body: &[u8]) -> Vec<u8> {
    [&[2], &(body.len() as u64).to_be_bytes()[..], body].concat()
}

/// libzmq receives a client's subscriptions as long as there are any, so the gate's loop may see none of them for seconds.
/// (If it does, the client changes its subscriptions too often.) Not with CURVE, since decryption would slow the flood.
#[test]
fn a_subscriber_that_floods_is_disconnected_alone() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let policy = "[domain.lab]\nnull = \"allow\"\n";
    fs::write(place.path("policy.toml"), policy).unwrap();
    let service = place.service(&context, zmq::XPUB);
    let back = place.ipc("app.sock");
    let arguments = ["--front", "tcp://127.0.0.1:*", "--back", &back, "--kind", "publish", "--domain", "lab", "--null"];
    let gate = place.gate_with(&arguments);
    let address = gate.front.trim_start_matches("tcp://");
    let mut flooding = TcpStream::connect(address).unwrap();
    let mut hello = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL".to_vec();
    hello.resize(64, 0);
    hello.extend(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB");
    flooding.write_all(&hello).unwrap();
    // The gate's greeting and its READY.
    flooding.set_read_timeout(Some(DEADLINE)).unwrap();
    flooding.read_exact(&mut [0; 64 + 28]).unwrap();
    flooding.write_all(&frame(b"\x01hers")).unwrap();
    assert_eq!(frames(&service), ["\u{1}hers"]);
    let bob = context.socket(zmq::SUB).unwrap();
    bob.set_rcvtimeo(DEADLINE_MS).unwrap();
    bob.set_subscribe(b"his").unwrap();
    bob.connect(&format!("tcp://127.0.0.2:0;{address}")).unwrap();
    assert_eq!(frames(&service), ["\u{1}his"]);

    // Long topics: libzmq needs longer to store one than to receive it.
    let subscription = frame(&[b"\x01", &[b'x'; 4_000][..]].concat());
    flooding.set_write_timeout(Some(DEADLINE)).unwrap();
    let (sent, has_sent) = channel();
    let flood = thread::spawn(move || {
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end && flooding.write_all(&subscription).is_ok() {
            let _ = sent.send(());
        }
    });
    // What the queues and buffers hold, and more. (It may end before.)
    let _ = has_sent.iter().nth(4_000);
    fs::write(place.path("new"), format!("addresses = {{ deny = [\"127.0.0.1\"] }}\n{policy}")).unwrap();
    fs::rename(place.path("new"), place.path("policy.toml")).unwrap();
    let line = gate.process.event("ClientDisconnected");
    assert_eq!(line["address"], "127.0.0.1", "{line}");
    flood.join().unwrap();
    println!("{}; {} KiB resident", line["reason"], resident(gate.process.child.id()));
    let mut texts = std::iter::from_fn(|| Some(frames(&service).remove(0)));
    assert!(texts.any(|text| text == "\u{0}hers"), "it has left");
    service.send("his", 0).unwrap();
    assert_eq!(frames(&bob), ["his"]);
    gate.stop();
}
