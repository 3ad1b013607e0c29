//! The service's side: nothing is sent before the gate has checked who listens there.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use zmq_auth::zmq;

use super::{Gate, Place};
use crate::run::run;

fn gate_arguments<'a>(back: &'a str, options: &[&'a str]) -> Vec<&'a str> {
    let front = ["gate", "policy.toml", "--front", "tcp://127.0.0.1:*", "--back", back, "--kind", "reply"];
    [&front[..], &["--domain", "lab", "--key", "server.key_secret"], options].concat()
}

#[test]
fn a_service_of_another_user_gets_nothing_and_ends_the_gate() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::REP);
    let outcome = run(place.directory.path(), &gate_arguments(&place.ipc("app.sock"), &["--back-uid", "4242"]));
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("not 4242"), "{}", outcome.stderr);
    assert_eq!(service.poll(zmq::POLLIN, 0).unwrap(), 0);
}

/// The service's user is right at first; later another user's socket is there.
#[test]
fn a_service_that_is_replaced_by_another_users_gets_nothing() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let uid = nix::unistd::getuid().as_raw();
    if uid != 0 {
        // Only root can act as two users. (Every connection gets the same check as the first.)
        eprintln!("not run: it takes root");
        return;
    }
    let service = place.python(&["service", "REP", &place.ipc("app.sock")]);
    service.line();
    let mut gate = place.gate("reply", &["--back-uid", "0"]);
    let alice = place.connected(&context, zmq::DEALER, "alice", &gate);
    alice.send_multipart(["", "one"], 0).unwrap();
    assert_eq!(super::frames(&alice), ["", "reply to", "one"]);
    drop(service);
    gate.process.event("ServiceLost");
    alice.send_multipart(["", "for the service alone"], 0).unwrap();
    // libzmq has removed the service's socket. A listener's credentials are those at its `listen`.
    let script = format!(
        "import os, socket\ns = socket.socket(socket.AF_UNIX)\nos.path.exists({0:?}) and os.remove({0:?})\ns.bind({0:?})\n\
         os.seteuid(4242)\ns.listen()\nprint('{{\"ready\": true}}', flush=True)\nc, _ = s.accept()\nprint(repr(c.recv(4096)), \
         flush=True)\nc.settimeout(60)\nrest = b''\nwhile data := c.recv(65536):\n    rest += data\nprint(repr(rest), flush=True)\n",
        place.path("app.sock").to_str().unwrap()
    );
    let mut command = std::process::Command::new(crate::python::python());
    command.args(["-c", &script]);
    let impostor = super::Process::start(command);
    impostor.line();
    assert_eq!(gate.process.ended().code(), Some(1));
    let received: Vec<String> =
        std::iter::from_fn(|| impostor.lines.recv_timeout(super::DEADLINE).ok()).map(|line| line.to_string()).collect();
    assert!(!received.concat().contains("for the service alone"), "{received:?}");
}

#[test]
fn a_service_that_anybody_could_be_is_refused() {
    let place = Place::new();
    let open = place.path("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
    let in_open = format!("ipc://{}/app.sock", open.display());
    let nowhere = place.ipc("nowhere/app.sock");
    for (back, exit, says) in [
        ("tcp://127.0.0.1:5999", 2, "--any-local-user-may-reach-the-service"),
        ("tcp://192.0.2.7:5999", 2, "not a loopback address"),
        ("tcp://localhost:5999", 2, "not a loopback address"),
        ("tcp://0.0.0.0:5999", 2, "not a loopback address"),
        ("ipc://@app", 2, "any local user could listen there"),
        ("inproc://app", 2, "no security mechanism"),
        (&in_open, 1, "others may write to it"),
        (&nowhere, 1, "cannot read its owner and mode"),
    ] {
        let outcome = run(place.directory.path(), &gate_arguments(back, &[]));
        assert!(outcome.code == exit && outcome.stderr.contains(says), "{back}: {} {}", outcome.code, outcome.stderr);
        assert_eq!(outcome.stdout, "");
    }
}

#[test]
fn a_local_port_serves_where_that_is_said() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = context.socket(zmq::REP).unwrap();
    service.bind("tcp://127.0.0.1:*").unwrap();
    service.set_rcvtimeo(super::DEADLINE_MS).unwrap();
    let back = service.get_last_endpoint().unwrap().unwrap();
    let arguments = gate_arguments(&back, &["--any-local-user-may-reach-the-service"]);
    let gate = Gate::start(place.directory.path(), &arguments);
    let alice = place.connected(&context, zmq::REQ, "alice", &gate);
    alice.send("hello", 0).unwrap();
    assert_eq!(super::frames(&service), ["hello"]);
    gate.stop();
}

#[test]
fn a_service_of_the_wrong_kind_is_said_and_the_right_one_found() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let wrong = place.service(&context, zmq::PUB);
    let gate = place.gate("reply", &[]);
    let line = gate.process.event("ServiceHandshakeFailed");
    assert!(line["reason"].as_str().unwrap().contains("of the right kind"), "{line}");
    // The right service is found when it starts.
    drop(wrong);
    let service = place.service(&context, zmq::REP);
    let alice = place.connected(&context, zmq::REQ, "alice", &gate);
    alice.send("hello", 0).unwrap();
    assert_eq!(super::frames(&service), ["hello"]);
}
