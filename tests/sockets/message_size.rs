//! How much memory a stranger can make a server allocate.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::fixture::{Fixture, MECHANISMS, Mechanism};
use crate::harness::sockets::socket;
use crate::harness::{DEADLINE, process, usage};

const LIMIT: i64 = 64 << 20;

#[test]
fn server_roles_bound_the_size_of_messages_where_the_program_has_not() {
    let context = zmq::Context::new();
    for mechanism in MECHANISMS {
        let fixture = Fixture::new(mechanism);
        let mut server = socket(&context, zmq::REP);
        fixture.set_up_server(&mut server).unwrap();
        assert_eq!(server.get_maxmsgsize(), Ok(LIMIT), "{mechanism:?}");
        server.set_maxmsgsize(1_000).unwrap();
        fixture.set_up_server(&mut server).unwrap();
        assert_eq!(server.get_maxmsgsize(), Ok(1_000), "{mechanism:?}: the program's own limit stays");
        let mut client = socket(&context, zmq::REQ);
        fixture.set_up_client(&mut client).unwrap();
        assert_eq!(client.get_maxmsgsize(), Ok(-1), "{mechanism:?}: clients aren't bounded");
    }
}

#[test]
fn a_huge_handshake_command_ends_its_connection_and_takes_no_memory() {
    if process::is_child() {
        let context = zmq::Context::new();
        for mechanism in MECHANISMS {
            let fixture = Fixture::new(mechanism);
            let server = fixture.server(&context, 30_000);
            let before = usage::resident(std::process::id());
            for _ in 0..3 {
                announce(server.port(), mechanism, 900 << 20);
            }
            let grown = usage::resident(std::process::id()).saturating_sub(before);
            assert!(grown < 64 << 10, "{mechanism:?}: {grown} KiB more");
        }
        return;
    }
    let name = "message_size::a_huge_handshake_command_ends_its_connection_and_takes_no_memory";
    let ended = process::run_again(name, &[], 3 * DEADLINE);
    assert!(ended.status.is_some_and(|status| status.success()), "{ended:?}");
}

/// Sends a greeting and the head of a command of this size (ZMTP 3.1, RFC 37), then bytes until the server hangs up.
fn announce(port: u16, mechanism: Mechanism, size: u64) {
    let name: &[u8] = match mechanism {
        Mechanism::Null => b"NULL",
        Mechanism::Plain => b"PLAIN",
        Mechanism::Curve => b"CURVE",
    };
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut greeting = [0; 64];
    (greeting[0], greeting[9], greeting[10], greeting[11]) = (0xFF, 0x7F, 3, 1);
    greeting[12..12 + name.len()].copy_from_slice(name);
    stream.write_all(&greeting).unwrap();
    stream.read_exact(&mut [0; 64]).unwrap();
    stream.write_all(&[0x06]).unwrap();
    stream.write_all(&size.to_be_bytes()).unwrap();
    // 200 MiB of it, or as much as the server accepts.
    let chunk = vec![0; 1 << 20];
    let hung_up = (0..200).any(|_| stream.write_all(&chunk).is_err());
    let mut byte = [0];
    let ended = hung_up
        || loop {
            match stream.read(&mut byte) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => break !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        };
    assert!(ended, "{mechanism:?}: the server waits for the rest of {size} bytes");
}
