//! A server and clients over TCP, and the outcome for a client.

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};

use zmq::SocketEvent;

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The ZAP domain of every server here.
pub const DOMAIN: &str = "consumers";

/// How long any step may take.
const PATIENCE_MS: i32 = 10_000;

/// A socket that never waits forever and keeps nothing when it is closed.
pub fn socket(context: &zmq::Context, kind: zmq::SocketType) -> Outcome<zmq::Socket> {
    let socket = context.socket(kind)?;
    socket.set_linger(0)?;
    socket.set_rcvtimeo(PATIENCE_MS)?;
    socket.set_sndtimeo(PATIENCE_MS)?;
    Ok(socket)
}

/// Binds to a free port and returns the endpoint to connect to.
pub fn bind(server: &zmq::Socket) -> Outcome<String> {
    server.bind("tcp://127.0.0.1:*")?;
    server.get_last_endpoint()?.map_err(|_| "the endpoint is no text".into())
}

/// Connects a REQ socket and exchanges a request and a reply with the server, a REP socket.
pub fn expect_reply(server: &zmq::Socket, client: &zmq::Socket, endpoint: &str) -> Outcome {
    client.connect(endpoint)?;
    client.send("question", 0)?;
    let question = server.recv_bytes(0).map_err(|e| format!("the server got no question: {e}"))?;
    server.send("answer", 0)?;
    let answer = client.recv_bytes(0).map_err(|e| format!("the client got no answer: {e}"))?;
    if (question.as_slice(), answer.as_slice()) != (b"question", b"answer") {
        return Err("question or answer were changed on the way".into());
    }
    Ok(())
}

/// Connects a socket and expects the server to refuse it with ZAP's status 400.
pub fn expect_refusal(context: &zmq::Context, client: &zmq::Socket, endpoint: &str) -> Outcome {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let address = format!("inproc://monitor.{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let (refused, accepted) = (SocketEvent::HANDSHAKE_FAILED_AUTH as u16, SocketEvent::HANDSHAKE_SUCCEEDED as u16);
    client.monitor(&address, i32::from(refused | accepted))?;
    let monitor = socket(context, zmq::PAIR)?;
    monitor.connect(&address)?;

    client.connect(endpoint)?;
    let frames = monitor.recv_multipart(0).map_err(|e| format!("the handshake did not end: {e}"))?;
        // zmq_socket_monitor(3): a 16-bit event and a 32-bit value in native byte order, then the endpoint.
    let (event, value) = match frames.first().map(Vec::as_slice) {
        Some(&[e0, e1, v0, v1, v2, v3]) => (u16::from_ne_bytes([e0, e1]), u32::from_ne_bytes([v0, v1, v2, v3])),
        _ => return Err("the monitor sent no event".into()),
    };
    if (event, value) != (refused, 400) {
        return Err(format!("expected a refusal with status 400, got event {event:#x} with value {value}").into());
    }
    Ok(())
}
