//! The guarded server of the hostile half, in the process that is measured. Its logger panics now and then.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use zmq_auth::{Authenticator, KeyDirectory, KeyPair, PasswordFile, SocketExt};

use crate::harness::system::{give_back_free_memory, limit_descriptors};
use crate::harness::usage::{descriptors, resident};
use crate::harness::wait_until;
use crate::harness::worker::{next_command, report};

/// The domains, each with its own socket. Strangers flood the first two; the others have good clients.
pub(crate) const DOMAINS: [&str; 6] = ["hashed", "stuck", "file", "code", "keys", "open"];
pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "zanzibar hostile";
/// For "password": 64 MiB a guess.
pub(crate) const HASHED: &str =
    "alice=$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc\n";

/// The certificate of the good client, in the directory `keys`.
pub(crate) const CLIENT: &str = "client.key";

/// Panics at every hundredth record.
struct Panicky(AtomicU64);

static LOGGER: Panicky = Panicky(AtomicU64::new(0));

impl log::Log for Panicky {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        // Formatted, as a logger would do.
        let text = record.args().to_string();
        assert!(self.0.fetch_add(1, Ordering::Relaxed) % 100 != 99, "the logger of the program panics at: {text}");
    }

    fn flush(&self) {}
}

pub(crate) fn serve(on_tokio: bool, dir: &Path) {
    // Don't print thousands of messages.
    std::panic::set_hook(Box::new(|_| {}));
    log::set_logger(&LOGGER).expect("no other logger in the child");
    log::set_max_level(log::LevelFilter::Trace);
    let auth = Authenticator::new();
    let (hashed, file) =
        (PasswordFile::open(dir.join("hashed")).unwrap(), PasswordFile::open(dir.join("file")).unwrap());
    file.watch().unwrap();
    let (client, server) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    auth.limit_callbacks(64, Duration::from_secs(2)).unwrap();
    auth.configure_plain_file("hashed", &hashed).unwrap();
    auth.configure_plain_callback("stuck", |_, _, _| loop_for_ever()).unwrap();
    auth.configure_plain_file("file", &file).unwrap();
    auth.configure_plain_callback("code", |user, password, _| user == USER && password == PASSWORD).unwrap();
    let keys = dir.join("keys");
    std::fs::create_dir(&keys).unwrap();
    zmq_auth::save_certificate(keys.join(CLIENT), &client.public, None).unwrap();
    let keys = KeyDirectory::open(keys).unwrap();
    keys.watch().unwrap();
    auth.configure_curve_store("keys", &keys).unwrap();
    let context = zmq::Context::new();
    // Without the harness, which has its own logger.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _in_task = on_tokio.then(|| runtime.block_on(auth.start_async(&context)).unwrap());
    let _in_thread = (!on_tokio).then(|| auth.start(&context).unwrap());
    let sockets = DOMAINS.map(|domain| {
        let mut socket = context.socket(zmq::REP).unwrap();
        socket.set_linger(0).unwrap();
        socket.set_maxmsgsize(1024 * 1024).unwrap();
        // Strangers whose callback hangs return soon.
        socket.set_handshake_ivl(3_000).unwrap();
        match domain {
            "keys" => socket.curve_server(&server, domain),
            "open" => socket.null_server(domain),
            _ => socket.plain_server(domain),
        }
        .unwrap();
        socket.bind("tcp://127.0.0.1:*").unwrap();
        socket
    });
    let ports = sockets.each_ref().map(|socket| socket.endpoint().unwrap().rsplit(':').next().unwrap().to_owned());
    report(&format!("{} {} {}", server.public, *client.secret.to_z85(), ports.join(" ")));
    // libzmq frees connections on the thread that uses the socket, so somebody must keep reading from it.
    let (done, is_done) = channel::<()>();
    let reader = thread::spawn(move || {
        while is_done.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
            for socket in &sockets {
                let _ = socket.recv_bytes(zmq::DONTWAIT);
            }
        }
    });
    let pid = std::process::id();
    while let Some(order) = next_command() {
        let counters = auth.counters();
        report(&match order.as_str() {
            "memory?" => {
                wait_until("the last guesses are hashed", || !is_hashing());
                give_back_free_memory();
                resident(pid).to_string()
            }
            "descriptors?" => descriptors(pid).to_string(),
            "replaced?" => counters.calls_replaced.to_string(),
            "keys?" => keys.status().entries.to_string(),
            // What is open may go on, but only a few new descriptors can be opened.
            "exhaust" => limit_descriptors(descriptors(pid) as u64 + 8).to_string(),
            limit => limit_descriptors(limit.parse().unwrap()).to_string(),
        });
    }
    drop(done);
    reader.join().unwrap();
}

/// Whether a thread is hashing passwords: each takes 64 MiB.
fn is_hashing() -> bool {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok())
        .any(|name| name.starts_with("zmq-auth-hash"))
}

fn loop_for_ever() -> bool {
    loop {
        thread::park();
    }
}
