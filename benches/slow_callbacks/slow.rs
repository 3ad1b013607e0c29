//! The clients of the slow domain, and a gauge of the running callbacks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep, spawn, yield_now};
use std::time::{Duration, Instant};

use super::SLOW;
use super::fast::ENDPOINT;

pub(crate) const DOMAIN: &str = "slow";

/// A thread with one connection for each client.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Clients {
    /// `pause`: how long each waits after an answer before it asks again.
    pub(crate) fn start(context: &zmq::Context, count: usize, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sockets: Vec<zmq::Socket> = (0..count)
            .map(|_| {
                let socket = context.socket(zmq::DEALER).expect("a socket");
                socket.set_linger(0).expect("no linger");
                socket.connect(ENDPOINT).expect("the handler's endpoint");
                socket
            })
            .collect();
        let stopped = stop.clone();
        Clients { stop, thread: Some(spawn(move || run(&sockets, pause, &stopped))) }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the slow clients are answered");
        }
    }
}

fn run(sockets: &[zmq::Socket], pause: Duration, stop: &AtomicBool) {
    for socket in sockets {
        ask(socket);
        // Spread out, so that requests and answers come one after another.
        sleep(SLOW / sockets.len() as u32);
    }
    let mut pausing: VecDeque<(Instant, &zmq::Socket)> = VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        let mut items: Vec<_> = sockets.iter().map(|socket| socket.as_poll_item(zmq::POLLIN)).collect();
        let timeout = if pausing.is_empty() { 10 } else { 1 };
        zmq::poll(&mut items, timeout).expect("poll");
        for (item, socket) in items.iter().zip(sockets) {
            if item.is_readable() {
                let reply = socket.recv_multipart(0).expect("an answer");
                assert_eq!(reply[3], b"200", "everybody is accepted");
                pausing.push_back((Instant::now() + pause, socket));
            }
        }
        while pausing.front().is_some_and(|(end, _)| *end <= Instant::now()) {
            pausing.pop_front().into_iter().for_each(|(_, socket)| ask(socket));
        }
    }
}

fn ask(socket: &zmq::Socket) {
    let head: [&[u8]; 8] = [b"", b"1.0", b"1", DOMAIN.as_bytes(), b"127.0.0.1", b"", b"CURVE", &[7; 32]];
    socket.send_multipart(head, 0).expect("the request leaves");
}

/// Counts the running callbacks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauge(Arc<(AtomicUsize, AtomicUsize)>);

/// A running callback.
pub(crate) struct UnderWay(Gauge);

impl Gauge {
    pub(crate) fn enter(&self) -> UnderWay {
        let now = self.0.0.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.1.fetch_max(now, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    pub(crate) fn peak(&self) -> usize {
        self.0.1.load(Ordering::Relaxed)
    }

    /// Waits until this many were running at once.
    pub(crate) fn wait_for(&self, count: usize) {
        let start = std::time::Instant::now();
        while self.peak() < count {
            assert!(start.elapsed() < SLOW * 200, "only {} of {count} slow callbacks run at once", self.peak());
            yield_now();
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
