//! Binding again: no duration and no error of the system makes it panic.

use std::fs;
use std::time::Duration;

use zmq_auth::{Error, SocketExt};

use crate::harness::sockets::{Server, Transport, socket};

#[test]
fn a_time_that_no_clock_can_tell_is_no_deadline() {
    let context = zmq::Context::new();
    let server = Server::bind(&context, zmq::REP, Transport::Tcp, |socket| socket.null_server("lab"));
    server.rebind(server.endpoint(), Duration::MAX).unwrap();
}

#[test]
fn an_error_that_the_zmq_crate_does_not_know_is_an_error() {
    let context = zmq::Context::new();
    let directory = tempfile::tempdir().unwrap();
    let (inner, server) = (directory.path().join("inner"), socket(&context, zmq::REP));
    fs::create_dir(&inner).unwrap();
    let endpoint = format!("ipc://{}", inner.join("server").display());
    server.bind(&endpoint).unwrap();
    fs::rename(&inner, directory.path().join("moved")).unwrap();
    fs::write(&inner, "a file").unwrap();
    let error = server.rebind(&endpoint, Duration::ZERO).unwrap_err();
    assert!(matches!(&error, Error::Zmq { source, .. } if source.raw() == libc::ENOTDIR), "{error:?}");
}
