//! Keys in a database: an async callback looks each client up. Reads block, so they go to tokio's blocking threads; a
//! cache with a lifetime keeps clients that come back from being looked up each time. What is shown: a known key is let
//! in under its name, an unknown one isn't, a key that was removed is kept out once the cache's lifetime is over (at
//! once, where the one who removes it says so to the cache), and a database that fails lets nobody in.
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

/// Who was let in may still be let in for so long after the key was removed from the database behind our back.
const LIFETIME: Duration = Duration::from_millis(500);
/// Nothing here takes that long: it bounds the wait where something is broken.
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

    // The one who removes a key tells the cache.
    register.remove(&bob.public)?;
    register.cache.invalidate(&bob.public).await;
    let seen = club.visit(&bob).await?;
    println!("Bob, removed, and the cache was told: {seen}");
    ensure!(seen == "denied (400)", "Bob was removed, and the cache knows");

    // Another program removes one: the cache isn't told, and forgets by itself.
    register.remove(&alice.public)?;
    let removed = Instant::now();
    let mut visits = 0;
    while club.visit(&alice).await? != "denied (400)" {
        visits += 1;
        ensure!(
            removed.elapsed() < LIFETIME + PATIENCE,
            "Alice is still let in {:?} after her removal",
            removed.elapsed()
        );
    }
    println!("Alice, removed behind the cache's back: let in {visits} times more, then denied (400)");
    println!("    (an entry of the cache lives {LIFETIME:?}, however often it is read)");

    register.break_it()?;
    let seen = club.visit(&KeyPair::generate()?).await?;
    println!("Anybody, when the database fails: {seen}");
    ensure!(seen == "denied (500)", "a database that fails lets nobody in");

    running.stop().await?;
    Ok(())
}

/// Who may come in, by key.
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
        // Strangers make entries too: bounded, so that they can't fill the memory.
        let cache = Cache::builder().time_to_live(LIFETIME).max_capacity(10_000).build();
        Ok(Register { database, cache })
    }

    /// The callback. Its errors are faults: 500 for this client, who isn't let in.
    async fn decide(self: Arc<Self>, key: PublicKey) -> Result<Verdict, Arc<anyhow::Error>> {
        let register = self.clone();
        // Clients that come with the same key at the same time wait for one lookup. Errors aren't kept.
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

    /// From now on there is no such table.
    fn break_it(&self) -> Result<()> {
        let write = self.database.begin_write()?;
        write.delete_table(CLIENTS)?;
        Ok(write.commit()?)
    }
}

/// The guarded server, and what a client needs to know of it.
struct Club {
    context: zmq::Context,
    server: zmq::Socket,
    endpoint: String,
    key: PublicKey,
}

impl Club {
    /// One new client: how its handshake ends, and whom the server takes it for if its message arrives.
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
        // The message is on its way: the wait is for the network, and short.
        let message = self.server.recv_with_sender(0)?;
        drop(client);
        Ok(format!("{seen}, as {}", message.sender().user_id().unwrap_or("nobody")))
    }
}
