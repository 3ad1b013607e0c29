//! The client of the fast domain, whose latency is measured.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Extent;

pub(crate) const ENDPOINT: &str = "inproc://zeromq.zap.01";
pub(crate) const DOMAIN: &str = "fast";
pub(crate) const USER: (&str, &str) = ("alice", "correct horse");

/// Asks at a fixed rate, or as soon as the last answer has arrived if that is later.
pub(crate) struct Client(zmq::Socket);

impl Client {
    pub(crate) fn connect(context: &zmq::Context) -> Self {
        let socket = context.socket(zmq::DEALER).expect("a socket");
        socket.set_linger(0).expect("no linger");
        socket.set_rcvtimeo(60_000).expect("a deadline");
        socket.connect(ENDPOINT).expect("the handler's endpoint");
        Client(socket)
    }

    pub(crate) fn warm_up(&self) {
        for _ in 0..50 {
            self.ask();
        }
    }

    pub(crate) fn run(&self, extent: Extent) -> Vec<Duration> {
        let start = Instant::now();
        let mut next = start;
        let mut latencies = Vec::new();
        while start.elapsed() < extent.window || latencies.len() < extent.at_least {
            sleep(next.saturating_duration_since(Instant::now()));
            next = Instant::now() + extent.every;
            latencies.push(self.ask());
        }
        latencies
    }

    fn ask(&self) -> Duration {
        let (user, password) = USER;
        let request = ["", "1.0", "1", DOMAIN, "127.0.0.1", "", "PLAIN", user, password];
        let asked = Instant::now();
        self.0.send_multipart(request, 0).expect("the request leaves");
        let reply = self.0.recv_multipart(0).expect("an answer");
        let latency = asked.elapsed();
        assert_eq!(reply[3], b"200", "the fast domain lets its user in");
        latency
    }
}
