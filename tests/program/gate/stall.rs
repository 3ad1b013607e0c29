//! A gate whose loop doesn't turn: revocations go on, and if that lasts, the program ends.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use zmq_auth::{Handshake, zmq};

use super::load::resident;
use super::{DEADLINE, Gate, Place, frames};

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

/// libzmq receives her subscriptions as long as there are any, and the gate's loop may see none of them. Either it does,
/// and she changes her subscriptions too often; or she is disconnected because she was revoked.
#[test]
fn a_subscriber_that_floods_is_disconnected_alone() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::XPUB);
    let gate = place.gate("publish", &[]);
    let alice = place.connected(&context, zmq::XSUB, "alice", &gate);
    alice.send("\u{1}hers", 0).unwrap();
    let bob = place.connected(&context, zmq::SUB, "bob", &gate);
    bob.set_subscribe(b"his").unwrap();
    let subscribed = [frames(&service), frames(&service)].concat();
    assert!(subscribed.iter().any(|text| text == "\u{1}hers") && subscribed.iter().any(|text| text == "\u{1}his"));

    let (stop, end) = (AtomicBool::new(false), Instant::now() + DEADLINE);
    let line = thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            // Long: libzmq needs longer to store it than to receive it.
            let subscription = ["\u{1}", &"x".repeat(4_000)].concat();
            while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                let _ = alice.send(&subscription, 0);
            }
        });
        place.revoke("alice");
        let line = gate.process.event("ClientDisconnected");
        stop.store(true, Ordering::Relaxed);
        line
    });
    assert_eq!(line["user_id"], "alice", "{line}");
    println!("{}; {} KiB resident", line["reason"], resident(gate.process.child.id()));
    let mut texts = std::iter::from_fn(|| Some(frames(&service).remove(0)));
    assert!(texts.any(|text| text == "\u{0}hers"), "she has left");
    service.send("his", 0).unwrap();
    assert_eq!(frames(&bob), ["his"]);
    gate.stop();
}
