//! A handler that ends before it has served anybody is usually a mistake.

use zmq_auth::Authenticator;

use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::sockets::{Client, Server};
use crate::harness::{DEADLINE, domain, log};

behaviours!(a_handler_that_is_dropped_unused_is_a_warning);

fn a_handler_that_is_dropped_unused_is_a_warning(front_end: FrontEnd) {
    let (context, auth, domain) = (zmq::Context::new(), Authenticator::new(), domain("unused"));
    auth.deny(["192.0.2.1"]).unwrap();
    // What `let _ = auth.start(&context)?` does. Records don't name their handler, but it logs on its own thread.
    let before = warnings();
    match front_end {
        FrontEnd::Thread => drop(auth.start(&context).unwrap()),
        #[cfg(feature = "tokio")]
        FrontEnd::CurrentThread | FrontEnd::MultiThread => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async { drop(auth.start_async(&context).await.unwrap()) });
        }
    }
    assert!(warnings() > before, "the drop says nothing");
    log::wait_for(DEADLINE, |record| record.level == ::log::Level::Warn && record.text.contains("bind it to a name"));

    // One that has served is dropped silently. (The harness stops its runtimes' handlers; the thread is dropped.)
    if front_end == FrontEnd::Thread {
        let context = zmq::Context::new();
        let running = auth.start(&context).unwrap();
        let server = Server::new(&context, |socket| zmq_auth::SocketExt::null_server(socket, &domain));
        Client::null(&context, server.endpoint()).round_trip(&server);
        assert!(running.counters().allowed > 0);
        drop(running);
    }
}

fn warnings() -> usize {
    log::records(|record| record.level == ::log::Level::Warn && record.text.contains("dropped")).len()
}
