//! A recorded handshake: what the good client sends until it is accepted, byte for byte.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use zmq_auth::Handshake;

use crate::guarded::GuardedServer;

/// The length of a greeting (RFC 23).
pub(crate) const GREETING: usize = 64;

/// Connects the good client and records what it sends.
pub(crate) fn handshake(guarded: &mut GuardedServer) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let (said, port) = (Arc::new(Mutex::new(Vec::new())), guarded.server.port());
    let writes = said.clone();
    thread::spawn(move || {
        let Ok((mut client, _)) = listener.accept() else { return };
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)) else { return };
        let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from_server, &mut to_client);
            let _ = to_client.shutdown(Shutdown::Both);
        });
        let mut buffer = [0; 4096];
        while let Ok(n) = client.read(&mut buffer) {
            // Recorded before it is sent on, so that the record contains everything the server answers to.
            writes.lock().unwrap().extend_from_slice(&buffer[..n]);
            if n == 0 || server.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Write);
    });
    let mut client = guarded.fixture.client_once(&guarded.context, &endpoint);
    client.expect(Handshake::Authenticated);
    guarded.server.expect(Handshake::Authenticated);
    let said = said.lock().unwrap().clone();
    assert!(said.len() > GREETING && said.starts_with(&[0xff]), "no handshake: {said:?}");
    said
}
