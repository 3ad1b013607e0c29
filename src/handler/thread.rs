//! The face with a thread: a ROUTER socket at the ZAP endpoint, and the loop that drives the exchange.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::exchange::{Exchange, Late, Step};
use super::pool::Pool;
use super::wake::{Bell, Waker, bell};
use crate::audit::TARGET;
use crate::error::{Error, Result};
use crate::ffi::{Errno, Frame, HandlerSocket};
use crate::libzmq;
use crate::policy::{Answer, Authenticator, Reason};
use crate::zap::{ENDPOINT, Reply};

/// How long `stop` waits for the handler thread in all…
const STOP: Duration = Duration::from_millis(900);
/// …and the thread for callbacks that are under way.
const GRACE: Duration = Duration::from_millis(300);
/// So many requests are answered before the thread looks at deadlines and answers of callbacks again.
const ROUND: usize = 256;
/// More frames than any request has; further ones are read and forgotten.
const MAX_FRAMES: usize = 16;

/// A running handler thread, and the policy that it serves. Stops when dropped.
///
/// The endpoint is bound before [`start`](ThreadAuthenticator::start) returns: sockets that are bound afterwards are
/// guarded from their first client on. It derefs to its [`Authenticator`], which may be changed at any time.
///
/// The handler answers for **one context**: sockets of another context have to be guarded there. It holds neither the
/// context nor a socket of it that could keep `drop(context)` waiting; a context that ends takes the handler along.
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
#[must_use = "the handler stops as soon as this is dropped"]
#[derive(Debug)]
pub struct ThreadAuthenticator {
    authenticator: Authenticator,
    control: Arc<Control>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

/// What the guard and the thread share.
#[derive(Debug, Default)]
struct Control {
    stop: AtomicBool,
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Control {
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

/// Tells that the thread has ended, however it did.
struct Ending(Arc<Control>);

impl Drop for Ending {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}

impl Authenticator {
    /// Starts a handler thread for the context, with this policy. It can be started again after it stopped, and in
    /// several contexts at once.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`] when the context has a ZAP handler; [`Error::LibzmqTooOld`]; [`Error::Zmq`] when the
    /// context has ended or has no socket left; [`Error::Thread`], [`Error::Pipe`].
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
        libzmq::check_version()?;
        let socket = HandlerSocket::bind(context, ENDPOINT).map_err(|source| match source {
            Errno::ADDRESS_IN_USE => Error::AlreadyRunning,
            source => Error::Zmq { action: "bind the ZAP endpoint", source },
        })?;
        let (waker, bell) = bell()?;
        let control = Arc::new(Control::default());
        let handler = Handler {
            socket,
            frames: Vec::new(),
            exchange: Exchange::new(self.clone()),
            pool: Pool::new(waker.clone()),
            bell,
            control: control.clone(),
        };
        let ending = Ending(control.clone());
        let run = move || {
            // Dropped last.
            let _ending = ending;
            handler.run();
        };
        let thread = Builder::new().name("zmq-auth".into()).spawn(run).map_err(Error::Thread)?;
        log::debug!(target: TARGET, "handler started");
        Ok(ThreadAuthenticator { authenticator: self.clone(), control, waker, thread: Some(thread) })
    }
}

impl ThreadAuthenticator {
    /// Starts a handler with a new [`Authenticator`]: NULL clients are let in, all others denied, until it is configured.
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

    /// Frees the ZAP endpoint and ends the thread, within a second whatever a callback does. Clients that still wait for
    /// an answer are answered 300; a callback that doesn't return is left behind, and its client is not let in.
    ///
    /// Sockets that were set up with [`SocketExt`](crate::SocketExt) refuse new clients from then on.
    ///
    /// # Errors
    /// [`Error::StillRunning`] when the thread hangs in the program's logger: it answers nobody any more.
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

    /// Whether requests are answered. `false` once the context has ended.
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
            // Dropped by the program's logger in the handler thread itself: it ends when that returns.
            return Ok(());
        }
        if !self.control.wait_for_end(STOP) {
            return Err(Error::StillRunning { seconds: 1 });
        }
        // What is left of the thread is its return.
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
        if let Err(error) = self.end() {
            log::error!(target: TARGET, "{error}");
        }
    }
}

/// What the thread owns.
struct Handler {
    socket: HandlerSocket,
    // Reused from request to request.
    frames: Vec<Frame>,
    exchange: Exchange<Box<[u8]>>,
    pool: Pool,
    bell: Bell,
    control: Arc<Control>,
}

impl Handler {
    fn run(mut self) {
        match catch_unwind(AssertUnwindSafe(|| self.serve())) {
            Ok(Ok(())) => {
                let _ = catch_unwind(AssertUnwindSafe(|| self.turn_away()));
                log::debug!(target: TARGET, "handler stopped");
            }
            Ok(Err(Errno::TERMINATED)) => log::debug!(target: TARGET, "handler stopped: its context has ended"),
            Ok(Err(error)) => log::error!(target: TARGET, "handler stopped: libzmq failed: {error}"),
            Err(payload) => {
                // Dropping a payload may panic in its turn.
                std::mem::forget(payload);
                log::error!(target: TARGET, "handler stopped: it panicked");
            }
        }
        let Handler { socket, exchange, pool, .. } = self;
        drop(socket);
        match pool.stop(GRACE) {
            0 => {}
            threads => exchange.authenticator().audit().abandoned(threads),
        }
    }

    /// Until the guard says stop, or libzmq that the context has ended.
    fn serve(&mut self) -> Result<(), Errno> {
        while !self.control.stopping() {
            let ready = match self.socket.poll(self.bell.descriptor(), self.timeout_ms()) {
                Err(Errno::INTERRUPTED) => continue,
                ready => ready?,
            };
            if ready.wake {
                self.bell.silence();
            }
            // Deadlines first: a result that is late by a hair is late.
            let now = Instant::now();
            while let Some(late) = self.exchange.expire(now) {
                self.send_late(&late)?;
            }
            while let Some((id, answer)) = self.pool.answer() {
                if let Some(late) = self.exchange.finish(id, answer) {
                    self.send_late(&late)?;
                }
            }
            if ready.socket {
                self.round()?;
            }
        }
        Ok(())
    }

    fn timeout_ms(&self) -> i64 {
        match self.exchange.next_deadline() {
            None => -1,
            // Rounded up, so as not to spin through the last millisecond.
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                i64::try_from(left.as_millis()).unwrap_or(i64::MAX - 1) + 1
            }
        }
    }

    fn round(&mut self) -> Result<(), Errno> {
        for _ in 0..ROUND {
            let Some(count) = self.receive()? else { break };
            self.handle(count)?;
        }
        Ok(())
    }

    /// Reads one message into the first frames; tells how many they are, `None` when there is no message.
    fn receive(&mut self) -> Result<Option<usize>, Errno> {
        let mut count = 0;
        loop {
            let slot = count.min(MAX_FRAMES - 1);
            if slot == self.frames.len() {
                self.frames.push(Frame::new());
            }
            let Some(frame) = self.frames.get_mut(slot) else { return Ok(None) };
            let more = match self.socket.receive(frame) {
                Err(Errno::INTERRUPTED) => continue,
                // The frames of a message arrive together: only the first can be missing.
                Err(Errno::AGAIN) => return Ok(None),
                more => more?,
            };
            count = slot + 1;
            if !more {
                return Ok(Some(count));
            }
        }
    }

    fn handle(&mut self, count: usize) -> Result<(), Errno> {
        let Some([identity, delimiter, request @ ..]) = self.frames.get(..count) else {
            self.exchange.authenticator().audit().dropped();
            return Ok(());
        };
        if !delimiter.is_empty() {
            self.exchange.authenticator().audit().dropped();
            return Ok(());
        }
        let step = if self.control.stopping() {
            self.exchange.refuse(request, Reason::Stopping)
        } else {
            self.exchange.receive(request, Instant::now, || Box::from(&identity[..]))
        };
        match step {
            Step::Drop => {}
            Step::Answer => self.answer()?,
            Step::Run(id, call) => {
                let at_once = self.exchange.authenticator().calls_at_once();
                if let Err(reason) = self.pool.submit(id, call, at_once)
                    && let Some(late) = self.exchange.finish(id, Answer::refusal(reason))
                {
                    self.send_late(&late)?;
                }
            }
        }
        self.forget_password(count);
        Ok(())
    }

    /// Sends the reply to the request in the frames.
    fn answer(&mut self) -> Result<(), Errno> {
        let [identity, _, _, request_id, ..] = self.frames.as_mut_slice() else { return Ok(()) };
        self.socket.send(identity, true)?;
        send(&mut self.socket, self.exchange.reply(), request_id)
    }

    fn send_late(&mut self, late: &Late<Box<[u8]>>) -> Result<(), Errno> {
        self.socket.send_copy(&late.envelope, true)?;
        send(&mut self.socket, &late.reply, &late.request_id)
    }

    /// The frames are used again, but not necessarily soon.
    fn forget_password(&mut self, count: usize) {
        if let Some([_, _, _, _, _, _, _, mechanism, credentials @ ..]) = self.frames.get_mut(..count)
            && **mechanism == *b"PLAIN"
        {
            credentials.iter_mut().for_each(Frame::wipe);
        }
    }

    /// Answers everybody who still waits with 300: they may try again when a handler is back.
    fn turn_away(&mut self) -> Result<(), Errno> {
        while let Some(late) = self.exchange.give_up() {
            self.send_late(&late)?;
        }
        self.round()
    }
}

/// The delimiter and everything behind it.
fn send(socket: &mut HandlerSocket, reply: &Reply, request_id: &[u8]) -> Result<(), Errno> {
    socket.send_copy(b"", true)?;
    let [head @ .., last] = reply.frames(request_id);
    for frame in head {
        socket.send_copy(frame, true)?;
    }
    socket.send_copy(last, false)
}
