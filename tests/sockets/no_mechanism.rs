//! Sockets without ZMTP have no security mechanism, and accept no role.

use zmq_auth::{Error, SocketExt};

use crate::harness::log::{keys, password};
use crate::harness::sockets::socket;

#[test]
fn a_stream_socket_takes_no_role() {
    let (context, pair) = (zmq::Context::new(), keys());
    let mut stream = socket(&context, zmq::STREAM);
    let results = [
        stream.curve_server(&pair, "lab"),
        stream.curve_client(&pair, &pair.public),
        stream.plain_server("lab"),
        stream.plain_client("alice", &password("a")),
        stream.null_server("lab"),
    ];
    for (n, result) in results.into_iter().enumerate() {
        let error = result.expect_err(&format!("call {n} guards nothing"));
        assert!(matches!(error, Error::NoMechanism { .. }) && error.to_string().contains("STREAM"), "{error}");
    }
    assert_eq!(stream.get_mechanism(), Ok(zmq::Mechanism::ZMQ_NULL), "a call that fails has changed nothing");
}
