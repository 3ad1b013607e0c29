//! What libzmq's connections leave in that memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use zmq_auth::KeyPair;

use crate::harness::process::{is_child, run_again};
use crate::harness::sockets::socket;
use crate::harness::system::give_back_free_memory;
use crate::harness::usage::resident;
use crate::secret::{KEPT_AT_MOST, kept, mappings};

const VARIABLE: &str = "ZMQ_AUTH_SECRETS_CONNECTIONS";
/// Connections at the same time.
const CLIENTS: usize = 8;
/// The number of parts in which they are made; memory is checked after each.
const PARTS: usize = 10;

#[test]
fn connections_leave_memory_and_mappings_as_they_are() {
    let connections = match std::env::var(VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{VARIABLE}={text:?}: a number")),
        Err(_) => 5_000,
    };
    if is_child() {
        return connect(connections);
    }
    let name = "connections::connections_leave_memory_and_mappings_as_they_are";
    // A slow machine makes a hundred a second.
    let ended = run_again(name, &[], Duration::from_secs(60) + Duration::from_millis(10) * connections as u32);
    eprintln!("{}", ended.stderr);
    assert!(ended.status.is_some_and(|status| status.success()), "{:?}", ended.status);
}

/// Server and clients are this process. Over ipc, because TCP ports would run out; without a handler, which isn't involved.
fn connect(connections: usize) {
    let (server_keys, client_keys) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let context = zmq::Context::new();
    let directory = tempfile::tempdir().unwrap();
    let endpoint = format!("ipc://{}", directory.path().join("server").display());
    let server = socket(&context, zmq::ROUTER);
    server.set_curve_server(true).unwrap();
    server.set_curve_secretkey(server_keys.secret.as_bytes()).unwrap();
    server.set_rcvtimeo(100).unwrap();
    server.bind(&endpoint).unwrap();

    let client = || {
        let client = socket(&context, zmq::DEALER);
        client.set_curve_serverkey(server_keys.public.as_bytes()).unwrap();
        client.set_curve_publickey(client_keys.public.as_bytes()).unwrap();
        client.set_curve_secretkey(client_keys.secret.as_bytes()).unwrap();
        client.connect(&endpoint).unwrap();
        client.send("ping", 0).unwrap();
        assert_eq!(client.recv_bytes(0).unwrap(), b"ping");
    };
    let (made, start) = (AtomicUsize::new(0), Instant::now());
    let mut held = Vec::new();
    for part in 1..=PARTS {
        let goal = connections * part / PARTS;
        let one_after_another = || {
            while made.fetch_add(1, Ordering::Relaxed) < goal {
                client();
            }
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(one_after_another)).collect();
            while clients.iter().any(|client| !client.is_finished()) {
                if let Ok(frames) = server.recv_multipart(0) {
                    // A client that has already gone is no error.
                    let _ = server.send_multipart(frames, 0);
                }
            }
        });
        made.store(goal, Ordering::Relaxed);
        give_back_free_memory();
        held.push((resident(std::process::id()), mappings(), kept()));
        let (resident, mappings, kept) = held[part - 1];
        let time = start.elapsed();
        eprintln!("{goal} connections, {time:.1?}: {resident} KiB, {mappings} mappings, {kept} regions kept");
    }
    let (resident, mappings, kept) = held[0];
    assert!((1..=KEPT_AT_MOST).contains(&kept), "libzmq's secrets: {kept} regions are kept");
    for (later_resident, later_mappings, later_kept) in held {
        // In use at the moment of the check: some sockets, some arenas of the allocator.
        assert!(later_resident <= resident + 4_096, "{resident} to {later_resident} KiB");
        assert!(later_mappings <= mappings + 200, "{mappings} to {later_mappings} mappings");
        assert!(later_kept <= KEPT_AT_MOST, "{later_kept} regions are kept");
    }
}
