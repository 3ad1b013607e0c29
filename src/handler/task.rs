//! The tokio front end: the guard, and the task that waits for libzmq's descriptor.

use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

use super::DROPPED_UNUSED;
use super::async_calls::AsyncCalls;
use super::engine::NewCall;
use super::pool::Pool;
use super::socket::{Batch, ZapSocket};
use crate::audit::{Counters, EventKind};
use crate::authenticator::Authenticator;
use crate::callback::Decision;
use crate::error::{Error, Result};
use crate::ffi::{Errno, HandlerSocket};

/// How long running callbacks may delay the end of the task.
const GRACE: Duration = Duration::from_millis(300);

/// A handler in a tokio task, and the policy that it serves. Stops when dropped.
///
/// It is [`ThreadAuthenticator`](crate::ThreadAuthenticator) for tokio programs: the same policy and rules, without a thread
/// of its own. It also runs async callbacks, by default up to 1,024 at once. Sync callbacks still get threads, so that they
/// can't block the runtime.
///
/// The endpoint is bound before [`start`](AsyncAuthenticator::start) returns. Only [`stop`](AsyncAuthenticator::stop)
/// guarantees that it is free again; dropping frees it once the runtime has run the task. The handler also ends with the
/// runtime or the context.
///
/// ```
/// use zmq_auth::{AsyncAuthenticator, zmq};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> zmq_auth::Result<()> {
/// let context = zmq::Context::new();
/// let auth = AsyncAuthenticator::start(&context).await?;
/// auth.configure_curve_callback_async("lab", |key, _peer| async move {
///     tokio::task::yield_now().await; // look the key up somewhere
///     key.as_bytes()[0] == 7
/// })?;
/// auth.stop().await
/// # }
/// ```
#[must_use = "the handler stops as soon as this is dropped: bind it to a name (`let _auth = …`, not `let _ = …`)"]
#[derive(Debug)]
pub struct AsyncAuthenticator {
    authenticator: Authenticator,
    at_start: Counters,
    control: Arc<TaskControl>,
    task: Option<JoinHandle<()>>,
}

/// What the guard, the pool and the task share.
#[derive(Debug, Default)]
struct TaskControl {
    stop: AtomicBool,
    changed: Notify,
}

impl Authenticator {
    /// Starts a handler in a task of the current tokio runtime, with this policy. A policy can be started again after it
    /// stopped, and in several contexts at once.
    ///
    /// **The task needs the runtime**: on a `current_thread` runtime, a blocking receive (`socket.recv_bytes(0)`) in another
    /// task blocks the handler, and the client that it waits for is never accepted. Receive with `zmq::DONTWAIT`, through
    /// `tmq`, or in `spawn_blocking`, or use the handler thread of [`start`](Authenticator::start).
    ///
    /// # Errors
    /// As [`start`](Authenticator::start); [`Error::Runtime`] outside a runtime with I/O and time drivers.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> zmq_auth::Result<()> {
    /// let context = zmq_auth::zmq::Context::new();
    /// let auth = zmq_auth::Authenticator::new();
    /// auth.deny(["10.0.0.66"])?;
    /// let running = auth.start_async(&context).await?;
    /// assert!(running.is_running());
    /// # Ok(()) }
    /// ```
    pub async fn start_async(&self, context: &zmq::Context) -> Result<AsyncAuthenticator> {
        let runtime = Handle::try_current().map_err(|error| Error::Runtime(error.to_string()))?;
        let socket = ZapSocket::open(self.clone(), context)?;
        let control = Arc::new(TaskControl::default());
        let wake = {
            let control = control.clone();
            move || control.changed.notify_one()
        };
        let server = HandlerTask {
            readiness: register(&socket.socket)?,
            socket,
            context: ContextGuard(Some(context.clone())),
            pool: Pool::new(Arc::new(wake)),
            async_calls: AsyncCalls::new(),
            control: control.clone(),
        };
        let at_start = self.counters();
        let task = runtime.spawn(server.run());
        log_debug!("handler started");
        self.audit().publish(EventKind::Started, "handler task started");
        Ok(AsyncAuthenticator { authenticator: self.clone(), at_start, control, task: Some(task) })
    }
}

impl AsyncAuthenticator {
    /// Starts a handler with a new [`Authenticator`], which accepts NULL clients and refuses all others until it is configured.
    ///
    /// # Errors
    /// As [`Authenticator::start_async`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> zmq_auth::Result<()> {
    /// let context = zmq_auth::zmq::Context::new();
    /// let auth = zmq_auth::AsyncAuthenticator::start(&context).await?;
    /// auth.allow(["127.0.0.1"])?;
    /// # Ok(()) }
    /// ```
    pub async fn start(context: &zmq::Context) -> Result<Self> {
        Authenticator::new().start_async(context).await
    }

    /// Frees the ZAP endpoint and ends the task. Clients that still wait for a decision get 300, and running async callbacks
    /// are cancelled.
    ///
    /// If a future never returns to the runtime, this returns only if the runtime has another thread. On a runtime that
    /// nobody drives, it waits forever. Don't call `zmq::Context::destroy` on the only thread of a runtime before this has
    /// returned: it would wait for a task that can't run.
    ///
    /// # Errors
    /// None so far.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> zmq_auth::Result<()> {
    /// # let context = zmq_auth::zmq::Context::new();
    /// let auth = zmq_auth::AsyncAuthenticator::start(&context).await?;
    /// let policy = auth.clone(); // the Authenticator
    /// auth.stop().await?;
    /// let again = policy.start_async(&context).await?;
    /// # Ok(()) }
    /// ```
    pub async fn stop(mut self) -> Result<()> {
        self.control.end();
        if let Some(task) = self.task.take() {
            // An error means that the runtime has ended, and the task with it.
            let _ = task.await;
        }
        Ok(())
    }

    /// Whether the handler answers requests. `false` once the context or the runtime has ended.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> zmq_auth::Result<()> {
    /// # let context = zmq_auth::zmq::Context::new();
    /// assert!(zmq_auth::AsyncAuthenticator::start(&context).await?.is_running());
    /// # Ok(()) }
    /// ```
    pub fn is_running(&self) -> bool {
        self.task.as_ref().is_some_and(|task| !task.is_finished())
    }
}

impl Deref for AsyncAuthenticator {
    type Target = Authenticator;

    fn deref(&self) -> &Authenticator {
        &self.authenticator
    }
}

impl Drop for AsyncAuthenticator {
    fn drop(&mut self) {
        if self.is_running() && self.authenticator.counters() == self.at_start {
            log_warn!("{DROPPED_UNUSED}");
        }
        self.control.end();
    }
}

impl TaskControl {
    fn end(&self) {
        self.stop.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// Registers the descriptor. tokio panics if its runtime has no driver for I/O or time; this returns an error.
fn register(socket: &HandlerSocket) -> Result<AsyncFd<OwnedFd>> {
    let registered = catch_unwind(AssertUnwindSafe(|| {
        let _time = tokio::time::sleep(Duration::ZERO);
        socket.readiness()
    }));
    match registered {
        Ok(registered) => registered.map_err(|error| Error::Runtime(error.to_string())),
        Err(_) => Err(Error::Runtime("the runtime has no I/O or time driver".into())),
    }
}

/// The state of the task, in the order in which it is dropped with the runtime: the socket is closed before the context may
/// end.
struct HandlerTask {
    readiness: AsyncFd<OwnedFd>,
    socket: ZapSocket,
    context: ContextGuard,
    pool: Pool,
    async_calls: AsyncCalls,
    control: Arc<TaskControl>,
}

/// Keeps the context from ending. The thread that would run the task may drop the program's last handle on the context,
/// which must not wait for our socket then.
struct ContextGuard(Option<zmq::Context>);

impl ContextGuard {
    /// After the context has ended, we must not end it again.
    fn forget(&mut self) {
        std::mem::forget(self.0.take());
    }
}

impl Drop for ContextGuard {
    fn drop(&mut self) {
        // If this is the last handle, the context ends here, and waits for what other sockets still have to send. That
        // must not block a thread of the runtime. If no thread can be started, the context doesn't end at all.
        if let Some(context) = self.0.take() {
            let spawned = std::thread::Builder::new().name("zmq-auth-context".into()).spawn(move || drop(context));
            if let Err(error) = spawned {
                log_error!("cannot start a thread to release the context: {error}");
            }
        }
    }
}

impl HandlerTask {
    async fn run(mut self) {
        let panicked = PanicLog;
        let served = self.serve().await;
        std::mem::forget(panicked);
        match served {
            Ok(()) => {
                // Even without a reply its client is refused, because the endpoint is gone.
                let _ = self.socket.reject_pending();
                log_debug!("handler stopped");
            }
            Err(Errno::TERMINATED) => {
                self.context.forget();
                log_debug!("handler stopped: its context was terminated");
            }
            Err(error) => log_error!("handler stopped: libzmq failed: {error}"),
        }
        let HandlerTask { readiness, socket, context, mut pool, mut async_calls, control } = self;
        let authenticator = socket.authenticator().clone();
        drop(readiness);
        drop(socket);
        drop(context);
        // A callback that doesn't return to the runtime can't be cancelled, and isn't waited for.
        let _ = timeout(GRACE, async_calls.shutdown()).await;
        let _ = timeout(GRACE, async {
            loop {
                while pool.next_decision(1).is_some() {}
                if pool.busy() == 0 {
                    break;
                }
                control.changed.notified().await;
            }
        })
        .await;
        authenticator.audit().abandoned(pool.stop(Duration::ZERO));
        authenticator.audit().log_left_out();
        authenticator.audit().publish(EventKind::Stopped, "handler task stopped");
    }

    /// Runs until the guard stops it or the context ends.
    async fn serve(&mut self) -> Result<(), Errno> {
        let mut calls = Vec::new();
        let authenticator = self.socket.authenticator().clone();
        while !self.control.stopping() {
            // Deadlines first: a decision that is barely late is late.
            let (limits, audit) = (authenticator.limits(), authenticator.audit());
            self.socket.expire(Instant::now(), |id| {
                let running = self.async_calls.overdue(id, limits, audit);
                running.unwrap_or_else(|| self.pool.overdue(id, limits, audit))
            })?;
            let control = &self.control;
            while let Some((id, decision)) = self.pool.next_decision(limits.at_once()) {
                self.socket.finish(id, decision, || control.stopping())?;
            }
            while let Some((id, decision)) = self.async_calls.try_next() {
                self.socket.finish(id, decision, || control.stopping())?;
            }
            while let Some(started) = self.pool.run_next(limits.at_once()) {
                if let Err((id, reason)) = started {
                    self.socket.finish(id, Decision::refusal(reason), || false)?;
                }
            }
            self.async_calls.run_waiting(limits.async_at_once());
            self.pool.retire(Instant::now());
            let batch = self.socket.process_batch(|| control.stopping(), &mut calls)?;
            let started = !calls.is_empty();
            self.start_calls(&mut calls)?;

            // ZMQ_FD becomes readable once for each change, and any send or receive may consume that signal. So we wait for
            // it only if the last operation on the socket was a receive that found nothing. `start_calls` may have sent.
            if batch == Batch::MoreToRead || started {
                yield_to_queue().await;
                continue;
            }
            self.wait().await?;
        }
        Ok(())
    }

    /// Waits until there is something to do; the loop finds out what.
    async fn wait(&mut self) -> Result<(), Errno> {
        let HandlerTask { readiness, socket, pool, async_calls, control, .. } = self;
        let deadline = [socket.next_deadline(), pool.next_retirement()].into_iter().flatten().min();
        let expiry = async {
            match deadline {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = control.changed.notified() => {}
            (id, decision) = async_calls.next() => socket.finish(id, decision, || control.stopping())?,
            () = expiry => {}
            ready = readiness.readable() => match ready {
                // Before the next receive, so that what arrives in between is signalled again.
                Ok(mut ready) => ready.clear_ready(),
                // The runtime is shutting down, and drops this task.
                Err(_) => std::future::pending().await,
            },
        }
        Ok(())
    }

    fn start_calls(&mut self, calls: &mut Vec<NewCall>) -> Result<(), Errno> {
        for call in calls.drain(..) {
            let limits = self.socket.authenticator().limits();
            let started = match call.call.needs_runtime() {
                true => self.async_calls.submit(call, limits.async_at_once()),
                false => self.pool.submit(call, limits.at_once()),
            };
            if let Err((id, reason)) = started {
                self.socket.finish(id, Decision::refusal(reason), || false)?;
            }
        }
        Ok(())
    }
}

/// Dropped only when a panic (of the program's logger) ends the task.
struct PanicLog;

impl Drop for PanicLog {
    fn drop(&mut self) {
        if std::thread::panicking() {
            log_error!("handler stopped: it panicked");
        }
    }
}

/// Lets other tasks run. We don't use `yield_now`: it defers the wake-up until this worker next polls the driver, and a
/// blocking callback scheduled first would delay that. This one uses the queue from which other workers steal.
async fn yield_to_queue() {
    let mut given = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
