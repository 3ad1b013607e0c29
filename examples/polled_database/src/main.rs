//! Keys in an SQL database that is polled and pushed into the policy, so that handshakes are decided in memory. It shows that a
//! change in the database applies a moment later; that while the database is unreachable, decisions go on for as long as the
//! program allows (here, two seconds), and then clients get 300; and that when it is back, so are the clients, except
//! those that were removed meanwhile.
//!
//! ```sh
//! cargo run -p polled_database
//! ```

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use zmq_auth::{
    Authenticator, EventKind, Handshake, KeyPair, Metadata, Moment, MonitoredSocket, OnStale, PublicKey,
    PushedCredentials, SocketExt, zmq,
};

/// How often the database is queried.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long decisions go on without the database.
const MAX_AGE: Duration = Duration::from_secs(2);
/// A deadline in case something is broken; nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("staff.sqlite");
    let staff = Connection::open(&file)?;
    staff.execute("CREATE TABLE staff (name TEXT PRIMARY KEY, public_key BLOB NOT NULL, leaves TEXT)", ())?;
    let (server_keys, alice, bob) = (KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?);
    for (name, keys) in [("Alice", &alice), ("Bob", &bob)] {
        staff.execute("INSERT INTO staff (name, public_key) VALUES (?1, ?2)", (name, keys.public.as_bytes()))?;
    }

    let auth = Authenticator::new();
    let events = auth.events(100);
    let credentials = PushedCredentials::new("the staff database");
    credentials.limit_age(MAX_AGE, OnStale::Refuse)?;
    auth.configure_curve_pushed("office", &credentials)?;
    let polling = Polling::start(&file, credentials.clone())?;
    let context = zmq::Context::new();
    let running = auth.start(&context)?;
    let mut server = context.socket(zmq::PULL)?;
    server.curve_server(&server_keys, "office")?;
    server.bind("tcp://127.0.0.1:*")?;
    let connect = |keys| connect(&context, &server.endpoint()?, keys, &server_keys.public);
    let visit = |keys, wanted: Handshake| -> Result<Handshake> {
        let seen = connect(keys)?.wait_for_handshake(PATIENCE)?.context("the client hears nothing")?;
        ensure!(seen == wanted, "{seen}, not {wanted}");
        Ok(seen)
    };
    let wait_for = |wanted| -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while events.next_timeout(PATIENCE).context("nothing happens")?.kind != wanted {
            ensure!(Instant::now() < end, "no event {wanted:?}");
        }
        Ok(())
    };

    wait_for(EventKind::StoreCaughtUp)?;
    println!("The database was read: {} keys", credentials.status().keys);
    println!("Alice: {}", visit(&alice, Handshake::Authenticated)?);

    staff.execute("DELETE FROM staff WHERE name = 'Bob'", ())?;
    let deleted = Instant::now();
    while credentials.status().keys != 1 {
        ensure!(deleted.elapsed() < PATIENCE, "Bob is still accepted");
        thread::yield_now();
    }
    println!("Bob, whom the database has no more: {}", visit(&bob, Handshake::Denied(400))?);

    // An exclusive lock keeps everybody else from querying the database.
    staff.execute_batch("BEGIN EXCLUSIVE; DELETE FROM staff")?;
    println!("Alice, while the database is locked: {}", visit(&alice, Handshake::Authenticated)?);
    wait_for(EventKind::StoreBehind)?;
    let _alice = connect(&alice)?;
    wait_for(EventKind::Retry)?;
    println!("Alice, {MAX_AGE:?} later: told to retry");

    staff.execute_batch("COMMIT")?;
    wait_for(EventKind::StoreCaughtUp)?;
    println!("Alice, removed meanwhile: {}", visit(&alice, Handshake::Denied(400))?);

    polling.stop()?;
    running.stop()?;
    Ok(())
}

/// Queries the database repeatedly on its own thread, until it is stopped.
struct Polling {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Polling {
    fn start(file: &Path, credentials: PushedCredentials) -> Result<Self> {
        let database = Connection::open(file)?;
        // Don't wait for a locked database: it is queried again soon.
        database.busy_timeout(Duration::ZERO)?;
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || poll(&database, &credentials, &stopped));
        Ok(Polling { stop, thread })
    }

    fn stop(self) -> Result<()> {
        drop(self.stop);
        self.thread.join().map_err(|_| anyhow::anyhow!("the polling thread has panicked"))
    }
}

fn poll(database: &Connection, credentials: &PushedCredentials, stopped: &Receiver<()>) {
    let mut version = None;
    loop {
        // Taken before the query: a later change may be missing in the answer.
        let asked = Moment::now();
        match update(database, credentials, &mut version) {
            Ok(()) => credentials.caught_up(asked),
            // Without contact, everybody gets 300 in the end: nothing more to do here.
            Err(error) => log(&error),
        }
        if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn log(error: &anyhow::Error) {
    // A real program would log it.
    let _ = error;
}

/// If another connection has changed anything since the last time, reads the table and pushes it.
fn update(database: &Connection, credentials: &PushedCredentials, known: &mut Option<i64>) -> Result<()> {
    let version = database.query_row("PRAGMA data_version", (), |row| row.get(0))?;
    if *known == Some(version) {
        // The answer came from the file itself, which was not locked: that is contact.
        return Ok(());
    }
    let mut all = database.prepare("SELECT name, public_key, leaves FROM staff")?;
    let rows = all.query_map((), |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, [u8; 32]>(1)?, row.get::<_, Option<String>>(2)?))
    })?;
    let mut keys = Vec::new();
    for row in rows {
        let (name, key, leaves) = row?;
        let mut metadata = Metadata::default();
        metadata.insert("name", name)?;
        if let Some(leaves) = leaves {
            metadata.insert("not-after", leaves)?;
        }
        keys.push((PublicKey::from(key), metadata));
    }
    credentials.replace_keys(keys)?;
    *known = Some(version);
    Ok(())
}

/// Connects one new client, and returns the outcome of its handshake.
fn connect(context: &zmq::Context, endpoint: &str, keys: &KeyPair, server: &PublicKey) -> Result<MonitoredSocket> {
    let mut client = context.socket(zmq::PUSH)?;
    client.curve_client(keys, server)?;
    client.set_linger(0)?;
    let client = MonitoredSocket::new(context, client)?;
    client.connect(endpoint)?;
    Ok(client)
}
