//! Processes that are short of what the system has to give: descriptors and threads.

use std::thread;

use zmq_auth::{Authenticator, Error};

use crate::harness::process::is_child;
use crate::harness::zap::{self, Asker};
use crate::harness::{domain, log};
use crate::raw::{Refuse, with_descriptors_below};
use crate::{assert_survives, reached_the_end};

/// A context whose own threads run.
fn context() -> zmq::Context {
    let context = zmq::Context::new();
    drop(context.socket(zmq::PAIR).unwrap());
    context
}

/// The limit below which so many descriptors are free.
fn limit_of_descriptors(spare: usize) -> u64 {
    let open = |number: &u64| std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
    (0..).filter(|number| !open(number)).nth(spare).unwrap()
}

#[test]
fn without_descriptors_start_is_an_error_and_works_when_there_are_some_again() {
    if !is_child() {
        return assert_survives("resources::without_descriptors_start_is_an_error_and_works_when_there_are_some_again");
    }
    log::install();
    let (context, auth) = (context(), Authenticator::new());
    #[cfg(feature = "tokio")]
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut failed = 0;
    for spare in 0..10 {
        let started = with_descriptors_below(limit_of_descriptors(spare), || auth.start(&context));
        match started {
            Ok(running) => running.stop().unwrap(),
            Err(Error::Zmq { .. } | Error::Pipe(_)) => failed += 1,
            Err(error) => panic!("{spare} to spare: {error:?}"),
        }
        auth.start(&context).expect("there are enough again").stop().unwrap();
        #[cfg(feature = "tokio")]
        runtime.block_on(async {
            let to = limit_of_descriptors(spare);
            let started = with_descriptors_below(to, || {
                // It never waits: one poll is all of it.
                let mut start = Box::pin(auth.start_async(&context));
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                start.as_mut().poll(&mut context)
            });
            match started {
                std::task::Poll::Ready(Ok(running)) => running.stop().await.unwrap(),
                std::task::Poll::Ready(Err(_)) => {}
                std::task::Poll::Pending => panic!("start waits"),
            }
            auth.start_async(&context).await.expect("there are enough again").stop().await.unwrap();
        });
    }
    assert!((2..10).contains(&failed), "{failed} starts of 10 failed");
    reached_the_end();
}

/// `ENFILE`, an error number that the `zmq` crate doesn't know.
#[test]
fn a_system_without_descriptors_is_an_error_too() {
    if !is_child() {
        return assert_survives("resources::a_system_without_descriptors_is_an_error_too");
    }
    log::install();
    let (context, auth) = (context(), Authenticator::new());
    thread::scope(|scope| {
        let refused = scope.spawn(|| {
            Refuse::Descriptors.install();
            auth.start(&context).map(drop)
        });
        let refused = refused.join().expect("start doesn't panic");
        assert!(matches!(refused, Err(Error::Zmq { .. })), "{refused:?}");
    });
    auth.start(&context).expect("the others have descriptors").stop().unwrap();
    reached_the_end();
}

#[test]
fn a_callback_for_which_no_thread_can_be_had_is_a_fault_of_its_client() {
    if !is_child() {
        return assert_survives("resources::a_callback_for_which_no_thread_can_be_had_is_a_fault_of_its_client");
    }
    let (domain, context, auth) = (domain("thread"), context(), Authenticator::new());
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
    Refuse::ThreadsToAll.install();
    for _ in 0..3 {
        assert_eq!([ask(&by_callback), ask(&by_table)], [500, 200]);
    }
    assert_eq!(auth.counters().faults, 3);
    reached_the_end();
}

#[test]
fn a_handler_for_which_no_thread_can_be_had_is_an_error_and_leaves_the_endpoint_free() {
    if !is_child() {
        return assert_survives(
            "resources::a_handler_for_which_no_thread_can_be_had_is_an_error_and_leaves_the_endpoint_free",
        );
    }
    log::install();
    let (context, auth) = (context(), Authenticator::new());
    thread::scope(|scope| {
        let refused = scope.spawn(|| {
            Refuse::Threads.install();
            auth.start(&context).map(drop)
        });
        let refused = refused.join().expect("start doesn't panic");
        assert!(matches!(refused, Err(Error::Thread(_))), "{refused:?}");
    });
    auth.start(&context).expect("others may have threads").stop().unwrap();
    reached_the_end();
}
