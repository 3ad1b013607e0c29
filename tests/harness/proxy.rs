//! A proxy for one TCP connection that damages what the client sends.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// The damage to the bytes that contain a command's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// One bit of the last byte is flipped.
    Flip(&'static str),
    /// One bit is flipped, in the byte at this offset from the start of the name.
    FlipAt(&'static str, usize),
    /// The second half is omitted, and the client's stream ends.
    Truncate(&'static str),
    /// It is sent twice.
    Repeat(&'static str),
}

/// Returns the endpoint to connect to, for one connection to the server at this port.
pub fn start(port: u16, damage: Damage) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let Ok((client, _)) = listener.accept() else { return };
        // Nobody listens from now on: a client that retries finds a closed port.
        drop(listener);
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
        let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from_server, &mut to_client);
            let _ = to_client.shutdown(Shutdown::Both);
        });
        forward(client, server, damage);
    });
    address
}

fn forward(mut client: TcpStream, mut server: TcpStream, damage: Damage) {
    let mut buffer = vec![0; 65_536];
    while let Ok(n) = client.read(&mut buffer) {
        if n == 0 {
            break;
        }
        let mut bytes = buffer[..n].to_vec();
        let has = |name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
        let mut end = false;
        match damage {
            Damage::Flip(name) if has(name) => bytes[n - 1] ^= 1,
            Damage::FlipAt(name, place) if has(name) => {
                let start = bytes.windows(name.len()).position(|window| window == name.as_bytes());
                bytes[start.expect("it has the name") + place] ^= 1;
            }
            Damage::Truncate(name) if has(name) => {
                bytes.truncate(n / 2);
                end = true;
            }
            Damage::Repeat(name) if has(name) => bytes.extend_from_within(..),
            _ => {}
        }
        if server.write_all(&bytes).is_err() || end {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}
