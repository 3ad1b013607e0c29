//! The clients: many sockets, driven by one thread.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use zmq_auth::SocketExt;

use super::contestants::Measured;
use super::place::Place;
use super::service::{Order, Service};
use super::{Kind, Mechanism, io_threads};

/// The load on a contestant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) kind: Kind,
    pub(crate) mechanism: Mechanism,
    /// The size of a message's body, in bytes.
    pub(crate) size: usize,
    pub(crate) clients: usize,
    /// The number of outstanding messages: of all clients together, or of a publisher to each of them.
    pub(crate) window: usize,
    pub(crate) time: Duration,
}

const PATIENCE: Duration = Duration::from_secs(20);
/// Published until every client has received one, which means that all have subscribed.
const PROBE: u8 = b'p';
const MESSAGE: u8 = b'm';

/// Counts messages and time, from a quarter of the load's time on.
struct Watch<'a> {
    load: Load,
    begin: Instant,
    counted_since: Option<(Instant, Option<Duration>)>,
    messages: usize,
    round_trips: Vec<Duration>,
    cpu: &'a dyn Fn() -> Result<Option<Duration>>,
}

impl Watch<'_> {
    fn count(&mut self, messages: usize) {
        if self.counted_since.is_some() {
            self.messages += messages;
        }
    }

    /// Call this now and then; it returns the result once the time is over.
    fn look(&mut self) -> Result<Option<Measured>> {
        match self.counted_since {
            None if self.begin.elapsed() >= self.load.time / 4 => {
                self.counted_since = Some((Instant::now(), (self.cpu)()?));
            }
            Some((since, before)) if since.elapsed() >= self.load.time => {
                let time = since.elapsed();
                let cpu = (self.cpu)()?.zip(before).map(|(now, before)| now.saturating_sub(before));
                self.round_trips.sort_unstable();
                let round_trips = std::mem::take(&mut self.round_trips);
                return Ok(Some(Measured { messages: self.messages, time, round_trips, cpu }));
            }
            _ => {}
        }
        Ok(None)
    }
}

pub(crate) fn run(
    place: &Place,
    front: &str,
    service: &Service,
    load: Load,
    cpu: impl Fn() -> Result<Option<Duration>>,
) -> Result<Measured> {
    let context = zmq::Context::new();
    context.set_io_threads(io_threads())?;
    let socket_type = match load.kind {
        Kind::Reply => zmq::DEALER,
        Kind::Publish => zmq::SUB,
        Kind::Collect => zmq::PUSH,
    };
    let connect = || -> Result<zmq::Socket> {
        let mut socket = context.socket(socket_type)?;
        socket.set_linger(0)?;
        socket.set_rcvtimeo(PATIENCE.as_millis() as i32)?;
        socket.set_sndtimeo(PATIENCE.as_millis() as i32)?;
        if load.mechanism == Mechanism::Curve {
            socket.curve_client(&place.client, &place.server)?;
        }
        if load.kind == Kind::Publish {
            socket.set_subscribe(b"")?;
        }
        socket.connect(front)?;
        Ok(socket)
    };
    let sockets = (0..load.clients).map(|_| connect()).collect::<Result<Vec<_>>>()?;
    let begin = Instant::now();
    let watch = Watch { load, begin, counted_since: None, messages: 0, round_trips: Vec::new(), cpu: &cpu };
    match load.kind {
        Kind::Reply => request(&sockets, watch),
        Kind::Publish => subscribe(&sockets, service, watch),
        Kind::Collect => push(&sockets, service, watch),
    }
}

/// Sends each answer again, as it is.
fn request(sockets: &[zmq::Socket], mut watch: Watch<'_>) -> Result<Measured> {
    let Load { size, clients, window, .. } = watch.load;
    let ask = |socket: &zmq::Socket, body: zmq::Message| -> Result<Instant> {
        let now = Instant::now();
        socket.send("", zmq::SNDMORE)?;
        socket.send(body, 0)?;
        Ok(now)
    };
    for socket in sockets {
        ask(socket, zmq::Message::from(vec![0; size]))?;
        answer(socket, 0)?.context("a whole answer")?;
    }
    let mut asked = Vec::new();
    for socket in sockets {
        let times = (0..window.div_ceil(clients)).map(|_| ask(socket, zmq::Message::from(vec![0; size])));
        asked.push(times.collect::<Result<Vec<_>>>()?[0]);
    }
    watch.begin = Instant::now();
    loop {
        for place in ready(sockets)? {
            let socket = &sockets[place];
            // Bounded, so that a busy socket doesn't starve the others.
            for _ in 0..window {
                let Some(body) = answer(socket, zmq::DONTWAIT)? else { break };
                ensure!(body.len() == size, "{} bytes", body.len());
                watch.count(1);
                if window == clients && watch.counted_since.is_some() {
                    watch.round_trips.push(asked[place].elapsed());
                }
                asked[place] = ask(socket, body)?;
            }
        }
        if let Some(measured) = watch.look()? {
            return Ok(measured);
        }
    }
}

/// The body of an answer; `None` if there is none.
fn answer(socket: &zmq::Socket, flags: i32) -> Result<Option<zmq::Message>> {
    match socket.recv_msg(flags) {
        Ok(empty) => ensure!(empty.is_empty() && empty.get_more(), "an empty frame comes first"),
        Err(zmq::Error::EAGAIN) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    Ok(Some(socket.recv_msg(0)?))
}

/// The indices of the sockets that have something to receive.
fn ready(sockets: &[zmq::Socket]) -> Result<Vec<usize>> {
    let mut items: Vec<_> = sockets.iter().map(|socket| socket.as_poll_item(zmq::POLLIN)).collect();
    ensure!(zmq::poll(&mut items, PATIENCE.as_millis() as i64)? > 0, "nothing comes any more");
    Ok(items.iter().enumerate().filter(|(_, item)| item.is_readable()).map(|(place, _)| place).collect())
}

/// The publisher sends the next part of the window when all clients have received all of one.
fn subscribe(sockets: &[zmq::Socket], service: &Service, mut watch: Watch<'_>) -> Result<Measured> {
    let Load { size, clients, window, .. } = watch.load;
    let orders = service.orders.as_ref().context("a publisher")?;
    let order = |count, size, first| orders.send(Order { count, size, first }).context("the publisher has ended");
    for socket in sockets {
        socket.set_rcvtimeo(20)?;
        while {
            order(1, 1, PROBE)?;
            ensure!(watch.begin.elapsed() < PATIENCE, "nothing comes");
            socket.recv_msg(0).is_err()
        } {}
    }
    let part = window.div_ceil(8);
    (0..8).try_for_each(|_| order(part, size, MESSAGE))?;
    let mut received = 0;
    watch.begin = Instant::now();
    loop {
        for place in ready(sockets)? {
            for _ in 0..window {
                let message = match sockets[place].recv_msg(zmq::DONTWAIT) {
                    Ok(message) => message,
                    Err(zmq::Error::EAGAIN) => break,
                    Err(error) => return Err(error.into()),
                };
                if message[0] == MESSAGE {
                    ensure!(message.len() == size, "{} bytes", message.len());
                    watch.count(1);
                    received += 1;
                    if received % (part * clients) == 0 {
                        order(part, size, MESSAGE)?;
                    }
                }
            }
        }
        if let Some(measured) = watch.look()? {
            return Ok(measured);
        }
    }
}

/// The clients send, in turns, as many messages as have arrived.
fn push(sockets: &[zmq::Socket], service: &Service, mut watch: Watch<'_>) -> Result<Measured> {
    let Load { size, window, .. } = watch.load;
    let mut turns = sockets.iter().cycle();
    let mut send = || -> Result<()> {
        let socket = turns.next().context("there are clients")?;
        Ok(socket.send(zmq::Message::from(vec![0; size]), 0)?)
    };
    (0..window).try_for_each(|_| send())?;
    loop {
        service.collected.recv_timeout(PATIENCE).context("nothing comes any more")?;
        let come = 1 + service.collected.try_iter().take(window).count();
        watch.count(come);
        (0..come).try_for_each(|_| send())?;
        if let Some(measured) = watch.look()? {
            // Receive the outstanding messages of this run.
            for _ in 0..window {
                service.collected.recv_timeout(PATIENCE).context("not all has come")?;
            }
            return Ok(measured);
        }
    }
}
