//! The end of a handler in a runtime: `stop`, and dropping the guard.

use std::sync::mpsc;
use std::time::Duration;

use tokio::time::timeout;
use zmq_auth::{Authenticator, Error};

use crate::harness::front_end::{FrontEnd, async_behaviours, runtime};
use crate::harness::zap::{Asker, answer, ask, question};
use crate::harness::{DEADLINE, NotifyOnDrop, domain, within_deadline};

async_behaviours!(
    stopping_cancels_callbacks_and_refuses_their_clients_with_300,
    the_endpoint_is_free_after_stop,
    dropping_frees_the_endpoint_soon,
);

fn stopping_cancels_callbacks_and_refuses_their_clients_with_300(front_end: FrontEnd) {
    let domain = domain("stopped");
    let (enter, mut entered) = tokio::sync::mpsc::unbounded_channel();
    let (tell, told) = mpsc::channel();
    let authenticator = Authenticator::new();
    authenticator.limit_callbacks(64, Duration::from_secs(600)).unwrap();
    authenticator
        .configure_plain_callback_async(&domain, move |_, _, _| {
            let (tell, enter) = (NotifyOnDrop(tell.clone(), "cancelled"), enter.clone());
            async move {
                let _tell = tell;
                enter.send(()).unwrap();
                std::future::pending::<bool>().await
            }
        })
        .unwrap();
    let context = zmq::Context::new();
    let asker = Asker::connect(&context);
    runtime(front_end).block_on(async {
        let running = authenticator.start_async(&context).await.unwrap();
        for user in ["1", "2", "3"] {
            asker.ask(&question(&domain, user));
        }
        for _ in 0..3 {
            timeout(DEADLINE, entered.recv()).await.unwrap().unwrap();
        }
        running.stop().await.unwrap();
        // When `stop` returns, and not only later, with the runtime.
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["cancelled"; 3]);
    });
    for _ in 0..3 {
        assert_eq!(answer(&asker).1, 300);
    }
    let counters = authenticator.counters();
    assert_eq!((counters.retried, counters.calls_timed_out, counters.calls_abandoned), (3, 0, 0));
}

fn the_endpoint_is_free_after_stop(front_end: FrontEnd) {
    let domain = domain("again");
    let authenticator = Authenticator::new();
    authenticator.configure_plain_callback(&domain, |_, _, _| true).unwrap();
    let context = zmq::Context::new();
    for n in 0..200 {
        let front_end = if n % 2 == 0 { front_end } else { FrontEnd::Thread };
        let running =
            front_end.try_start(&authenticator, &context).unwrap_or_else(|error| panic!("start {n}: {error}"));
        assert!(matches!(authenticator.start(&context), Err(Error::AlreadyRunning)));
        let asker = Asker::connect(&context);
        assert_eq!(ask(&asker, &domain, "alice"), 200, "start {n}");
        running.stop().unwrap();
    }
}

fn dropping_frees_the_endpoint_soon(front_end: FrontEnd) {
    let (authenticator, context) = (Authenticator::new(), zmq::Context::new());
    runtime(front_end).block_on(async {
        for _ in 0..50 {
            drop(authenticator.start_async(&context).await.unwrap());
            let again = async {
                loop {
                    match authenticator.start_async(&context).await {
                        // Each attempt takes a socket, which libzmq closes asynchronously.
                        Err(Error::AlreadyRunning) => tokio::time::sleep(Duration::from_millis(1)).await,
                        started => break started.unwrap(),
                    }
                }
            };
            timeout(DEADLINE, again).await.expect("the endpoint is freed").stop().await.unwrap();
        }
    });
}

/// An async callback that blocks its thread can't be cancelled, and isn't waited for. (Not with `tokio::time`: blocking a
/// thread of the runtime may block its timer too.)
#[test]
fn an_async_callback_that_blocks_does_not_hold_up_stop() {
    let domain = domain("blocking");
    let (enter, mut entered) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Arc::new(std::sync::Mutex::new(released));
    let authenticator = Authenticator::new();
    authenticator
        .configure_plain_callback_async(&domain, move |_, _, _| {
            let (enter, released) = (enter.clone(), released.clone());
            async move {
                enter.send(()).unwrap();
                released.lock().unwrap().recv().is_err()
            }
        })
        .unwrap();
    within_deadline("it", move || {
        runtime(FrontEnd::MultiThread).block_on(async move {
            let context = zmq::Context::new();
            let running = authenticator.start_async(&context).await.unwrap();
            let asker = Asker::connect(&context);
            asker.ask(&question(&domain, "alice"));
            entered.recv().await.unwrap();
            running.stop().await.unwrap();
            assert_eq!(answer(&asker).1, 300);
            authenticator.start_async(&context).await.expect("the endpoint is free").stop().await.unwrap();
            drop(release);
        });
    });
}
