//! A TCP relay: the test decides where each incoming connection goes, and when it is cut.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// The endpoint.
pub struct Relay {
    listener: TcpListener,
}

/// A relayed connection. Cut when dropped.
pub struct Passage {
    streams: [TcpStream; 2],
}

impl Relay {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Relay { listener }
    }

    pub fn endpoint(&self) -> String {
        format!("tcp://{}", self.listener.local_addr().unwrap())
    }

    /// The next connection, if one arrives in time.
    pub fn accept(&self, within: Duration) -> Option<TcpStream> {
        let end = Instant::now() + within;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    return Some(stream);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                    thread::park_timeout(Duration::from_millis(2));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Passage {
    /// Relays a connection to the listener at `endpoint`; cuts it once that has sent more than this many bytes.
    pub fn open(caller: TcpStream, endpoint: &str, at_most: usize) -> Self {
        let callee = TcpStream::connect(endpoint.strip_prefix("tcp://").unwrap()).unwrap();
        let passage = Passage { streams: [caller, callee] };
        let [from, to] = passage.ends();
        thread::spawn(move || forward(from, to, usize::MAX));
        let [to, from] = passage.ends();
        thread::spawn(move || forward(from, to, at_most));
        passage
    }

    fn ends(&self) -> [TcpStream; 2] {
        self.streams.each_ref().map(|stream| stream.try_clone().unwrap())
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        for stream in &self.streams {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, at_most: usize) {
    let (mut total, mut buffer) = (0, [0; 4096]);
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
        total += n;
        if total > at_most {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
