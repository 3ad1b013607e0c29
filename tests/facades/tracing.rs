//! A program on `tracing` sees the same as one on `log`, through its subscriber's bridge.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tracing_subscriber::util::SubscriberInitExt;
use zmq_auth::Authenticator;

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn decisions_reach_a_tracing_subscriber_with_target_and_level() {
    let output = Output::default();
    let writer = output.clone();
    tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish().init();
    let auth = Authenticator::new();
    auth.handle_zap_message(&["1.0", "1", "lab", "10.0.0.7", "", "NULL"]);
    auth.handle_zap_message(&["1.0", "1", "lab", "10.0.0.8", "", "WHAT"]);
    let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
    let line = |part: &str| text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part} in {text}"));
    assert!(line("10.0.0.7").contains("INFO zmq_auth: allowed NULL in domain \"lab\""), "{text}");
    assert!(line("10.0.0.8").contains("WARN zmq_auth: denied WHAT in domain \"lab\""), "{text}");
}
