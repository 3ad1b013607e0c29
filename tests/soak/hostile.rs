//! The hostile half: strangers flood some domains in every way they can, and the good clients of the others still connect.
//! Then strangers use up all descriptors.

mod server;

use std::fs::{self, OpenOptions, Permissions};
use std::io::{Seek, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use zmq_auth::{Handshake, KeyPair, PublicKey};

use crate::harness::process::is_child;
use crate::harness::sockets::Client;
use crate::harness::worker::Worker;
use crate::harness::{DEADLINE, log, wait_until};
use server::{CLIENT, DOMAINS, HASHED, PASSWORD, USER};

const DIR: &str = "ZMQ_AUTH_TEST_HOSTILE_DIR";
/// The number of good clients in each phase.
const ROUNDS: usize = 100;
/// The connections of the stranger that guesses, of the one with hanging callbacks, and of the one that announces large messages.
const GUESSERS: usize = 32;
const STUCK: usize = 80;
const ANNOUNCERS: usize = 16;

#[test]
fn rightful_clients_connect_while_strangers_flood_thread() {
    hostile(false, "thread");
}

#[test]
fn rightful_clients_connect_while_strangers_flood_tokio() {
    hostile(true, "tokio");
}

fn hostile(on_tokio: bool, name: &str) {
    if is_child() {
        return server::serve(on_tokio, Path::new(&std::env::var_os(DIR).unwrap()));
    }
    let dir = tempfile::tempdir().unwrap();
    for (file, content) in [("hashed", HASHED.to_owned()), ("file", content(0))] {
        fs::write(dir.path().join(file), content).unwrap();
        fs::set_permissions(dir.path().join(file), Permissions::from_mode(0o600)).unwrap();
    }
    let test = format!("hostile::rightful_clients_connect_while_strangers_flood_{name}");
    let mut server = Worker::start(&test, &[(DIR, dir.path().to_str().unwrap())]);
    let servers = Servers::read(&server.receive());
    let idle: usize = server.ask("descriptors?").parse().unwrap();

    let without = servers.connect_all(ROUNDS);
    // Once first, until everything that is allocated once and kept exists: above all, threads of hanging callbacks.
    servers.under_flood(&mut server, dir.path());
    let before = quiet(&mut server, idle);
    let during = servers.under_flood(&mut server, dir.path());
    let after = quiet(&mut server, idle);
    println!("{name}: handshakes of the other domains: p99 {without:?} alone, {during:?} during the flood");
    println!("{name}: {before} KiB in use after the first flood, {after} KiB after the second");
    assert!(after * 100 <= before * 105, "{before} KiB, then {after} KiB");

    servers.without_descriptors(&mut server, dir.path());
    assert!(server.end().success());
}

/// Resident memory in KiB after all clients have left.
fn quiet(server: &mut Worker, idle: usize) -> u64 {
    wait_until("the server has its descriptors back", || server.ask("descriptors?").parse::<usize>().unwrap() <= idle);
    server.ask("memory?").parse().unwrap()
}

/// Has the same length for every number.
fn content(n: u64) -> String {
    format!("{USER}={PASSWORD}\nbob=changes {n:020}\n")
}

/// Ends the floods, also when the test fails.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The servers, and what good clients know.
struct Servers {
    key: PublicKey,
    client: KeyPair,
    stranger: KeyPair,
    ports: Vec<u16>,
    context: zmq::Context,
}

impl Servers {
    fn read(line: &str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        let [key, secret, ports @ ..] = &words[..] else { panic!("{line}") };
        let secret = secret.parse().unwrap();
        log::secret_key(&secret);
        Servers {
            key: key.parse().unwrap(),
            client: KeyPair::from_secret(secret).unwrap(),
            stranger: log::keys(),
            ports: ports.iter().map(|port| port.parse().unwrap()).collect(),
            context: zmq::Context::new(),
        }
    }

    fn port(&self, domain: &str) -> u16 {
        self.ports[DOMAINS.iter().position(|known| *known == domain).unwrap()]
    }

    fn plain(&self, domain: &str, password: &str) -> Client {
        Client::plain(&self.context, &format!("tcp://127.0.0.1:{}", self.port(domain)), USER, password)
    }

    fn curve(&self, keys: &KeyPair) -> Client {
        Client::curve(&self.context, &format!("tcp://127.0.0.1:{}", self.port("keys")), keys, &self.key)
    }

    fn null(&self) -> Client {
        Client::null(&self.context, &format!("tcp://127.0.0.1:{}", self.port("open")))
    }

    /// A good client of each domain that isn't flooded, and a wrong one if there can be one.
    fn connect(&self) -> Vec<Duration> {
        let rightful: [&dyn Fn() -> Client; 4] =
            [&|| self.plain("file", PASSWORD), &|| self.plain("code", PASSWORD), &|| self.curve(&self.client), &|| {
                self.null()
            }];
        let took = rightful.map(|connect| {
            let start = Instant::now();
            connect().expect(Handshake::Authenticated);
            start.elapsed()
        });
        self.plain("file", "wrong").expect_denied();
        self.plain("code", "wrong").expect_denied();
        self.curve(&self.stranger).expect_denied();
        took.into()
    }

    /// All of them accepted; returns the 99th percentile of their durations.
    fn connect_all(&self, rounds: usize) -> Duration {
        let mut took: Vec<_> = (0..rounds).flat_map(|_| self.connect()).collect();
        took.sort();
        took[took.len() * 99 / 100 - 1]
    }

    fn under_flood(&self, server: &mut Worker, dir: &Path) -> Duration {
        let (done, guessed) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let (done, guessed) = (&done, &guessed);
            let _end = SetWhenDropped(done);
            let until_done = move |mut step: Box<dyn FnMut() + Send>| {
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        step();
                        std::thread::park_timeout(Duration::from_millis(10));
                    }
                })
            };
            // The clients are created here: a server isn't shared between threads.
            let context = self.context.clone();
            let [hashed, keys] = ["hashed", "keys"].map(|domain| self.port(domain));
            let mut guessers: Vec<Client> = Vec::new();
            until_done(Box::new(move || {
                let endpoint = format!("tcp://127.0.0.1:{hashed}");
                let guess = || Client::plain(&context, &endpoint, USER, "a guess");
                guessers.resize_with(GUESSERS, guess);
                for guesser in &mut guessers {
                    match guesser.wait_for_handshake(Duration::ZERO).unwrap() {
                        Some(Handshake::Denied(400)) => {
                            guessed.fetch_add(1, Ordering::Relaxed);
                            *guesser = guess();
                        }
                        Some(Handshake::Authenticated) => panic!("a wrong password was accepted"),
                        // 300: libzmq retries by itself.
                        _ => {}
                    }
                }
            }));
            let mut announced = Vec::new();
            until_done(Box::new(move || {
                if announced.len() == ANNOUNCERS {
                    announced.remove(0);
                }
                announced.extend(announce_much(keys));
            }));
            let (file, mut n) = (dir.join("file"), 0);
            until_done(Box::new(move || {
                n += 1;
                rewrite_in_place(&file, &content(n));
            }));
            let _stuck: Vec<_> = (0..STUCK).map(|_| self.plain("stuck", "any")).collect();
            wait_until("hung callbacks were replaced up to the bound", || server.ask("replaced?") == "64");
            wait_until("guesses were refused", || guessed.load(Ordering::Relaxed) >= 8);
            self.connect_all(ROUNDS)
        })
    }

    /// Strangers use up all descriptors; meanwhile, a key's file is removed.
    fn without_descriptors(&self, server: &mut Worker, dir: &Path) {
        let before = server.ask("exhaust");
        let held: Vec<_> = (0..64)
            .map(|_| TcpStream::connect(("127.0.0.1", self.port("open"))).expect("the backlog has room"))
            .collect();
        let [file, away] = [dir.join("keys").join(CLIENT), dir.join(CLIENT)];
        fs::rename(&file, &away).unwrap();
        let waiting = [self.plain("code", PASSWORD), self.null(), self.plain("code", PASSWORD), self.null()];
        // None of them uses the revoked key: it may take a moment until the removal of its file is noticed.
        let mut wrong = [self.plain("code", "wrong"), self.curve(&self.stranger)];
        for client in &mut wrong {
            let handshake = client.wait_for_handshake(Duration::from_millis(100)).unwrap();
            assert_ne!(handshake, Some(Handshake::Authenticated), "without descriptors");
        }
        // A store gives up its spare descriptor while it reads, and a client may be faster than the file.
        let early = |client: &mut Client| match client.wait_for_handshake(Duration::ZERO).unwrap() {
            None => false,
            Some(handshake) => {
                assert_eq!(handshake, Handshake::Authenticated);
                true
            }
        };
        let mut waiting = Vec::from(waiting);
        let _early: Vec<_> = waiting.extract_if(.., early).collect();
        assert!(!waiting.is_empty(), "there were descriptors left");
        drop(held);
        let end = Instant::now();
        server.ask(&before);
        for client in &mut waiting {
            client.expect(Handshake::Authenticated);
        }
        self.plain("file", PASSWORD).expect(Handshake::Authenticated);
        wait_until("the revocation is in force", || server.ask("keys?") == "0");
        self.curve(&self.client).expect_denied();
        println!("after the descriptors were back, {:?} until everybody was in", end.elapsed());
        assert!(end.elapsed() < Duration::from_secs(2), "{:?}", end.elapsed());
        fs::rename(&away, &file).unwrap();
        wait_until("the key is back", || server.ask("keys?") == "1");
        self.curve(&self.client).expect(Handshake::Authenticated);
        assert!(end.elapsed() < DEADLINE);
    }
}

/// A stranger that announces a command of 900 MiB, and sends a little of it. `None` if nobody accepts it.
fn announce_much(port: u16) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let mut says = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01CURVE".to_vec();
    says.resize(64, 0);
    says.push(6);
    says.extend_from_slice(&(900_u64 << 20).to_be_bytes());
    says.extend_from_slice(b"\x05HELLO");
    says.resize(4096, 0);
    stream.write_all(&says).ok()?;
    Some(stream)
}

/// Two writes with a pause between them; the first line stays as it is.
fn rewrite_in_place(file: &Path, content: &str) {
    let mut file = OpenOptions::new().write(true).open(file).unwrap();
    let (first, second) = content.as_bytes().split_at(content.len() - 10);
    file.rewind().unwrap();
    file.write_all(first).unwrap();
    std::thread::park_timeout(Duration::from_millis(20));
    file.write_all(second).unwrap();
}
