//! Forks while a handler runs: the parent is not disturbed, and the child may exit or become another program.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Instant;

use zmq_auth::Authenticator;

use crate::harness::fixture::{Fixture, Mechanism};
use crate::harness::front_end::FrontEnd;
use crate::harness::process::isolated;
use crate::harness::sockets::Server;
use crate::harness::system::{ended, fork, kill};
use crate::harness::wait_until;

/// The outcome of the child: its exit code, or the negative number of a signal.
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

struct Setup {
    fixture: Fixture,
    auth: Authenticator,
    context: zmq::Context,
    server: Server,
}

impl Setup {
    fn new() -> Self {
        let (context, fixture, auth) = (zmq::Context::new(), Fixture::new(Mechanism::Curve), Authenticator::new());
        fixture.configure(&auth);
        let server = fixture.server(&context, 30_000);
        Setup { fixture, auth, context, server }
    }

    /// The parent accepts the good client, and nobody else.
    #[track_caller]
    fn assert_guarded(&self) {
        self.fixture.client(&self.context, self.server.endpoint()).round_trip(&self.server);
        let (stranger, key) = (crate::harness::log::keys(), self.fixture.server_keys.public);
        crate::harness::sockets::Client::curve(&self.context, self.server.endpoint(), &stranger, &key).expect_denied();
    }
}

#[test]
fn the_parent_is_not_disturbed_and_the_child_may_exit_or_exec_thread() {
    isolated(|| go_on(FrontEnd::Thread));
}

#[cfg(feature = "tokio")]
#[test]
fn the_parent_is_not_disturbed_and_the_child_may_exit_or_exec_tokio() {
    isolated(|| go_on(FrontEnd::MultiThread));
}

fn go_on(front_end: FrontEnd) {
    let setup = Setup::new();
    let running = front_end.start(&setup.auth, &setup.context);
    setup.assert_guarded();
    for _ in 0..5 {
        assert_eq!(forked("_exit", || 7), 7);
        setup.assert_guarded();
        let become_another = || {
            let error = Command::new("true").exec();
            eprintln!("{error}");
            1
        };
        assert_eq!(forked("exec", become_another), 0);
        setup.assert_guarded();
    }
    running.stop().unwrap();
    setup.auth.start(&setup.context).expect("the endpoint is free").stop().unwrap();
}
