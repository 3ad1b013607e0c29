//! The context ends in the middle of a handshake, at every step of it: nobody hangs, nothing aborts, and the guard ends.

use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use zmq_auth::{Authenticator, Handshake};

use crate::harness::DEADLINE;
use crate::harness::doors::{DOMAIN, Door, Mechanism};
use crate::harness::faces::{Face, Running};
use crate::harness::gate::{Gate, OpenAtEnd};
use crate::harness::sockets::{Client, Server};

macro_rules! for_every_face {
    ($($name:ident),* $(,)?) => {
        mod thread_face {
            $(#[test] fn $name() {
                crate::alone(concat!("contexts::thread_face::", stringify!($name)), || super::$name(super::Face::Thread));
            })*
        }
        #[cfg(feature = "tokio")]
        mod tokio_current_thread {
            $(#[test] fn $name() {
                let name = concat!("contexts::tokio_current_thread::", stringify!($name));
                crate::alone(name, || super::$name(super::Face::CurrentThread));
            })*
        }
        #[cfg(feature = "tokio")]
        mod tokio_multi_thread {
            $(#[test] fn $name() {
                let name = concat!("contexts::tokio_multi_thread::", stringify!($name));
                crate::alone(name, || super::$name(super::Face::MultiThread));
            })*
        }
    };
}
for_every_face!(the_context_ends_at_every_step_of_a_handshake, the_context_ends_at_any_moment);

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

/// A server with a callback at a gate, and a client in a context of its own.
struct Scene {
    open_at_end: OpenAtEnd,
    gate: Gate,
    context: zmq::Context,
    server: Server,
    running: Running,
    door: Door,
    clients: zmq::Context,
}

impl Scene {
    fn new(face: Face, mechanism: Mechanism) -> Self {
        let (context, door, auth) = (zmq::Context::new(), Door::new(mechanism), Authenticator::new());
        auth.limit_callbacks(8, Duration::from_secs(600)).unwrap();
        let (gate, open_at_end) = Gate::new();
        let (plain, curve) = (gate.clone(), gate.clone());
        let pass = |gate: &Gate| {
            gate.pass();
            true
        };
        auth.configure_plain_callback(DOMAIN, move |_, _, _| pass(&plain)).unwrap();
        auth.configure_curve_callback(DOMAIN, move |_, _| pass(&curve)).unwrap();
        let running = face.start(&auth, &context);
        let server = door.server(&context, 30_000);
        Scene { open_at_end, gate, context, server, running, door, clients: zmq::Context::new() }
    }

    fn client(&self) -> Client {
        self.door.client(&self.clients, self.server.endpoint())
    }

    /// Ends the context while everything is as it is; then closes the server, as ETERM tells a program to.
    fn end(self, what: &str) {
        let Scene { open_at_end, gate, mut context, server, running, .. } = self;
        let (sender, ended) = channel();
        let ending = thread::spawn(move || sender.send(context.destroy()));
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
        thread::spawn(move || sender.send(running.stop()));
        let stopped = stopped.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{what}: the guard doesn't end"));
        stopped.unwrap();
        drop(open_at_end);
        gate.wait_for(0);
    }
}

/// The context may be faster.
fn eterm(error: zmq::Error) -> Result<(), zmq::Error> {
    if error == zmq::Error::ETERM { Ok(()) } else { Err(error) }
}

fn the_context_ends_at_every_step_of_a_handshake(face: Face) {
    use Step::*;
    for mechanism in [Mechanism::Plain, Mechanism::Curve] {
        for step in
            [BeforeConnect, Connected, Greeted, InsideTheCallback, TheCallbackHasReturned, Answered, AfterAMessage]
        {
            let scene = Scene::new(face, mechanism);
            let (mut streams, mut clients) = (Vec::new(), Vec::new());
            match step {
                BeforeConnect => {}
                Connected | Greeted => {
                    let mut stream = TcpStream::connect(("127.0.0.1", scene.server.port())).unwrap();
                    if matches!(step, Greeted) {
                        let mut greeting = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01".to_vec();
                        greeting.resize(64, 0);
                        stream.write_all(&greeting).unwrap();
                    }
                    streams.push(stream);
                }
                InsideTheCallback | TheCallbackHasReturned => {
                    clients.extend((0..4).map(|_| scene.client()));
                    scene.gate.wait_for(4);
                    if matches!(step, TheCallbackHasReturned) {
                        scene.gate.open();
                        scene.gate.wait_for(0);
                    }
                }
                Answered | AfterAMessage => {
                    scene.gate.open();
                    let mut client = scene.client();
                    client.expect(Handshake::Authenticated);
                    if matches!(step, AfterAMessage) {
                        client.exchange(&scene.server);
                    }
                    clients.push(client);
                }
            }
            scene.end(&format!("{mechanism:?}, {step:?}"));
        }
    }
}

/// What no event tells of, the question on its way to the handler above all: another moment each time.
fn the_context_ends_at_any_moment(face: Face) {
    for round in 0..150_u64 {
        let scene = Scene::new(face, if round % 2 == 0 { Mechanism::Plain } else { Mechanism::Curve });
        scene.gate.open();
        let _clients: Vec<_> = (0..3).map(|_| scene.client()).collect();
        thread::park_timeout(Duration::from_micros(round * 7919 % 6_000));
        scene.end(&format!("round {round}"));
    }
}
