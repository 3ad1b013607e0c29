//! The service: a thread that echoes, publishes or collects, with its own context.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use anyhow::Result;
use zmq_auth::{SocketExt, ThreadAuthenticator};

use super::place::{Place, policy};
use super::proxy::guard;
use super::{Kind, Mechanism, io_threads};

pub(crate) struct Service {
    pub(crate) endpoint: String,
    handler: Option<ThreadAuthenticator>,
    thread: Option<JoinHandle<()>>,
    /// What a publisher should publish. Every service ends when this is dropped.
    pub(crate) orders: Option<Sender<Order>>,
    /// For a collector, an item for each message that arrived.
    pub(crate) collected: Receiver<()>,
}

/// An order for messages of this size, identified by their first byte.
pub(crate) struct Order {
    pub(crate) count: usize,
    pub(crate) size: usize,
    pub(crate) first: u8,
}

impl Service {
    /// A service without security, behind a gate or a proxy.
    pub(crate) fn bare(kind: Kind, endpoint: &str) -> Result<Self> {
        Self::start(kind, endpoint, None)
    }

    /// A service that is a guarded server itself, without a proxy.
    pub(crate) fn guarded(kind: Kind, mechanism: Mechanism, place: &Place) -> Result<Self> {
        Self::start(kind, "tcp://127.0.0.1:*", Some((mechanism, place)))
    }

    fn start(kind: Kind, endpoint: &str, security: Option<(Mechanism, &Place)>) -> Result<Self> {
        let context = zmq::Context::new();
        context.set_io_threads(if security.is_some() { io_threads() } else { 1 })?;
        let handler = security.map(|(_, place)| policy(place.path())?.start(&context).map_err(anyhow::Error::from));
        let handler = handler.transpose()?;
        let mut socket = context.socket(match (kind, &security) {
            (Kind::Reply, None) => zmq::DEALER,
            (Kind::Reply, Some(_)) => zmq::ROUTER,
            (Kind::Publish, _) => zmq::PUB,
            (Kind::Collect, _) => zmq::PULL,
        })?;
        socket.set_linger(0)?;
        // So that it checks now and then whether to end, and doesn't wait for a proxy that has ended.
        socket.set_rcvtimeo(20)?;
        socket.set_sndtimeo(1_000)?;
        if kind == Kind::Publish {
            // A socket that only sends updates its readers' progress once in a millisecond, and would drop messages
            // although its queues have room. The orders limit the number of outstanding messages.
            socket.set_sndhwm(0)?;
        }
        if let Some((mechanism, place)) = security {
            guard(&mut socket, mechanism, place.path())?;
        }
        socket.bind(endpoint)?;
        let endpoint = socket.endpoint()?;
        let ((orders, received), (has_come, collected)) = (channel(), channel());
        let thread = thread::spawn(move || {
            // Ends when it should, or with the other side.
            let _ = match kind {
                Kind::Reply => send_back(&socket, &received),
                Kind::Publish => publish(&socket, &received),
                Kind::Collect => collect(&socket, &received, &has_come),
            };
        });
        Ok(Service { endpoint, handler, thread: Some(thread), orders: Some(orders), collected })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.thread.take().map(JoinHandle::join);
        drop(self.handler.take());
    }
}

/// Receives a frame; `None` when the service should end.
fn receive(socket: &zmq::Socket, orders: &Receiver<Order>) -> zmq::Result<Option<zmq::Message>> {
    loop {
        match socket.recv_msg(0) {
            Err(zmq::Error::EAGAIN) if matches!(orders.try_recv(), Err(TryRecvError::Disconnected)) => return Ok(None),
            Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => {}
            received => return received.map(Some),
        }
    }
}

fn send_back(socket: &zmq::Socket, orders: &Receiver<Order>) -> zmq::Result<()> {
    while let Some(frame) = receive(socket, orders)? {
        let more = if frame.get_more() { zmq::SNDMORE } else { 0 };
        socket.send(frame, more)?;
    }
    Ok(())
}

fn publish(socket: &zmq::Socket, orders: &Receiver<Order>) -> zmq::Result<()> {
    for Order { count, size, first } in orders {
        let mut body = vec![0; size];
        body[0] = first;
        (0..count).try_for_each(|_| socket.send(&body[..], 0))?;
    }
    Ok(())
}

fn collect(socket: &zmq::Socket, orders: &Receiver<Order>, has_come: &Sender<()>) -> zmq::Result<()> {
    while receive(socket, orders)?.is_some() {
        // Between two runs, nobody receives these.
        let _ = has_come.send(());
    }
    Ok(())
}
