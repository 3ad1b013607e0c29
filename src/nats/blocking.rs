//! The blocking connection of administrators.

use std::thread;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::kv::Store;
use async_nats::jetstream::{self, Context};
use tokio::runtime::{self, Runtime};

use super::connect::{NatsBucket, NoWords, PATIENCE, failed, unsuitable};
use crate::error::{Error, Result};

/// A bucket, its client, and the runtime that the client lives in. Dropping it discards whatever the client has queued.
pub(super) struct Connection {
    runtime: Blocking,
    pub(super) client: Client,
    pub(super) store: Store,
}

impl Connection {
    pub(super) fn to(bucket: &NatsBucket) -> Result<Self> {
        let runtime = Blocking::new()?;
        let (client, store) = runtime.wait(async {
            let client = bucket.connect("zmq-auth", INBOX, NoWords::new()).await?;
            let store = context(&client, PATIENCE).get_key_value(&bucket.bucket).await;
            Ok((client, store.map_err(|error| failed("find the bucket", &error))?))
        })?;
        match unsuitable(&store.stream.cached_info().config) {
            Some(problem) => Err(Error::Nats { action: "use the bucket", problem: problem.into() }),
            None => Ok(Connection { runtime, client, store }),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    pub(super) fn wait<T: Send>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.runtime.wait(work)
    }
}

/// A context whose requests wait this long for their answers.
pub(super) fn context(client: &Client, patience: Duration) -> Context {
    let mut context = jetstream::new(client.clone());
    context.set_timeout(patience);
    context
}

/// The inbox prefix of administrators. Each server has one that another server's login can't read.
pub(super) const INBOX: &str = "_INBOX";

/// A runtime for blocking calls.
pub(super) struct Blocking(Option<Runtime>);

impl Blocking {
    pub(super) fn new() -> Result<Self> {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Ok(Blocking(Some(runtime.map_err(Error::Thread)?)))
    }

    /// Blocks in a new thread: a thread of another runtime isn't allowed to block on this one.
    pub(super) fn wait<T: Send>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let Some(runtime) = &self.0 else { return Err(Error::Runtime("the runtime has ended".into())) };
        let waited = thread::scope(|scope| scope.spawn(|| runtime.block_on(work)).join());
        waited.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        // Doesn't wait, which a task of another runtime isn't allowed to.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
