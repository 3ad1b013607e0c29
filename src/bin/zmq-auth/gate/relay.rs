//! The loop of one gate: a single thread that blocks only in the poll.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use zmq_auth::{Authenticator, Error, Role, SocketExt, zmq};

use super::back::{Back, Service};
use super::collect::Collect;
use super::control::Woken;
use super::counts::{Counts, Dropped};
use super::journal::{GateLine, Journal};
use super::publish::{Checker, Publish};
use super::reply::Reply;
use super::rights::TopicRights;
use super::traffic::{Progress, Traffic, receive_batch};
use crate::escape;
use crate::output::Failure;

/// Which socket types a gate connects.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// REQ and DEALER clients, a REP or DEALER service
    Reply,
    /// SUB clients, a PUB or XPUB service
    Publish,
    /// PUSH clients, a PULL service
    Collect,
}

/// The settings of one gate.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The endpoint for clients.
    pub(crate) front: String,
    /// The mode of the front's file, for ipc; `None` leaves it to the umask.
    pub(crate) front_mode: Option<u32>,
    pub(crate) role: Role,
    pub(crate) service: Service,
    /// The metadata keys in sender frames, if the service gets such frames.
    pub(crate) sender_frames: Option<Vec<String>>,
    pub(crate) rights: TopicRights,
    /// The largest message of a client, in bytes.
    pub(crate) message_size: Option<u64>,
    /// How long pending messages are passed on after the gate was stopped.
    pub(crate) drain: Duration,
}

/// The longest topic that works with every mechanism, in bytes; and what ZMTP's SUBSCRIBE (RFC 37) and CURVE add to it.
const TOPIC: u64 = 4_096;
const SUBSCRIBE: u64 = 10;
const CURVE: u64 = 33;

/// How often all clients are checked even if the policy doesn't change, for certificates that expire. The loop turns at
/// least that often, which `watchdog` expects.
const CHECK: Duration = Duration::from_millis(500);

pub(crate) struct Relay {
    front: zmq::Socket,
    back: Back,
    traffic: Box<dyn Traffic + Send>,
    /// Received from the service, to be sent to clients.
    frames: Vec<zmq::Message>,
    woken: Woken,
    journal: Journal,
    counts: Counts,
    drain: Duration,
    checker: Option<Checker>,
}

/// What the poll has found readable besides the front. Trying the others anyway would cost a system call each.
struct Ready {
    back: bool,
    monitor: bool,
    woken: bool,
}

impl Relay {
    /// Binds the front and begins to connect the back. The policy's handler must be running.
    pub(crate) fn open(
        context: &zmq::Context,
        policy: &Authenticator,
        settings: &Settings,
        woken: Woken,
        journal: Journal,
    ) -> Result<Self, Failure> {
        let failed = |error: zmq::Error| Failure::from(Error::from(error));
        let (front_type, back_type) = match settings.kind {
            Kind::Reply => (zmq::ROUTER, zmq::DEALER),
            Kind::Publish => (zmq::XPUB, zmq::XSUB),
            Kind::Collect => (zmq::PULL, zmq::PUSH),
        };
        let back = Back::connect(context, back_type, settings.service.clone())?;
        let mut front = context.socket(front_type).map_err(failed)?;
        front.set_linger(0).map_err(failed)?;
        front.set_backlog(4_096).map_err(failed)?;
        front.set_ipv6(settings.front.contains('[')).map_err(failed)?;
        if let Some(bytes) = settings.message_size {
            front.set_maxmsgsize(i64::try_from(bytes).unwrap_or(i64::MAX)).map_err(failed)?;
        }
        let counts = Counts::new(&settings.name);
        let mut checker = None;
        let traffic: Box<dyn Traffic + Send> = match settings.kind {
            Kind::Reply => {
                // So that undeliverable replies are counted.
                front.set_router_mandatory(true).map_err(failed)?;
                let keys = settings.sender_frames.clone();
                Box::new(Reply::new(policy, keys, counts.clone(), journal.clone())?)
            }
            Kind::Publish => {
                front.set_xpub_manual(true)?;
                // libzmq stores some 30 bytes for each byte of a topic, even of a refused one.
                let bytes = settings.message_size.unwrap_or(u64::MAX).min(TOPIC + SUBSCRIBE + CURVE);
                front.set_maxmsgsize(i64::try_from(bytes).unwrap_or(i64::MAX)).map_err(failed)?;
                let publish = Publish::new(policy, settings.rights.clone(), counts.clone(), journal.clone());
                checker = Some(publish.checker());
                Box::new(publish)
            }
            Kind::Collect => {
                let keys = settings.sender_frames.clone();
                Box::new(Collect::new(policy, keys, counts.clone(), journal.clone()))
            }
        };
        let shown = escape::text(&settings.front);
        let bound = front.bind_as(&settings.role, &settings.front).map_err(|error| {
            Failure::new(format!("cannot listen on {shown}: {error}")).hint("Is something else listening there?")
        })?;
        if let (Some(mode), Some(path)) = (settings.front_mode, bound.name().strip_prefix("ipc://")) {
            fs::set_permissions(path, Permissions::from_mode(mode))
                .map_err(|error| Failure::new(format!("{}: cannot set its mode: {error}", escape::text(path))))?;
        }
        journal.write(GateLine {
            event: "Listening",
            front: Some(bound.name().to_owned()),
            back: Some(settings.service.endpoint().to_owned()),
            ..GateLine::default()
        });
        let (frames, drain) = (Vec::new(), settings.drain);
        Ok(Relay { front, back, traffic, frames, woken, journal, counts, drain, checker })
    }

    /// What checks the clients while the loop is inside libzmq, if libzmq can keep it there.
    pub(super) fn take_checker(&mut self) -> Option<Checker> {
        self.checker.take()
    }

    /// Runs until it is stopped, then passes on pending messages for at most the time in the settings.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        let failed = |error: zmq::Error| Failure::from(Error::from(error));
        let (mut to_service, mut to_clients) = (Progress::Drained, Progress::Drained);
        let (mut is_checking, mut next_check) = (false, Instant::now() + CHECK);
        let mut end: Option<Instant> = None;
        let mut takes_requests = true;
        loop {
            self.woken.turned();
            let reads_front = takes_requests && self.reads_front();
            let goes_on = is_checking || to_clients == Progress::More || (to_service == Progress::More && reads_front);
            let until = end.map_or(next_check, |end| end.min(next_check));
            let is_blocked = to_service == Progress::Blocked;
            let ready = self.wait(reads_front, is_blocked, if goes_on { None } else { Some(until) }).map_err(failed)?;

            if ready.woken {
                self.woken.drain();
            }
            if ready.monitor || self.back.is_unchecked() {
                self.take_events()?;
            }
            self.back.connect_again().map_err(failed)?;
            self.counts.service(self.back.is_ready());
            let now = Instant::now();
            if self.woken.take_check() || now >= next_check {
                self.traffic.begin_check();
                next_check = now + CHECK;
            }
            is_checking = self.traffic.check_some(&self.back.socket).map_err(failed)?;
            if end.is_none() && self.woken.is_stopped() {
                self.journal.write(GateLine { event: "Stopping", ..GateLine::default() });
                end = Some(now + self.drain);
            }

            if takes_requests && self.reads_front() {
                to_service = self.traffic.to_service(&self.front, &self.back.socket).map_err(failed)?;
            }
            to_clients = match ready.back || self.back.is_doubtful() {
                true => self.pass_to_clients()?,
                false => Progress::Drained,
            };
            if let Some(end) = end {
                takes_requests &= self.back.is_ready() && to_service != Progress::Drained;
                let is_done = !takes_requests && to_clients == Progress::Drained && self.traffic.is_idle();
                if is_done || Instant::now() >= end {
                    return self.close(end);
                }
            }
        }
    }

    fn reads_front(&self) -> bool {
        self.back.is_ready() || !self.traffic.waits_for_service()
    }

    fn take_events(&mut self) -> Result<(), Failure> {
        if self.back.take_events(&self.journal)? {
            self.traffic.service_lost();
        }
        Ok(())
    }

    /// Receives a batch, then the events: those of a connection come before its messages, so now it is known who sent
    /// them.
    fn pass_to_clients(&mut self) -> Result<Progress, Failure> {
        let failed = |error: zmq::Error| Failure::from(Error::from(error));
        if !self.traffic.has_answers() {
            return Ok(Progress::Drained);
        }
        if self.back.is_unchecked() {
            return Ok(Progress::Blocked);
        }
        let progress = receive_batch(&self.back.socket, &mut self.frames).map_err(failed)?;
        self.take_events()?;
        if self.back.is_trusted(progress == Progress::Drained) {
            self.traffic.to_clients(&self.front, self.frames.drain(..)).map_err(failed)?;
        } else {
            let messages = self.frames.drain(..).filter(|frame| !frame.get_more());
            messages.for_each(|_| self.counts.dropped(Dropped::UncheckedService));
        }
        Ok(progress)
    }

    /// Waits until there is something to do, at most until this instant; `None` only looks.
    fn wait(&self, reads_front: bool, is_blocked: bool, until: Option<Instant>) -> zmq::Result<Ready> {
        let timeout = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        // Rounded up: a poll that returns too early would be repeated.
        let timeout = i64::try_from(timeout.as_micros().div_ceil(1_000)).unwrap_or(i64::MAX);
        // Don't read what the other side doesn't take, so that the high-water marks of both sides hold.
        let front = if reads_front && !is_blocked { zmq::POLLIN } else { zmq::PollEvents::empty() };
        let back = if reads_front && is_blocked { zmq::POLLIN | zmq::POLLOUT } else { zmq::POLLIN };
        let mut items = [
            self.front.as_poll_item(front),
            self.back.socket.as_poll_item(back),
            self.back.monitor.as_poll_item(zmq::POLLIN),
            zmq::PollItem::from_fd(self.woken.descriptor(), zmq::POLLIN),
        ];
        match zmq::poll(&mut items, timeout) {
            Ok(_) => Ok(Ready {
                back: items[1].is_readable(),
                monitor: items[2].is_readable(),
                woken: items[3].is_readable(),
            }),
            Err(zmq::Error::EINTR) => Ok(Ready { back: true, monitor: true, woken: true }),
            Err(error) => Err(error),
        }
    }

    /// Closes the sockets, which may go on sending until `end`.
    fn close(self, end: Instant) -> Result<(), Failure> {
        let left = end.saturating_duration_since(Instant::now()).as_millis();
        let left = i32::try_from(left).unwrap_or(i32::MAX);
        [&self.front, &self.back.socket]
            .into_iter()
            .try_for_each(|socket| socket.set_linger(left))
            .map_err(|error| Failure::from(Error::from(error)))
    }
}
