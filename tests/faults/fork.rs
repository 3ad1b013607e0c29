//! A process that forks while a handler runs: the parent goes on, and the child may exit or become another program.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Instant;

use zmq_auth::Authenticator;

use crate::alone;
use crate::harness::doors::{Door, Mechanism};
use crate::harness::faces::Face;
use crate::harness::sockets::Server;
use crate::harness::system::{ended, fork, kill};
use crate::harness::wait_until;

/// How the child ends: its exit code, or minus the signal.
#[track_caller]
fn forked(what: &str, child: impl FnOnce() -> u8) -> i32 {
    let start = Instant::now();
    let pid = fork(child);
    let mut end = None;
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until(what, || {
            end = ended(pid);
            end.is_some()
        });
    }));
    if waited.is_err() {
        kill(pid);
    }
    eprintln!("# {what}: {end:?} after {:?}", start.elapsed());
    waited.unwrap_or_else(|_| panic!("{what}: the child hangs"));
    end.expect("it has ended")
}

struct Scene {
    door: Door,
    auth: Authenticator,
    context: zmq::Context,
    server: Server,
}

impl Scene {
    fn new() -> Self {
        let (context, door, auth) = (zmq::Context::new(), Door::new(Mechanism::Curve), Authenticator::new());
        door.configure(&auth);
        let server = door.server(&context, 30_000);
        Scene { door, auth, context, server }
    }

    /// The parent lets the rightful one in, and nobody else.
    #[track_caller]
    fn assert_guarded(&self) {
        self.door.client(&self.context, self.server.endpoint()).round_trip(&self.server);
        let (stranger, key) = (crate::harness::log::keys(), self.door.server_keys.public);
        crate::harness::sockets::Client::curve(&self.context, self.server.endpoint(), &stranger, &key).expect_denied();
    }
}

#[test]
fn the_parent_goes_on_and_the_child_may_exit_or_become_another_program_thread() {
    alone("fork::the_parent_goes_on_and_the_child_may_exit_or_become_another_program_thread", || go_on(Face::Thread));
}

#[cfg(feature = "tokio")]
#[test]
fn the_parent_goes_on_and_the_child_may_exit_or_become_another_program_tokio() {
    alone("fork::the_parent_goes_on_and_the_child_may_exit_or_become_another_program_tokio", || {
        go_on(Face::MultiThread)
    });
}

fn go_on(face: Face) {
    let scene = Scene::new();
    let running = face.start(&scene.auth, &scene.context);
    scene.assert_guarded();
    for _ in 0..5 {
        assert_eq!(forked("_exit", || 7), 7);
        scene.assert_guarded();
        let become_another = || {
            let error = Command::new("true").exec();
            eprintln!("{error}");
            1
        };
        assert_eq!(forked("exec", become_another), 0);
        scene.assert_guarded();
    }
    running.stop().unwrap();
    scene.auth.start(&scene.context).expect("the endpoint is free").stop().unwrap();
}
