//! Endpoints without a server, or with one of another kind.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::{Keys, SHORT, TIMEOUT, assert_causes, listener, ping, ping_text};

const NULL: &[&str] = &["--null", "--timeout", TIMEOUT];

fn null(endpoint: &str) -> Vec<&str> {
    [&[endpoint], NULL].concat()
}

/// A free port of this machine.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn nobody_listens_at_a_port() {
    let endpoint = format!("tcp://127.0.0.1:{}", free_port());
    let report = ping(Path::new("."), &null(&endpoint), "", 5);
    assert_causes(&report, &["not-listening", "other-address", "firewall"]);
    let text = ping_text(Path::new("."), &null(&endpoint), 5);
    assert!(text.contains(": unreachable: the connection was refused (NULL, "), "{text}");
}

#[test]
fn a_name_that_does_not_resolve_is_named() {
    let report = ping(Path::new("."), &null("tcp://no-such-host.invalid:5555"), "", 5);
    assert_causes(&report, &["name"]);
    assert!(report["attempts"].as_array().unwrap().is_empty(), "{report}");
}

/// The listener's queue is full, so the system doesn't answer: like a firewall that drops packets.
#[test]
fn no_answer_is_not_a_refusal() {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    // 128 places by default, and some more until the system stops answering.
    let is_full = (0..8192).any(|_| match TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        Ok(stream) => {
            waiting.push(stream);
            false
        }
        Err(error) => matches!(error.kind(), ErrorKind::TimedOut),
    });
    assert!(is_full, "{} connections were accepted", waiting.len());
    let report = ping(Path::new("."), &[&format!("tcp://{address}"), "--null", "--timeout", SHORT], "", 5);
    assert_causes(&report, &["firewall", "host"]);
}

#[test]
fn what_accepts_and_never_speaks_is_silent() {
    let (keys, endpoint) = (Keys::new(), listener(b"", false));
    let report = ping(keys.path(), &[&endpoint, "--null", "--timeout", SHORT], "", 4);
    assert_causes(&report, &["not-zeromq"]);
    let arguments = [&endpoint, "--server", "server.key", "--key", "alice.key_secret", "--timeout", SHORT];
    let report = ping(keys.path(), &arguments, "", 4);
    assert_causes(&report, &["not-zeromq"]);
    assert!(report["milliseconds"].as_u64().unwrap() < 30_000, "{report}");
}

/// One byte after another: the connection was made, so the endpoint is reachable.
#[test]
fn a_slow_greeting_is_not_a_handshake() {
    use std::io::Write;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    // They end with the test program, or with the client.
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { continue };
            std::thread::spawn(move || {
                for byte in [0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3].into_iter().chain([0; 53]) {
                    if client.write_all(&[byte]).is_err() {
                        return;
                    }
                    // Slowness is what is tested here.
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
            });
        }
    });
    let report = ping(Path::new("."), &[&endpoint, "--null", "--timeout", SHORT], "", 4);
    assert_causes(&report, &["slow"]);
}

/// A server of another library than libzmq tells the client to retry.
#[test]
fn status_300_in_an_error_command_is_denied() {
    let mut greeting = vec![0; 64];
    greeting[..12].copy_from_slice(&[0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 0]);
    greeting[12..16].copy_from_slice(b"NULL");
    greeting.extend(b"\x04\x0a\x05ERROR\x03300");
    let endpoint = listener(greeting.leak(), false);
    let report = ping(Path::new("."), &null(&endpoint), "", 3);
    assert_causes(&report, &["put-off"]);
    assert_eq!(report["code"], 300, "{report}");
    assert!(report["summary"].as_str().unwrap().contains("told the client to retry"), "{report}");
}

#[test]
fn another_protocol_is_not_a_handshake() {
    let keys = &Keys::new();
    let greetings: [&'static [u8]; 3] =
        [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\0\0\0\0\0\0\0\0\0"];
    let check = |greeting: &'static [u8], hangs_up| {
        let endpoint = listener(greeting, hangs_up);
        let report = ping(keys.path(), &[&endpoint, "--null", "--timeout", SHORT], "", 4);
        assert_causes(&report, &["not-zeromq"]);
        let arguments = [&endpoint, "--server", "server.key", "--key", "alice.key_secret", "--timeout", SHORT];
        let report = ping(keys.path(), &arguments, "", 4);
        assert_causes(&report, &["not-zeromq"]);
    };
    // In parallel, since most of them last until the deadline.
    std::thread::scope(|scope| {
        for (greeting, hangs_up) in greetings.into_iter().flat_map(|greeting| [(greeting, true), (greeting, false)]) {
            scope.spawn(move || check(greeting, hangs_up));
        }
    });
}

#[test]
fn an_ipc_path_that_leads_nowhere_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let report = ping(directory.path(), &null("ipc://missing.sock"), "", 5);
    assert_causes(&report, &["no-file"]);
    // The listener is gone, but not its file.
    drop(UnixListener::bind(directory.path().join("left.sock")).unwrap());
    let report = ping(directory.path(), &null("ipc://left.sock"), "", 5);
    assert_causes(&report, &["not-listening"]);
    let report = ping(directory.path(), &null("ipc://@zmq-auth-no-such-name"), "", 5);
    assert_causes(&report, &["not-listening"]);
    let _listener = UnixListener::bind(directory.path().join("locked.sock")).unwrap();
    let locked = directory.path().join("locked.sock");
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).unwrap();
    // Root may connect to everything.
    if std::os::unix::net::UnixStream::connect(&locked).is_err() {
        assert_causes(&ping(directory.path(), &null("ipc://locked.sock"), "", 5), &["permission"]);
    }
}
