//! Runtimes and contexts that end before the handler, and runtimes that can't run one.

use std::net::TcpListener;
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::timeout;
use zmq_auth::{AsyncAuthenticator, Authenticator, Error};

use crate::harness::front_end::{FrontEnd, async_behaviours, runtime};
use crate::harness::sockets::socket;
use crate::harness::zap::{Asker, ask, question};
use crate::harness::{DEADLINE, NotifyOnDrop, domain, log, within_deadline};

async_behaviours!(
    the_runtime_ends_first,
    the_program_drops_its_context_first,
    stop_does_not_wait_for_a_context_that_lingers,
    the_context_is_destroyed_first,
    guard_before_context,
    context_before_guard,
);

fn the_runtime_ends_first(front_end: FrontEnd) {
    within_deadline("it", move || {
        let domain = domain("orphan");
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
        let (runtime, context) = (runtime(front_end), zmq::Context::new());
        let asker = Asker::connect(&context);
        let (kept, dropped) = runtime.block_on(async {
            let running = authenticator.start_async(&context).await.unwrap();
            asker.ask(&question(&domain, "alice"));
            timeout(DEADLINE, entered.recv()).await.unwrap();
            (running, authenticator.start_async(&zmq::Context::new()).await.unwrap())
        });
        assert!(kept.is_running());

        drop(runtime);
        assert!(!kept.is_running());
        assert_eq!(told.try_recv(), Ok("cancelled"));
        asker.assert_no_reply();
        drop(dropped);
        let free = authenticator.start(&context).expect("the endpoint is free");
        // The old guard doesn't affect the new handler.
        other_runtime(async { kept.stop().await.unwrap() });
        assert!(free.is_running());
        free.stop().unwrap();
    });
}

fn other_runtime(what: impl Future<Output = ()>) {
    Builder::new_current_thread().build().unwrap().block_on(what);
}

fn the_program_drops_its_context_first(front_end: FrontEnd) {
    within_deadline("it", move || {
        runtime(front_end).block_on(async {
            for _ in 0..20 {
                let context = zmq::Context::new();
                let running = AsyncAuthenticator::start(&context).await.unwrap();
                drop(context);
                running.stop().await.unwrap();
            }
        });
    });
}

/// By libzmq's default, a message that can't be delivered keeps a context from ending. The handler may hold the last handle
/// on that context: then waiting for its end must not block a thread of the runtime.
fn stop_does_not_wait_for_a_context_that_lingers(front_end: FrontEnd) {
    within_deadline("it", move || {
        // It accepts the connection, but never sends any ZMTP.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp://{}", silent.local_addr().unwrap());
        runtime(front_end).block_on(async {
            let context = zmq::Context::new();
            let running = AsyncAuthenticator::start(&context).await.unwrap();
            let client = context.socket(zmq::PUSH).unwrap();
            client.set_linger(-1).unwrap();
            client.set_reconnect_ivl(10).unwrap();
            client.connect(&endpoint).unwrap();
            client.send("hello", 0).unwrap();
            drop(client);
            drop(context);
            timeout(DEADLINE, running.stop()).await.expect("stop doesn't wait").unwrap();
            // A socket that receives the message, so that the context finally ends.
            drop(silent);
            let server = socket(&zmq::Context::new(), zmq::PULL);
            server.bind(&endpoint).unwrap();
            assert_eq!(server.recv_bytes(0).unwrap(), b"hello");
        });
    });
}

fn the_context_is_destroyed_first(front_end: FrontEnd) {
    within_deadline("it", move || {
        runtime(front_end).block_on(async {
            let domain = domain("destroyed");
            let (tell, told) = mpsc::channel();
            let (enter, mut entered) = tokio::sync::mpsc::unbounded_channel();
            let authenticator = Authenticator::new();
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
            let mut context = zmq::Context::new();
            let running = authenticator.start_async(&context).await.unwrap();
            let asker = Asker::connect(&context);
            asker.ask(&question(&domain, "alice"));
            timeout(DEADLINE, entered.recv()).await.unwrap();
            // A context ends when its sockets are closed: the handler has to close its own by itself.
            drop(asker);
            let destroyed = tokio::task::spawn_blocking(move || context.destroy());
            timeout(DEADLINE, destroyed).await.expect("the context ends").unwrap().unwrap();
            let ended = async {
                while running.is_running() {
                    tokio::task::yield_now().await;
                }
            };
            timeout(DEADLINE, ended).await.expect("the handler ends");
            assert_eq!(told.recv_timeout(DEADLINE), Ok("cancelled"));
            running.stop().await.unwrap();

            // The policy serves another context.
            let context = zmq::Context::new();
            authenticator.start_async(&context).await.unwrap().stop().await.unwrap();
        });
    });
}

#[allow(unused_assignments)]
fn guard_before_context(front_end: FrontEnd) {
    within_deadline("it", move || {
        runtime(front_end).block_on(async {
            let _running;
            // Dropped first, while the handler's task can't run.
            let context = zmq::Context::new();
            _running = AsyncAuthenticator::start(&context).await.unwrap();
        });
    });
}

fn context_before_guard(front_end: FrontEnd) {
    within_deadline("it", move || {
        runtime(front_end).block_on(async {
            let context = zmq::Context::new();
            let _running = AsyncAuthenticator::start(&context).await.unwrap();
        });
    });
}

#[test]
fn outside_of_a_runtime_start_is_an_error() {
    log::install();
    let (authenticator, context) = (Authenticator::new(), zmq::Context::new());
    let polled = pin!(authenticator.start_async(&context)).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Err(error)) = polled else { panic!("{polled:?}") };
    assert!(matches!(error, Error::Runtime(_)), "{error}");
    assert!(error.to_string().contains("enable_all"), "{error}");
    authenticator.start(&context).expect("the endpoint is free").stop().unwrap();
}

#[test]
fn a_runtime_without_drivers_is_an_error() {
    log::install();
    let (authenticator, context) = (Authenticator::new(), zmq::Context::new());
    let builders: [fn(&mut Builder) -> &mut Builder; 3] = [|none| none, Builder::enable_io, Builder::enable_time];
    for (n, enable) in builders.into_iter().enumerate() {
        for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            let started = enable(&mut builder).build().unwrap().block_on(authenticator.start_async(&context));
            let error = started.map(drop).expect_err("no driver");
            assert!(matches!(error, Error::Runtime(_)), "{n}: {error}");
            authenticator.start(&context).expect("the endpoint is free").stop().unwrap();
        }
    }
}

/// The policy can be used, and its clients connect, from threads outside the runtime.
#[test]
fn a_current_thread_runtime_serves_clients_of_other_threads() {
    within_deadline("it", || {
        let domain = domain("threads");
        let authenticator = Authenticator::new();
        authenticator.configure_plain_callback_async(&domain, |_, _, _| async { true }).unwrap();
        let context = zmq::Context::new();
        let _running = FrontEnd::CurrentThread.start(&authenticator, &context);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let asker = Asker::connect(&context);
                    for n in 0..100 {
                        assert_eq!(ask(&asker, &domain, &format!("{n}")), 200);
                    }
                });
            }
        });
        assert_eq!(authenticator.counters().allowed, 800);
    });
}
