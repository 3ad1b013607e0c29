//! The thread front end: the guard that starts and stops the handler thread, and its loop.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::DROPPED_UNUSED;
use super::engine::NewCall;
use super::pool::Pool;
use super::socket::{Batch, ZapSocket};
use super::wake::{WakeReceiver, WakeSender, wake_channel};
use crate::audit::{Counters, EventKind};
use crate::authenticator::Authenticator;
use crate::callback::Decision;
use crate::error::{Error, Result};
use crate::ffi::Errno;
use crate::foreign_code::{Panicked, contain};
use crate::reason::Reason;

/// How long `stop` waits for the handler thread in total.
const STOP: Duration = Duration::from_millis(900);

/// A running handler thread, and the policy that it serves. Stops when dropped.
///
/// The endpoint is bound before [`start`](ThreadAuthenticator::start) returns: sockets that are bound afterwards are
/// guarded from their first client on. It derefs to its [`Authenticator`], which may be changed at any time.
///
/// The handler serves **one context**: sockets of another context need a handler there. It holds neither the context nor a
/// socket that could make `drop(context)` wait. When the context ends, so does the handler.
///
/// ```
/// use zmq_auth::{SocketExt, ThreadAuthenticator, zmq};
///
/// let context = zmq::Context::new();
/// let auth = ThreadAuthenticator::start(&context)?;
/// auth.configure_plain("shop", [("alice", "correct horse battery staple")])?;
///
/// let mut server = context.socket(zmq::REP).unwrap();
/// server.plain_server("shop")?;
/// server.bind("tcp://127.0.0.1:*").unwrap();
/// // …
/// # drop(server);
/// auth.stop()?; // or let it go out of scope
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[must_use = "the handler stops as soon as this is dropped: bind it to a name (`let _auth = …`, not `let _ = …`)"]
#[derive(Debug)]
pub struct ThreadAuthenticator {
    authenticator: Authenticator,
    at_start: Counters,
    control: Arc<ThreadControl>,
    waker: WakeSender,
    thread: Option<JoinHandle<()>>,
}

/// What the guard and the thread share.
#[derive(Debug, Default)]
struct ThreadControl {
    stop: AtomicBool,
    ended: Mutex<bool>,
    changed: Condvar,
}

impl ThreadControl {
    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn ended(&self) -> bool {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_end(&self, timeout: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(ended, timeout, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Signals the end of the thread, for whatever reason.
struct Ending(Arc<ThreadControl>);

impl Drop for Ending {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}

impl Authenticator {
    /// Starts a handler thread for the context, with this policy. A policy can be started again after it stopped, and in
    /// several contexts at once.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`] if the context already has a ZAP handler; [`Error::LibzmqTooOld`]; [`Error::Zmq`] if the
    /// context has ended or can't open another socket; [`Error::Thread`], [`Error::Pipe`].
    ///
    /// ```
    /// let context = zmq_auth::zmq::Context::new();
    /// let auth = zmq_auth::Authenticator::new();
    /// auth.deny(["10.0.0.66"])?;
    /// let running = auth.start(&context)?;
    /// assert!(running.is_running());
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn start(&self, context: &zmq::Context) -> Result<ThreadAuthenticator> {
        let socket = ZapSocket::open(self.clone(), context)?;
        let (waker, wake_receiver) = wake_channel()?;
        let control = Arc::new(ThreadControl::default());
        let wake = {
            let waker = waker.clone();
            move || waker.wake()
        };
        let server = HandlerThread { socket, pool: Pool::new(Arc::new(wake)), wake_receiver, control: control.clone() };
        let ending = Ending(control.clone());
        let run = move || {
            // Dropped last.
            let _ending = ending;
            server.run();
        };
        let at_start = self.counters();
        let thread = Builder::new().name("zmq-auth".into()).spawn(run).map_err(Error::Thread)?;
        log_debug!("handler started");
        self.audit().publish(EventKind::Started, "handler thread started");
        Ok(ThreadAuthenticator { authenticator: self.clone(), at_start, control, waker, thread: Some(thread) })
    }
}

impl ThreadAuthenticator {
    /// Starts a handler with a new [`Authenticator`], which accepts NULL clients and refuses all others until it is configured.
    ///
    /// # Errors
    /// As [`Authenticator::start`].
    ///
    /// ```
    /// let context = zmq_auth::zmq::Context::new();
    /// let auth = zmq_auth::ThreadAuthenticator::start(&context)?;
    /// auth.allow(["127.0.0.1"])?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn start(context: &zmq::Context) -> Result<Self> {
        Authenticator::new().start(context)
    }

    /// Frees the ZAP endpoint and ends the thread, within a second whatever a callback does. Clients that still wait for a
    /// decision get 300. A callback that doesn't return is left behind, and its client is refused.
    ///
    /// Sockets that were set up with [`SocketExt`](crate::SocketExt) refuse new clients from then on.
    ///
    /// # Errors
    /// [`Error::StillRunning`] if the thread hangs in the program's logger; it answers nobody any more.
    ///
    /// ```
    /// # let context = zmq_auth::zmq::Context::new();
    /// let auth = zmq_auth::ThreadAuthenticator::start(&context)?;
    /// let policy = auth.clone(); // the Authenticator
    /// auth.stop()?;
    /// let again = policy.start(&context)?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    /// Whether the handler answers requests. `false` once the context has ended.
    ///
    /// ```
    /// # let context = zmq_auth::zmq::Context::new();
    /// assert!(zmq_auth::ThreadAuthenticator::start(&context)?.is_running());
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn is_running(&self) -> bool {
        !self.control.ended()
    }

    fn end(&mut self) -> Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.control.stop.store(true, Ordering::Release);
        self.waker.wake();
        if thread.thread().id() == std::thread::current().id() {
            // Dropped by the program's logger on the handler thread itself, which ends when that returns.
            return Ok(());
        }
        if !self.control.wait_for_end(STOP) {
            return Err(Error::StillRunning { seconds: 1 });
        }
        // All that remains of the thread is its return.
        let _ = thread.join();
        Ok(())
    }
}

impl Deref for ThreadAuthenticator {
    type Target = Authenticator;

    fn deref(&self) -> &Authenticator {
        &self.authenticator
    }
}

impl Drop for ThreadAuthenticator {
    fn drop(&mut self) {
        if self.thread.is_some() && self.is_running() && self.authenticator.counters() == self.at_start {
            log_warn!("{DROPPED_UNUSED}");
        }
        if let Err(error) = self.end() {
            log_error!("{error}");
        }
    }
}

/// How long running callbacks may delay the end of the thread.
const GRACE: Duration = Duration::from_millis(300);

/// The state of the thread.
struct HandlerThread {
    socket: ZapSocket,
    pool: Pool,
    wake_receiver: WakeReceiver,
    control: Arc<ThreadControl>,
}

impl HandlerThread {
    /// Serves until the end, then frees the endpoint, then ends the workers.
    fn run(mut self) {
        match contain(|| self.serve()) {
            Ok(Ok(())) => {
                // Even without a reply its client is refused, because the endpoint is gone.
                let _ = contain(|| self.socket.reject_pending());
                log_debug!("handler stopped");
            }
            Ok(Err(Errno::TERMINATED)) => log_debug!("handler stopped: its context was terminated"),
            Ok(Err(error)) => log_error!("handler stopped: libzmq failed: {error}"),
            Err(Panicked) => log_error!("handler stopped: it panicked"),
        }
        let HandlerThread { socket, pool, .. } = self;
        let authenticator = socket.authenticator().clone();
        drop(socket);
        authenticator.audit().abandoned(pool.stop(GRACE));
        authenticator.audit().log_left_out();
        authenticator.audit().publish(EventKind::Stopped, "handler thread stopped");
    }

    /// Runs until the guard stops it or the context ends.
    fn serve(&mut self) -> Result<(), Errno> {
        let mut calls = Vec::new();
        let authenticator = self.socket.authenticator().clone();
        loop {
            let control = &self.control;
            if control.stopping() {
                return Ok(());
            }
            // Deadlines first: a decision that is barely late is late.
            let (limits, audit) = (authenticator.limits(), authenticator.audit());
            self.socket.expire(Instant::now(), |id| self.pool.overdue(id, limits, audit))?;
            while let Some((id, decision)) = self.pool.next_decision(limits.at_once()) {
                self.socket.finish(id, decision, || control.stopping())?;
            }
            while let Some(started) = self.pool.run_next(limits.at_once()) {
                if let Err((id, reason)) = started {
                    self.socket.finish(id, Decision::refusal(reason), || false)?;
                }
            }
            self.pool.retire(Instant::now());
            // Whatever was sent, the socket is read until it is empty before we wait for it.
            let batch = self.socket.process_batch(|| control.stopping(), &mut calls)?;
            if !calls.is_empty() {
                self.start_calls(&mut calls)?;
            } else if batch == Batch::Drained {
                self.wait()?;
            }
        }
    }

    /// Waits for a request, a decision of a callback, a deadline, or the guard.
    fn wait(&mut self) -> Result<(), Errno> {
        match self.socket.socket.wait(self.wake_receiver.descriptor(), self.timeout_ms()) {
            Ok(true) => self.wake_receiver.drain(),
            Ok(false) | Err(Errno::INTERRUPTED) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn start_calls(&mut self, calls: &mut Vec<NewCall>) -> Result<(), Errno> {
        for call in calls.drain(..) {
            let at_once = self.socket.authenticator().limits().at_once();
            let started = match call.call.needs_runtime() {
                true => Err((call.id, Reason::NeedsRuntime)),
                false => self.pool.submit(call, at_once),
            };
            if let Err((id, reason)) = started {
                self.socket.finish(id, Decision::refusal(reason), || false)?;
            }
        }
        Ok(())
    }

    fn timeout_ms(&self) -> i32 {
        match [self.socket.next_deadline(), self.pool.next_retirement()].into_iter().flatten().min() {
            None => -1,
            // Rounded up, so as not to spin through the last millisecond.
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                i32::try_from(left.as_millis()).unwrap_or(i32::MAX - 1) + 1
            }
        }
    }
}
