//! Binding again: no duration and no system error makes it panic.

use std::fs;
use std::time::Duration;

use zmq_auth::{Error, SocketExt};

use crate::harness::sockets::{Server, Transport, socket};
#[cfg(target_os = "linux")]
use crate::harness::{DEADLINE, process, system};

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

// The limit is below every free number: nothing can be opened until it is raised.
#[cfg(target_os = "linux")]
#[test]
fn no_descriptor_left_is_waited_for() {
    if process::is_child() {
        let context = zmq::Context::new();
        let server = Server::bind(&context, zmq::REP, Transport::Tcp, |socket| socket.null_server("lab"));
        let limit = system::limit_descriptors(3);
        assert!(std::fs::File::open("/dev/null").is_err(), "no descriptor is left");
        std::thread::scope(|scope| {
            let rebound = scope.spawn(|| {
                // Some failed attempts.
                std::thread::park_timeout(Duration::from_millis(200));
                system::limit_descriptors(limit)
            });
            server.rebind(server.endpoint(), DEADLINE).unwrap();
            rebound.join().unwrap();
        });
        std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        return;
    }
    let ended = process::run_again("rebinding::no_descriptor_left_is_waited_for", &[], 2 * DEADLINE);
    assert!(ended.status.is_some_and(|status| status.success()), "{ended:?}");
}
