//! How the handler ends: `stop`, and being dropped.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use zmq_auth::{AsyncAuthenticator, Authenticator, Error};

use super::harness::faces::Face;
use super::harness::zap::Asker;
use super::harness::{DEADLINE, domain};
use super::{Tell, answered, ask, on_both_runtimes, plain, runtime, within_the_deadline};

on_both_runtimes!(
    stopping_cancels_callbacks_and_puts_their_clients_off,
    the_endpoint_is_free_after_stop,
    dropping_frees_the_endpoint_soon,
);

fn stopping_cancels_callbacks_and_puts_their_clients_off(face: Face) {
    let domain = domain("stopped");
    let (enter, mut entered) = tokio::sync::mpsc::unbounded_channel();
    let (tell, told) = mpsc::channel();
    let authenticator = Authenticator::new();
    authenticator.limit_callbacks(64, Duration::from_secs(600)).unwrap();
    authenticator
        .configure_plain_callback_async(&domain, move |_, _, _| {
            let (tell, enter) = (Tell(tell.clone(), "cancelled"), enter.clone());
            async move {
                let _tell = tell;
                enter.send(()).unwrap();
                std::future::pending::<bool>().await
            }
        })
        .unwrap();
    let context = zmq::Context::new();
    let asker = Asker::connect(&context);
    runtime(face).block_on(async {
        let running = authenticator.start_async(&context).await.unwrap();
        for user in ["1", "2", "3"] {
            asker.ask(&plain(&domain, user));
        }
        for _ in 0..3 {
            timeout(DEADLINE, entered.recv()).await.unwrap().unwrap();
        }
        running.stop().await.unwrap();
        // When `stop` returns, and not later, with the runtime.
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["cancelled"; 3]);
    });
    for _ in 0..3 {
        assert_eq!(answered(&asker).1, 300);
    }
    let counters = authenticator.counters();
    assert_eq!((counters.retried, counters.calls_timed_out, counters.calls_abandoned), (3, 0, 0));
}

fn the_endpoint_is_free_after_stop(face: Face) {
    let domain = domain("again");
    let authenticator = Authenticator::new();
    authenticator.configure_plain_callback(&domain, |_, _, _| true).unwrap();
    let context = zmq::Context::new();
    for n in 0..200 {
        let face = if n % 2 == 0 { face } else { Face::Thread };
        let running = face.try_start(&authenticator, &context).unwrap_or_else(|error| panic!("start {n}: {error}"));
        assert!(matches!(authenticator.start(&context), Err(Error::AlreadyRunning)));
        let asker = Asker::connect(&context);
        assert_eq!(ask(&asker, &domain, "alice"), 200, "start {n}");
        running.stop().unwrap();
    }
}

fn dropping_frees_the_endpoint_soon(face: Face) {
    let (authenticator, context) = (Authenticator::new(), zmq::Context::new());
    runtime(face).block_on(async {
        for _ in 0..50 {
            drop(authenticator.start_async(&context).await.unwrap());
            let again = async {
                loop {
                    match authenticator.start_async(&context).await {
                        // Each try takes a socket, which libzmq closes in its own time.
                        Err(Error::AlreadyRunning) => tokio::time::sleep(Duration::from_millis(1)).await,
                        started => break started.unwrap(),
                    }
                }
            };
            timeout(DEADLINE, again).await.expect("the endpoint is freed").stop().await.unwrap();
        }
    });
}

#[tokio::test]
async fn a_second_handler_is_an_error() {
    let context = zmq::Context::new();
    let first = AsyncAuthenticator::start(&context).await.unwrap();
    assert!(matches!(AsyncAuthenticator::start(&context).await, Err(Error::AlreadyRunning)));
    assert!(matches!(zmq_auth::ThreadAuthenticator::start(&context), Err(Error::AlreadyRunning)));
    assert!(first.is_running(), "the first is not disturbed");
    first.stop().await.unwrap();
}

/// A sync callback that doesn't return, in a runtime with one thread: nothing may wait for it.
#[tokio::test]
async fn a_stuck_sync_callback_is_left_behind() {
    let domain = domain("stuck");
    let (enter, mut entered) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let authenticator = Authenticator::new();
    authenticator
        .configure_plain_callback(&domain, move |_, _, _| {
            enter.send(()).unwrap();
            released.lock().unwrap().recv().is_err()
        })
        .unwrap();
    let context = zmq::Context::new();
    let running = authenticator.start_async(&context).await.unwrap();
    let asker = Asker::connect(&context);
    asker.ask(&plain(&domain, "alice"));
    timeout(DEADLINE, entered.recv()).await.unwrap().unwrap();

    let asked = Instant::now();
    timeout(DEADLINE, running.stop()).await.expect("stop doesn't wait for the callback").unwrap();
    // Its promise is a second; the rest is for machines that are busy.
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(answered(&asker).1, 300);
    assert_eq!(authenticator.counters().calls_abandoned, 1);
    authenticator.start_async(&context).await.expect("the endpoint is free").stop().await.unwrap();
    drop(release);
}

/// An async callback that blocks its thread can't be cancelled; nor is it waited for. (Not with `tokio::time`: who blocks
/// a thread of the runtime may block its timer too.)
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
    within_the_deadline(move || {
        runtime(Face::MultiThread).block_on(async move {
            let context = zmq::Context::new();
            let running = authenticator.start_async(&context).await.unwrap();
            let asker = Asker::connect(&context);
            asker.ask(&plain(&domain, "alice"));
            entered.recv().await.unwrap();
            running.stop().await.unwrap();
            assert_eq!(answered(&asker).1, 300);
            authenticator.start_async(&context).await.expect("the endpoint is free").stop().await.unwrap();
            drop(release);
        });
    });
}
