//! A proxy between a follower and its NATS server: a slow network, or one that carries nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Passes data on at a given rate. Its threads end with the connections.
pub(crate) struct Proxy {
    port: u16,
    network: Arc<Network>,
}

struct Network {
    /// Bytes per second towards the client; `None` for unlimited.
    rate: Mutex<Option<usize>>,
    changed: Condvar,
    /// How long the server's answer about a new consumer is held back: a large bucket's server needs seconds.
    creation: Mutex<Duration>,
}

impl Proxy {
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let network = Arc::new(Network { rate: Mutex::new(None), changed: Condvar::new(), creation: Mutex::default() });
        let proxy = Proxy { port: listener.local_addr().unwrap().port(), network: network.clone() };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for (from, to, slows) in [(&client, &server, false), (&server, &client, true)] {
                    let (from, to, network) = (from.try_clone().unwrap(), to.try_clone().unwrap(), network.clone());
                    thread::spawn(move || pass(&from, &to, slows.then_some(&network)));
                }
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// `Some(0)` holds everything back.
    pub(crate) fn set_rate(&self, rate: Option<usize>) {
        *self.network.rate.lock().unwrap() = rate;
        self.network.changed.notify_all();
    }

    pub(crate) fn delay_creation(&self, time: Duration) {
        *self.network.creation.lock().unwrap() = time;
    }
}

/// The type of the server's answer, in JSON.
const CREATED: &[u8] = b"consumer_create_response";

fn pass(mut from: &TcpStream, mut to: &TcpStream, network: Option<&Arc<Network>>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if let Some(network) = network {
            network.wait_for(length);
            if buffer[..length].windows(CREATED.len()).any(|bytes| bytes == CREATED) {
                let delay = *network.creation.lock().unwrap();
                thread::sleep(delay);
            }
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

impl Network {
    /// Waits for as long as this many bytes take.
    fn wait_for(&self, length: usize) {
        let start = Instant::now();
        let mut rate = self.rate.lock().unwrap();
        loop {
            let left = match *rate {
                None => return,
                Some(0) => Duration::from_secs(3600),
                Some(rate) => Duration::from_secs_f64(length as f64 / rate as f64).saturating_sub(start.elapsed()),
            };
            if left.is_zero() {
                return;
            }
            rate = self.changed.wait_timeout(rate, left).unwrap().0;
        }
    }
}
