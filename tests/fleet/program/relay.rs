//! A relay between the program and a NATS server that counts writes, ends after some of them, or does something before the
//! first.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Forwards connections until it has seen this many writes. Its threads end with the connections.
pub(super) struct Relay {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    before_first: Option<Box<dyn FnOnce() + Send>>,
    writes: usize,
    most: usize,
    /// How many connections have written.
    writing: usize,
    connections: Vec<TcpStream>,
}

impl Relay {
    pub(super) fn to(port: u16, most: usize) -> Self {
        Relay::new(port, most, None)
    }

    /// Does something before it passes the first write on.
    pub(super) fn before_first(port: u16, work: impl FnOnce() + Send + 'static) -> Self {
        Relay::new(port, usize::MAX, Some(Box::new(work)))
    }

    fn new(port: u16, most: usize, before_first: Option<Box<dyn FnOnce() + Send>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen { before_first, writes: 0, most, writing: 0, connections: vec![] }));
        let relay = Relay { port: own, seen: seen.clone() };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
                // Held while it is noted, so that none is forgotten at the end.
                let mut held = seen.lock().unwrap();
                if held.writes >= held.most {
                    continue;
                }
                held.connections.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                drop(held);
                let (from_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let seen = seen.clone();
                thread::spawn(move || pass(&from_client, &server, Some(&seen)));
                thread::spawn(move || pass(&from_server, &client, None));
            }
        });
        relay
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(super) fn writing_connections(&self) -> usize {
        self.seen.lock().unwrap().writing
    }
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, seen: Option<&Mutex<Seen>>) {
    let (mut buffer, mut has_written) = ([0; 4096], false);
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let part = &buffer[..length];
        if let Some(seen) = seen
            && part.windows(b"PUB $KV.".len()).any(|window| window == b"PUB $KV.")
        {
            let mut seen = seen.lock().unwrap();
            seen.writes += 1;
            seen.writing += usize::from(!std::mem::replace(&mut has_written, true));
            if seen.writes >= seen.most {
                for connection in seen.connections.drain(..) {
                    let _ = connection.shutdown(Shutdown::Both);
                }
                return;
            }
            let before_first = seen.before_first.take();
            drop(seen);
            if let Some(work) = before_first {
                work();
            }
        }
        if to.write_all(part).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
