//! Processes that can't have more threads.

use std::thread;

use zmq_auth::{Authenticator, Error};

use crate::harness::process::isolated;
use crate::harness::system::{Scope, refuse};
use crate::harness::zap::{self, Asker};
use crate::harness::{domain, log};
use crate::started_context;

const NEW_THREAD: &[libc::c_long] = &[libc::SYS_clone, libc::SYS_clone3];

#[test]
fn a_callback_for_which_no_thread_can_be_had_is_a_fault_of_its_client() {
    isolated(|| {
        let (domain, context, auth) = (domain("thread"), started_context(), Authenticator::new());
        auth.configure_plain_callback(&domain, |_, _, _| true).unwrap();
        let password = log::password("thread");
        let by_callback = zap::request(&domain, "127.0.0.1", "PLAIN", &[b"alice", password.as_bytes()]);
        let by_table = zap::request(&domain, "127.0.0.1", "NULL", &[]);
        let _running = auth.start(&context).unwrap();
        let asker = Asker::connect(&context);
        let ask = |request: &[Vec<u8>]| {
            asker.ask(request);
            zap::status_of(&asker.reply())
        };
        assert_eq!(ask(&by_table), 200);
        refuse(NEW_THREAD, libc::EAGAIN, Scope::Process);
        for _ in 0..3 {
            assert_eq!([ask(&by_callback), ask(&by_table)], [500, 200]);
        }
        assert_eq!(auth.counters().faults, 3);
    });
}

#[test]
fn a_handler_for_which_no_thread_can_be_had_is_an_error_and_leaves_the_endpoint_free() {
    isolated(|| {
        log::install();
        let (context, auth) = (started_context(), Authenticator::new());
        thread::scope(|scope| {
            let refused = scope.spawn(|| {
                refuse(NEW_THREAD, libc::EAGAIN, Scope::Thread);
                auth.start(&context).map(drop)
            });
            let refused = refused.join().expect("start doesn't panic");
            assert!(matches!(refused, Err(Error::Thread(_))), "{refused:?}");
        });
        auth.start(&context).expect("others may have threads").stop().unwrap();
    });
}
