//! What only the tokio face does: async callbacks, and living in a runtime. What both faces do alike is in
//! `tests/behaviour`.

#[path = "../harness/mod.rs"]
mod harness;

mod bounds;
mod callbacks;
mod ends;
mod handler;
mod many;
mod stopping;
mod under_load;

use std::sync::mpsc;
use std::thread;

use harness::faces::Face;
use harness::{DEADLINE, zap};
use tokio::runtime::{Builder, Runtime};

/// Makes a test of each behaviour for each kind of runtime.
macro_rules! on_both_runtimes {
    ($($name:ident),* $(,)?) => {
        mod current_thread {
            $(#[test] fn $name() { super::$name($crate::harness::faces::Face::CurrentThread) })*
        }
        mod multi_thread {
            $(#[test] fn $name() { super::$name($crate::harness::faces::Face::MultiThread) })*
        }
    };
}
use on_both_runtimes;

/// A runtime of the test's own, for what has to happen in it.
fn runtime(face: Face) -> Runtime {
    harness::log::install();
    let mut builder = match face {
        Face::CurrentThread => Builder::new_current_thread(),
        Face::MultiThread => Builder::new_multi_thread(),
        Face::Thread => panic!("no runtime"),
    };
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// A PLAIN request whose user name is also its request id, by which the test knows its answer again.
fn plain(domain: &str, user: &str) -> Vec<Vec<u8>> {
    let password = harness::log::password("of anybody");
    let mut request = zap::request(domain, "127.0.0.1", "PLAIN", &[user.as_bytes(), password.as_bytes()]);
    request[1] = user.as_bytes().to_vec();
    request
}

/// The next reply: its request id and its status.
#[track_caller]
fn answered(asker: &zap::Asker) -> (String, u16) {
    let reply = asker.reply();
    (String::from_utf8(reply[1].clone()).unwrap(), zap::status_of(&reply))
}

/// Sends one request and answers its status.
#[track_caller]
fn ask(asker: &zap::Asker, domain: &str, user: &str) -> u16 {
    asker.ask(&plain(domain, user));
    let (id, status) = answered(asker);
    assert_eq!(id, user, "the answer to another request");
    status
}

/// Runs what could hang in a thread of its own, and fails when it does.
#[track_caller]
fn within_the_deadline<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = what();
        let _ = done.send(());
        result
    });
    match is_done.recv_timeout(DEADLINE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload)),
    }
}

/// Tells when it is dropped, as what a cancelled callback holds is.
struct Tell(mpsc::Sender<&'static str>, &'static str);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}
