//! Clients that forge `User-Id` and `Peer-Address` in their own handshake (RFC 23 lets them send any property).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use zmq_auth::{Authenticator, Received, SocketExt};

use crate::harness::DEADLINE;
use crate::harness::sockets::{Server, Transport};

const FORGED: [(&str, &str); 3] = [("Socket-Type", "PUSH"), ("User-Id", "admin"), ("Peer-Address", "10.0.0.1")];

/// ZMTP 3.0 by hand, with the NULL mechanism, these properties, and one message.
fn send_hello(mut stream: impl Read + Write, properties: &[(&str, &str)]) {
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
    greeting.extend(b"NULL");
    greeting.resize(64, 0);
    stream.write_all(&greeting).unwrap();
    stream.read_exact(&mut greeting).unwrap();
    let mut ready = b"\x05READY".to_vec();
    for (name, value) in properties {
        ready.push(name.len() as u8);
        ready.extend(name.as_bytes());
        ready.extend((value.len() as u32).to_be_bytes());
        ready.extend(value.as_bytes());
    }
    stream.write_all(&[4, ready.len() as u8]).unwrap();
    stream.write_all(&ready).unwrap();
    // The server's READY.
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    stream.read_exact(&mut vec![0; head[1].into()]).unwrap();
    stream.write_all(b"\x00\x05hello").unwrap();
}

/// A message over TCP from a client that forges properties.
fn forged(server: &Server) -> Received {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    send_hello(&stream, &FORGED);
    server.receive()
}

/// libzmq's default, which the documentation of `Sender` warns about: here it asks nobody, and believes the client.
#[test]
fn without_a_guard_the_user_id_is_what_the_client_claims() {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let _running = auth.start(&context).unwrap();
    let server = Server::bind(&context, zmq::PULL, Transport::Tcp, |_| Ok::<(), zmq::Error>(()));
    assert_eq!(forged(&server).user_id(), Some("admin"));
    assert_eq!(auth.counters().allowed, 0, "nobody is asked");
}

#[test]
fn a_guarded_server_ignores_the_user_id_and_address_that_a_client_claims() {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let _running = auth.start(&context).unwrap();
    let server = Server::bind(&context, zmq::PULL, Transport::Tcp, |socket| socket.null_server("forged"));
    let received = forged(&server);
    assert_eq!((received.user_id(), received.address()), (None, Some("127.0.0.1")));
    assert_eq!(auth.counters().allowed, 1);
}

#[test]
fn a_guarded_ipc_server_ignores_them_too() {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let _running = auth.start(&context).unwrap();
    let server = Server::bind(&context, zmq::PULL, Transport::Ipc, |socket| socket.null_server("forged"));
    let stream = UnixStream::connect(server.path()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    send_hello(&stream, &FORGED);
    let received = server.receive();
    assert_eq!(received.user_id(), None);
    assert_ne!(received.address(), Some("10.0.0.1"));
    assert_eq!(received.sender().ip(), None);
}
