//! What is logged: each accepted client (info) and each refused one (warn), with mechanism, domain, address, the identity it
//! presented, and the reason. The target is `zmq_auth`; any logger works, and this example has a small one.
//!
//! ```sh
//! cargo run --example logging
//! ```

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use log::{Level, LevelFilter, Log, Metadata, Record};
use zmq_auth::{Authenticator, MonitoredSocket, SocketExt, zmq};

/// A deadline in case something is broken; nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(10);

/// No log line contains these, at any level.
const PASSWORDS: [&str; 2] = ["correct horse battery staple", "Tr0ub4dor&3"];

fn main() -> Result<()> {
    // Everything. In production, use `info`.
    log::set_logger(&LOGGER).map(|()| log::set_max_level(LevelFilter::Trace))?;

    let context = zmq::Context::new();
    let auth = Authenticator::new();
    auth.configure_plain("shop", [("alice", PASSWORDS[0])])?;
    let running = auth.start(&context)?;
    let mut server = context.socket(zmq::PULL)?;
    server.plain_server("shop")?;
    server.bind("tcp://127.0.0.1:*")?;
    let endpoint = server.get_last_endpoint()?.expect("endpoints are text");

    // Mallory tries to write her own line into the log.
    let forged = "mallory\n[INFO zmq_auth] allowed everybody";
    for (user, password) in [("alice", PASSWORDS[0]), ("alice", PASSWORDS[1]), (forged, PASSWORDS[1])] {
        let mut client = context.socket(zmq::PUSH)?;
        client.plain_client(user, password)?;
        client.set_linger(0)?;
        let mut client = MonitoredSocket::new(&context, client)?;
        client.connect(&endpoint)?;
        client.wait_for_handshake(PATIENCE)?.context("the client heard nothing")?;
    }
    // No log lines follow after this.
    running.stop()?;

    let lines = LOGGER.lines.lock().map(|lines| lines.clone()).unwrap_or_default();
    let having = |level: Level, words: &[&str]| {
        let level = format!("[{level} zmq_auth]");
        lines.iter().filter(|line| line.starts_with(&level) && words.iter().all(|word| line.contains(word))).count()
    };
    ensure!(having(Level::Info, &["allowed", "PLAIN", "shop", "127.0.0.1", "alice"]) == 1, "Alice's line is missing");
    ensure!(having(Level::Warn, &["denied", "PLAIN", "shop", "127.0.0.1", "alice"]) == 1, "her denial is missing");
    ensure!(having(Level::Warn, &["denied", "PLAIN", "shop", "127.0.0.1", "mallory\\n"]) == 1, "Mallory's is missing");
    ensure!(!lines.iter().any(|line| line.contains('\n')), "a client could forge a line");
    ensure!(!lines.iter().any(|line| PASSWORDS.iter().any(|word| line.contains(word))), "a password was logged");
    println!("One allowed, two denied; no forged line; no password in any of {} lines.", lines.len());
    Ok(())
}

/// Prints records, and keeps them so that this example can check them.
struct Stdout {
    lines: Mutex<Vec<String>>,
}

static LOGGER: Stdout = Stdout { lines: Mutex::new(Vec::new()) };

impl Log for Stdout {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.target() == "zmq_auth"
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = format!("[{} {}] {}", record.level(), record.target(), record.args());
        println!("{line}");
        if let Ok(mut lines) = self.lines.lock() {
            lines.push(line);
        }
    }

    fn flush(&self) {}
}
