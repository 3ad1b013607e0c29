//! Keys in an SQL database that is polled and pushed into the policy, so that handshakes are decided in memory. It shows that a
//! change in the database applies a moment later; that while the database is unreachable, decisions go on for as long as the
//! program allows (here, two seconds), and then clients get 300; that when it is back, so are the clients, except
//! those that were removed meanwhile; that a bad row refuses only its own key; and that a database which replaces the first
//! one is noticed.
//!
//! ```sh
//! cargo run -p polled_database
//! ```

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, OpenFlags, Row};
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
    println!("Bob, removed from the database: {}", visit(&bob, Handshake::Denied(400))?);

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

    // A restored copy, say. Whoever had only the old file open would follow it for ever.
    let restored = directory.path().join("restored.sqlite");
    let copy = Connection::open(&restored)?;
    copy.execute("CREATE TABLE staff (name TEXT PRIMARY KEY, public_key BLOB NOT NULL, leaves TEXT)", ())?;
    copy.execute("INSERT INTO staff VALUES ('Alice', ?1, NULL)", [alice.public.as_bytes()])?;
    copy.execute("INSERT INTO staff VALUES ('Bob', ?1, 'soon')", [bob.public.as_bytes()])?;
    copy.execute("INSERT INTO staff VALUES ('Carol', x'00', NULL)", ())?;
    drop(copy);
    fs::rename(&restored, &file)?;
    while credentials.status().keys != 1 {
        ensure!(deleted.elapsed() < 5 * PATIENCE, "the new database is not read");
        thread::yield_now();
    }
    println!("Alice, in the database that took its place: {}", visit(&alice, Handshake::Authenticated)?);
    println!("Bob, whose row can't be used: {}", visit(&bob, Handshake::Denied(400))?);

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
        let mut database = Database::open(file)?;
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || poll(&mut database, &credentials, &stopped));
        Ok(Polling { stop, thread })
    }

    fn stop(self) -> Result<()> {
        drop(self.stop);
        self.thread.join().map_err(|_| anyhow::anyhow!("the polling thread has panicked"))
    }
}

fn poll(database: &mut Database, credentials: &PushedCredentials, stopped: &Receiver<()>) {
    loop {
        // Taken before the query: a later change may be missing in the answer.
        let asked = Moment::now();
        match database.update(credentials) {
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

/// The file as it was opened, and the version of what was pushed last.
struct Database {
    file: PathBuf,
    connection: Connection,
    identity: (u64, u64),
    known: Option<i64>,
}

/// Its device and inode: they tell a file from another one that has its name later.
fn identity(file: &Path) -> Result<(u64, u64)> {
    let metadata = fs::metadata(file)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Database {
    fn open(file: &Path) -> Result<Self> {
        let before = identity(file)?;
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        // A database that is locked is asked again soon: no waiting for it meanwhile.
        connection.busy_timeout(Duration::ZERO)?;
        ensure!(identity(file)? == before, "it was replaced just now");
        Ok(Database { file: file.to_owned(), connection, identity: before, known: None })
    }

    /// Reads the table if another connection has changed anything since the last time, and pushes it.
    fn update(&mut self, credentials: &PushedCredentials) -> Result<()> {
        if identity(&self.file)? != self.identity {
            *self = Database::open(&self.file)?;
        }
        let version = self.connection.query_row("PRAGMA data_version", (), |row| row.get(0))?;
        if self.known != Some(version) {
            credentials.replace_keys(self.keys()?)?;
            self.known = Some(version);
        }
        // Where nothing has changed, too, the answer came from the file itself, which nobody had locked: that is contact.
        // From the same file, that is: one that took its place meanwhile is another.
        ensure!(identity(&self.file)? == self.identity, "it was replaced just now");
        Ok(())
    }

    fn keys(&self) -> Result<Vec<(PublicKey, Metadata)>> {
        let mut all = self.connection.prepare("SELECT name, public_key, leaves FROM staff")?;
        let mut rows = all.query(())?;
        // Takes each by itself: a batch with one that can't be used would be refused as a whole.
        let (mut keys, trial) = (Vec::new(), PushedCredentials::new("rows"));
        while let Some(row) = rows.next()? {
            match entry(row, &trial) {
                Ok(entry) => keys.push(entry),
                // Its key isn't pushed, so it is refused. The others stand.
                Err(error) => log(&error),
            }
        }
        Ok(keys)
    }
}

fn entry(row: &Row<'_>, trial: &PushedCredentials) -> Result<(PublicKey, Metadata)> {
    let key = PublicKey::from(row.get::<_, [u8; 32]>(1)?);
    let mut metadata = Metadata::default();
    metadata.insert("name", row.get::<_, String>(0)?)?;
    if let Some(leaves) = row.get::<_, Option<String>>(2)? {
        metadata.insert("not-after", leaves)?;
    }
    trial.put_key(key, &metadata)?;
    Ok((key, metadata))
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
