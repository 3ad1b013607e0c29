//! A runtime that the handler shares with the rest of a program.

use std::sync::{Mutex, mpsc};

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use zmq_auth::{AsyncAuthenticator, Authenticator};

use crate::harness::zap::{Asker, answer, ask, question};
use crate::harness::{DEADLINE, domain};

/// The runtime has one thread: a callback that ran on it would block whoever could release it.
#[tokio::test]
async fn a_sync_callback_does_not_block_the_runtime() {
    let (slow, fast) = (domain("slow"), domain("fast"));
    let (enter, mut entered) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let authenticator = Authenticator::new();
    authenticator
        .configure_plain_callback(&slow, move |_, _, _| {
            enter.send(()).unwrap();
            released.lock().unwrap().recv_timeout(DEADLINE).is_ok()
        })
        .unwrap();
    authenticator.limit_callbacks(64, DEADLINE).unwrap();
    authenticator.configure_plain_callback_async(&fast, |_, _, _| async { true }).unwrap();
    let context = zmq::Context::new();
    let running = authenticator.start_async(&context).await.unwrap();

    let slow_asker = Asker::connect(&context);
    slow_asker.ask(&question(&slow, "alice"));
    timeout(DEADLINE, entered.recv()).await.expect("the runtime still runs").unwrap();
    let fast_asker = Asker::connect(&context);
    assert_eq!(spawn_blocking(move || ask(&fast_asker, &fast, "bob")).await.unwrap(), 200);
    slow_asker.assert_no_reply();
    release.send(()).unwrap();
    assert_eq!(spawn_blocking(move || answer(&slow_asker)).await.unwrap(), ("alice".into(), 200));
    running.stop().await.unwrap();
}

/// The handler shares the thread with tasks that never wait: both still get their turn.
#[tokio::test]
async fn a_busy_runtime_is_shared() {
    let domain = domain("busy");
    let authenticator = Authenticator::new();
    authenticator.configure_plain_callback_async(&domain, |_, _, _| async { true }).unwrap();
    let context = zmq::Context::new();
    let running = authenticator.start_async(&context).await.unwrap();
    let busy: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(async {
                loop {
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let asker = Asker::connect(&context);
    let asked = spawn_blocking(move || (0..1000).all(|n| ask(&asker, &domain, &n.to_string()) == 200));
    assert!(timeout(DEADLINE, asked).await.expect("the handler has its turn").unwrap());
    busy.iter().for_each(|task| task.abort());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn one_policy_serves_two_contexts() {
    let domain = domain("two");
    let authenticator = Authenticator::new();
    authenticator.configure_plain_callback_async(&domain, |user, _, _| async move { user == "alice" }).unwrap();
    let contexts = [zmq::Context::new(), zmq::Context::new()];
    let first = authenticator.start_async(&contexts[0]).await.unwrap();
    let second = authenticator.start_async(&contexts[1]).await.unwrap();
    for context in &contexts {
        let (asker, domain) = (Asker::connect(context), domain.clone());
        let decided = spawn_blocking(move || (ask(&asker, &domain, "alice"), ask(&asker, &domain, "mallory")));
        assert_eq!(decided.await.unwrap(), (200, 400));
    }
    first.stop().await.unwrap();
    assert!(second.is_running());
    second.stop().await.unwrap();
}

#[test]
fn the_guard_and_its_futures_may_change_threads() {
    fn send_and_sync<T: Send + Sync>() {}
    fn send<T: Send>(_: &T) {}
    send_and_sync::<AsyncAuthenticator>();
    let (authenticator, context) = (Authenticator::new(), zmq::Context::new());
    send(&authenticator.start_async(&context));
    send(&AsyncAuthenticator::start(&context));
    fn stop_is_send(guard: AsyncAuthenticator) -> impl Future<Output = zmq_auth::Result<()>> + Send {
        guard.stop()
    }
    let _ = stop_is_send;
}
