//! Keys in a database, which an async callback queries for each client. Queries block, so they run on tokio's blocking threads;
//! a cache with a lifetime saves queries for clients that reconnect. It shows that a known key is accepted with its user id, an
//! unknown one is refused, a removed key is refused once its cache entry has expired (or at once, if whoever removes it also
//! tells the cache), and that nobody is accepted while the database fails.
//!
//! ```sh
//! cargo run -p async_database
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use moka::future::Cache;
use redb::{Database, ReadableDatabase, TableDefinition};
use tokio::task::spawn_blocking;
use zmq_auth::{Authenticator, Handshake, KeyPair, Metadata, MonitoredSocket, PublicKey, SocketExt, Verdict, zmq};

/// How long a client may still be accepted after another program has removed its key from the database.
const LIFETIME: Duration = Duration::from_millis(500);
/// A deadline in case something is broken; nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(10);

const CLIENTS: TableDefinition<&[u8; 32], &str> = TableDefinition::new("clients");

#[tokio::main]
async fn main() -> Result<()> {
    let (server_keys, alice, bob, mallory) =
        (KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?);
    let directory = tempfile::tempdir()?;
    let register = Arc::new(Register::create(&directory.path().join("clients.redb"))?);
    register.add(&alice.public, "alice")?;
    register.add(&bob.public, "bob")?;

    let auth = Authenticator::new();
    let lookup = register.clone();
    auth.configure_curve_callback_async("club", move |key, _peer| lookup.clone().decide(key))?;
    let context = zmq::Context::new();
    let running = auth.start_async(&context).await?;

    let mut server = context.socket(zmq::PULL)?;
    server.curve_server(&server_keys, "club")?;
    server.set_rcvtimeo(PATIENCE.as_millis() as i32)?;
    server.bind("tcp://127.0.0.1:*")?;
    let mut club = Club {
        endpoint: server.get_last_endpoint()?.expect("endpoints are text"),
        context,
        server,
        key: server_keys.public,
    };

    let seen = club.visit(&alice).await?;
    println!("Alice, who is in the database: {seen}");
    ensure!(seen == "authenticated, as alice", "Alice is in the database");
    let seen = club.visit(&bob).await?;
    println!("Bob, who is too: {seen}");
    ensure!(seen == "authenticated, as bob", "Bob is in the database");
    let seen = club.visit(&mallory).await?;
    println!("Mallory, who isn't: {seen}");
    ensure!(seen == "denied (400)", "Mallory is not in the database");

    // Removing a key through the register also tells the cache.
    register.remove(&bob.public)?;
    register.cache.invalidate(&bob.public).await;
    let seen = club.visit(&bob).await?;
    println!("Bob, removed, and the cache was told: {seen}");
    ensure!(seen == "denied (400)", "Bob was removed, and the cache knows");

    // Another program removes one: the cache isn't told, and its entry expires.
    register.remove(&alice.public)?;
    let removed = Instant::now();
    let mut visits = 0;
    while club.visit(&alice).await? != "denied (400)" {
        visits += 1;
        ensure!(
            removed.elapsed() < LIFETIME + PATIENCE,
            "Alice is still accepted {:?} after her removal",
            removed.elapsed()
        );
    }
    println!("Alice, removed behind the cache's back: accepted {visits} times more, then denied (400)");
    println!("    (an entry of the cache lives {LIFETIME:?}, however often it is read)");

    register.break_it()?;
    let seen = club.visit(&KeyPair::generate()?).await?;
    println!("Anybody, when the database fails: {seen}");
    ensure!(seen == "denied (500)", "a database that fails lets nobody in");

    running.stop().await?;
    Ok(())
}

/// The accepted clients, by key.
struct Register {
    database: Database,
    /// `None` for keys that aren't in the database.
    cache: Cache<PublicKey, Option<Arc<str>>>,
}

impl Register {
    fn create(file: &Path) -> Result<Self> {
        let database = Database::create(file)?;
        let write = database.begin_write()?;
        write.open_table(CLIENTS)?;
        write.commit()?;
        // Unknown keys are cached too: the size is limited, so that strangers can't fill the memory.
        let cache = Cache::builder().time_to_live(LIFETIME).max_capacity(10_000).build();
        Ok(Register { database, cache })
    }

    /// The callback. Its errors are faults: 500 for this client.
    async fn decide(self: Arc<Self>, key: PublicKey) -> Result<Verdict, Arc<anyhow::Error>> {
        let register = self.clone();
        // Concurrent clients with the same key share one query. Errors aren't cached.
        let name =
            self.cache.try_get_with(key, async move { spawn_blocking(move || register.read(&key)).await? }).await?;
        Ok(match name {
            Some(name) => Verdict::AllowAs { user_id: name.to_string(), metadata: Metadata::default() },
            None => Verdict::Deny("not in the database".into()),
        })
    }

    fn read(&self, key: &PublicKey) -> Result<Option<Arc<str>>> {
        let table = self.database.begin_read()?.open_table(CLIENTS)?;
        Ok(table.get(key.as_bytes())?.map(|name| name.value().into()))
    }

    fn add(&self, key: &PublicKey, name: &str) -> Result<()> {
        let write = self.database.begin_write()?;
        write.open_table(CLIENTS)?.insert(key.as_bytes(), name)?;
        Ok(write.commit()?)
    }

    fn remove(&self, key: &PublicKey) -> Result<()> {
        let write = self.database.begin_write()?;
        write.open_table(CLIENTS)?.remove(key.as_bytes())?;
        Ok(write.commit()?)
    }

    /// Drops the table, so that queries fail from now on.
    fn break_it(&self) -> Result<()> {
        let write = self.database.begin_write()?;
        write.delete_table(CLIENTS)?;
        Ok(write.commit()?)
    }
}

/// The guarded server, and what a client needs to connect.
struct Club {
    context: zmq::Context,
    server: zmq::Socket,
    endpoint: String,
    key: PublicKey,
}

impl Club {
    /// Connects one new client; returns the outcome of its handshake, and the user id if its message arrives.
    async fn visit(&mut self, keys: &KeyPair) -> Result<String> {
        let (context, endpoint, server, keys) = (self.context.clone(), self.endpoint.clone(), self.key, keys.clone());
        let (client, seen) = spawn_blocking(move || {
            let mut client = context.socket(zmq::PUSH)?;
            client.curve_client(&keys, &server)?;
            client.set_linger(0)?;
            let mut client = MonitoredSocket::new(&context, client)?;
            client.connect(&endpoint)?;
            client.send("hello", 0)?;
            let seen = client.wait_for_handshake(PATIENCE)?.context("the client heard nothing")?;
            anyhow::Ok((client, seen))
        })
        .await??;
        if seen != Handshake::Authenticated {
            return Ok(seen.to_string());
        }
        // The message is in flight, so this wait is short.
        let message = self.server.recv_with_sender(0)?;
        drop(client);
        Ok(format!("{seen}, as {}", message.sender().user_id().unwrap_or("nobody")))
    }
}
