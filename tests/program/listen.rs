//! `zmq-auth listen`: wrong use. (The page for operators runs it.)

use crate::run::run;

#[test]
fn endpoints_without_a_handshake_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("policy.toml"), "").unwrap();
    for (endpoint, says) in [
        ("inproc://a", "no security mechanism"),
        ("5555", "is not an endpoint"),
        ("udp://127.0.0.1:5555", "only tcp:// and ipc:// have a handshake"),
        ("pgm://eth0;239.0.0.1:5555", "only tcp:// and ipc:// have a handshake"),
        ("ipc://", "has no path"),
    ] {
        let outcome = run(dir.path(), &["listen", "policy.toml", endpoint, "--domain", "lab", "--null"]);
        assert!(outcome.code == 2 && outcome.stderr.contains(says), "{endpoint}: {} {}", outcome.code, outcome.stderr);
        assert!(outcome.stderr.contains("Write tcp://ADDRESS:PORT or ipc://PATH."), "{}", outcome.stderr);
        assert_eq!(outcome.stdout, "");
    }
}
