//! A flood of ten thousand connections that never finish their handshake, three times: the good client is still served, and
//! no memory or descriptor is lost. The server runs in its own process.
//!
//! glibc keeps freed memory in pieces, and it takes some waves until each new allocation fits into one (96, 137, 161, 170,
//! 177, 184, 184, 185 thousand KiB, of which 200 KiB were in use). So resident memory is compared after free memory was
//! returned to the system; leaked memory can't be.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use zmq_auth::{Authenticator, Handshake, KeyPair, PublicKey, SocketExt};

use crate::harness::fixture::{Fixture, Mechanism};
use crate::harness::front_end::FrontEnd;
use crate::harness::process::is_child;
use crate::harness::sockets::{Client, socket};
use crate::harness::system::{give_back_free_memory, raise_descriptors};
use crate::harness::usage::{descriptors, resident};
use crate::harness::worker::{Worker, next_command, report};
use crate::harness::{log, wait_until};

const CONNECTIONS: usize = 10_000;
/// With fewer, the test would show little.
const FEWEST: usize = 1_000;
const WAVES: usize = 3;
/// Less than the backlog of the listener: beyond it the kernel makes clients retry for minutes.
const AT_ONCE: usize = 1_000;
/// Descriptors for the rest of the process.
const SPARE: u64 = 500;
/// No connection should end by its own timeout: the clients hang up.
const HANDSHAKE_MS: i32 = 120_000;

#[test]
fn ten_thousand_half_open_connections_three_times_over_thread() {
    flood(FrontEnd::Thread, "thread");
}

#[cfg(feature = "tokio")]
#[test]
fn ten_thousand_half_open_connections_three_times_over_tokio() {
    flood(FrontEnd::MultiThread, "tokio");
}

fn flood(front_end: FrontEnd, name: &str) {
    if is_child() {
        return serve(front_end);
    }
    // One at a time: two would need twice the descriptors.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock();
    let limit = raise_descriptors();
    let connections = CONNECTIONS.min(limit.saturating_sub(SPARE) as usize);
    assert!(connections >= FEWEST, "the hard limit of descriptors is {limit}: raise it (ulimit -Hn) to 1,500 at least");
    println!("{connections} connections at once (of {CONNECTIONS}; the limit of descriptors is {limit})");

    let test = format!("flood::ten_thousand_half_open_connections_three_times_over_{name}");
    let mut server = Worker::start(&test, &[]);
    let access = Access::read(&server.receive());
    // Memory that is allocated once and kept.
    access.round_trip(0);
    let pid = server.pid();
    wait_until("the first client is gone", || server.ask("clients?") == "0");
    let before = descriptors(pid);
    let mut after: Vec<u64> = Vec::new();
    for wave in 0..WAVES {
        let mut half_open_ones = Vec::new();
        for n in 0..connections {
            half_open_ones.push(half_open(&access, wave, n));
            if half_open_ones.len() % AT_ONCE == 0 || half_open_ones.len() == connections {
                wait_until("all are accepted", || descriptors(pid) >= before + half_open_ones.len());
            }
        }
        let peak = resident(pid);
        access.round_trip(wave);
        assert!(descriptors(pid) >= before + half_open_ones.len(), "the flood was gone before the good client came");
        drop(half_open_ones);
        wait_until("the server has its descriptors back", || descriptors(pid) == before);
        let kept = resident(pid);
        let mut used = || server.ask("resident?").parse::<u64>().unwrap();
        let mut now = used();
        // libzmq frees the last connections' memory a little after their descriptors.
        if let Some(&before) = after.last() {
            wait_until("no more than 5 % above the wave before", || {
                now = used();
                now * 100 <= before * 105
            });
        }
        println!("wave {}: {peak} KiB with the flood, {kept} KiB without it, {now} KiB of them in use", wave + 1);
        after.push(now);
    }
    let told = server.ask("decisions?");
    assert_eq!(told, format!("{} 0", WAVES + 1), "allowed and denied");
    assert!(server.end().success());
}

/// One connection that stops in the middle of its handshake.
fn half_open(access: &Access, wave: usize, n: usize) -> TcpStream {
    let mut greeting = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01CURVE".to_vec();
    greeting.resize(64, 0);
    // The header of a HELLO, and half of it.
    let mut hello = greeting.clone();
    hello.extend_from_slice(b"\x04\xc8\x05HELLO\x01\x00");
    hello.resize(164, 0);
    let mut stream = TcpStream::connect((access.address(wave).as_str(), access.ports[wave]))
        .unwrap_or_else(|error| panic!("connection {n} of wave {wave}: {error}"));
    let said = [&b""[..], &greeting[..n % 11], &greeting, &hello][n % 4];
    stream.write_all(said).unwrap();
    stream
}

/// The addresses of the server, and the keys of the good client.
struct Access {
    ports: Vec<u16>,
    server: PublicKey,
    client: KeyPair,
}

impl Access {
    fn read(line: &str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        let [server, secret, ports @ ..] = &words[..] else { panic!("{line}") };
        let secret = secret.parse().unwrap();
        log::secret_key(&secret);
        Access {
            ports: ports.iter().map(|port| port.parse().unwrap()).collect(),
            server: server.parse().unwrap(),
            client: KeyPair::from_secret(secret).unwrap(),
        }
    }

    /// Each wave has its own source address: the ports of the last wave aren't free again at once.
    fn address(&self, wave: usize) -> String {
        format!("127.0.0.{}", wave + 1)
    }

    /// The good client is accepted, and gets an answer.
    #[track_caller]
    fn round_trip(&self, wave: usize) {
        let endpoint = format!("tcp://{}:{}", self.address(wave), self.ports[wave]);
        let mut client = Client::curve(&zmq::Context::new(), &endpoint, &self.client, &self.server);
        client.expect(Handshake::Authenticated);
        client.send("ping", 0).unwrap();
        assert_eq!(client.recv_bytes(0).expect("an answer within the deadline"), b"ping");
    }
}

fn serve(front_end: FrontEnd) {
    raise_descriptors();
    let (context, fixture, auth) = (zmq::Context::new(), Fixture::new(Mechanism::Curve), Authenticator::new());
    fixture.configure(&auth);
    let _running = front_end.start(&auth, &context);
    // Not monitored: somebody would have to read the events of ten thousand connections.
    let mut server = socket(&context, zmq::REP);
    server.set_handshake_ivl(HANDSHAKE_MS).unwrap();
    server.set_backlog(4096).unwrap();
    server.set_rcvtimeo(50).unwrap();
    server.curve_server(&fixture.server_keys, crate::harness::fixture::DOMAIN).unwrap();
    let ports = (1..=WAVES).map(|n| {
        server.bind(&format!("tcp://127.0.0.{n}:*")).unwrap();
        let endpoint = server.endpoint().unwrap();
        endpoint.rsplit(':').next().unwrap().to_owned()
    });
    let ports: Vec<_> = ports.collect();
    // Descriptors that are open when nobody is connected.
    let idle = descriptors(std::process::id());
    report(&format!("{} {} {}", fixture.server_keys.public, *fixture.client_keys.secret.to_z85(), ports.join(" ")));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let done = &done;
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                if let Ok(message) = server.recv_bytes(0) {
                    server.send(message, 0).unwrap();
                }
            }
        });
        while let Some(question) = next_command() {
            match question.as_str() {
                "clients?" => report(&(descriptors(std::process::id()) - idle).to_string()),
                "resident?" => {
                    give_back_free_memory();
                    report(&resident(std::process::id()).to_string());
                }
                "decisions?" => report(&format!("{} {}", auth.counters().allowed, auth.counters().denied)),
                other => panic!("{other:?}?"),
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
