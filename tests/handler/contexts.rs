//! Contexts that end in the middle of a handshake, at every step of it: nothing hangs or aborts, and the guard ends.

use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::thread::{park_timeout, spawn};
use std::time::Duration;

use zmq_auth::{Authenticator, Handshake};

use crate::harness::DEADLINE;
use crate::harness::barrier::{Barrier, OpenOnDrop};
use crate::harness::fixture::{DOMAIN, Fixture, Mechanism};
use crate::harness::front_end::{FrontEnd, Running, isolated_behaviours};
use crate::harness::sockets::{Client, Server};

isolated_behaviours!(the_context_ends_at_every_step_of_a_handshake, the_context_ends_at_any_moment);

#[derive(Debug, Clone, Copy)]
enum Step {
    BeforeConnect,
    Connected,
    Greeted,
    InsideTheCallback,
    TheCallbackHasReturned,
    Answered,
    AfterAMessage,
}

/// A server with a callback at a barrier, and a client in its own context.
struct Setup {
    open_on_drop: OpenOnDrop,
    barrier: Barrier,
    context: zmq::Context,
    server: Server,
    running: Running,
    fixture: Fixture,
    clients: zmq::Context,
}

impl Setup {
    fn new(front_end: FrontEnd, mechanism: Mechanism) -> Self {
        let (context, fixture, auth) = (zmq::Context::new(), Fixture::new(mechanism), Authenticator::new());
        auth.limit_callbacks(8, Duration::from_secs(600)).unwrap();
        let (barrier, open_on_drop) = Barrier::new();
        let (plain, curve) = (barrier.clone(), barrier.clone());
        let pass = |barrier: &Barrier| {
            barrier.wait();
            true
        };
        auth.configure_plain_callback(DOMAIN, move |_, _, _| pass(&plain)).unwrap();
        auth.configure_curve_callback(DOMAIN, move |_, _| pass(&curve)).unwrap();
        let running = front_end.start(&auth, &context);
        let server = fixture.server(&context, 30_000);
        Setup { open_on_drop, barrier, context, server, running, fixture, clients: zmq::Context::new() }
    }

    fn client(&self) -> Client {
        self.fixture.client(&self.clients, self.server.endpoint())
    }

    /// Ends the context in the current state; then closes the server, as ETERM tells a program to.
    fn end(self, what: &str) {
        let Setup { open_on_drop, barrier, mut context, server, running, .. } = self;
        let (sender, ended) = channel();
        let ending = spawn(move || sender.send(context.destroy()));
        server.set_rcvtimeo(DEADLINE.as_millis() as i32).or_else(eterm).unwrap();
        let told = loop {
            match server.recv_bytes(0) {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(told, zmq::Error::ETERM, "{what}");
        drop(server);
        let ended = ended.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{what}: the context doesn't end"));
        ended.unwrap();
        ending.join().unwrap().unwrap();
        let (sender, stopped) = channel();
        spawn(move || sender.send(running.stop()));
        let stopped = stopped.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{what}: the guard doesn't end"));
        stopped.unwrap();
        drop(open_on_drop);
        barrier.wait_for(0);
    }
}

/// The context may end first.
fn eterm(error: zmq::Error) -> Result<(), zmq::Error> {
    if error == zmq::Error::ETERM { Ok(()) } else { Err(error) }
}

fn the_context_ends_at_every_step_of_a_handshake(front_end: FrontEnd) {
    use Step::*;
    for mechanism in [Mechanism::Plain, Mechanism::Curve] {
        for step in
            [BeforeConnect, Connected, Greeted, InsideTheCallback, TheCallbackHasReturned, Answered, AfterAMessage]
        {
            let setup = Setup::new(front_end, mechanism);
            let (mut streams, mut clients) = (Vec::new(), Vec::new());
            match step {
                BeforeConnect => {}
                Connected | Greeted => {
                    let mut stream = TcpStream::connect(("127.0.0.1", setup.server.port())).unwrap();
                    if matches!(step, Greeted) {
                        let mut greeting = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01".to_vec();
                        greeting.resize(64, 0);
                        stream.write_all(&greeting).unwrap();
                    }
                    streams.push(stream);
                }
                InsideTheCallback | TheCallbackHasReturned => {
                    clients.extend((0..4).map(|_| setup.client()));
                    setup.barrier.wait_for(4);
                    if matches!(step, TheCallbackHasReturned) {
                        setup.barrier.open();
                        setup.barrier.wait_for(0);
                    }
                }
                Answered | AfterAMessage => {
                    setup.barrier.open();
                    let mut client = setup.client();
                    client.expect(Handshake::Authenticated);
                    if matches!(step, AfterAMessage) {
                        client.exchange(&setup.server);
                    }
                    clients.push(client);
                }
            }
            setup.end(&format!("{mechanism:?}, {step:?}"));
        }
    }
}

/// Moments that no event marks, above all the request on its way to the handler: a different one each time.
fn the_context_ends_at_any_moment(front_end: FrontEnd) {
    for round in 0..150_u64 {
        let setup = Setup::new(front_end, if round % 2 == 0 { Mechanism::Plain } else { Mechanism::Curve });
        setup.barrier.open();
        let _clients: Vec<_> = (0..3).map(|_| setup.client()).collect();
        park_timeout(Duration::from_micros(round * 7919 % 6_000));
        setup.end(&format!("round {round}"));
    }
}
