//! This crate's two front ends, with slow callbacks of the kind that each is for.

use std::thread::sleep;
use std::time::Duration;

use zmq_auth::Authenticator;

use super::slow::{Clients, Gauge};
use super::{Extent, Measured, SLOW, fast, slow};

/// A thread for each slow callback. The limit is raised: the default is 64 at once, and further requests are told to
/// retry.
pub(crate) fn thread(load: usize, extent: Extent) -> Measured {
    let (authenticator, gauge) = policy();
    let entered = gauge.clone();
    let callback = move |_: &_, _: &_| {
        let _under_way = entered.enter();
        sleep(SLOW);
        true
    };
    authenticator.configure_curve_callback(slow::DOMAIN, callback).expect("the slow domain");
    let context = zmq::Context::new();
    let _running = authenticator.start(&context).expect("the handler thread");
    run(&context, &gauge, load, extent)
}

/// No callbacks: clients are answered at once, and wait as long as a callback takes before the next request. This shows
/// what that many requests and clients cost on this machine, whatever the order of the answers.
pub(crate) fn without_callbacks(load: usize, extent: Extent) -> Measured {
    let (authenticator, _) = policy();
    authenticator.configure_curve(slow::DOMAIN, zmq_auth::CURVE_ALLOW_ANY).expect("the other domain");
    let context = zmq::Context::new();
    let _running = authenticator.start(&context).expect("the handler thread");
    let client = fast::Client::connect(&context);
    client.warm_up();
    let clients = (load > 0).then(|| Clients::start(&context, load, SLOW));
    let latencies = client.run(extent);
    drop(clients);
    Measured { latencies, under_way: 0 }
}

/// A task for each slow callback, in a runtime like that of `#[tokio::main]`.
pub(crate) fn tokio(load: usize, extent: Extent) -> Measured {
    let (authenticator, gauge) = policy();
    let entered = gauge.clone();
    let callback = move |_, _| {
        let entered = entered.clone();
        async move {
            let _under_way = entered.enter();
            ::tokio::time::sleep(SLOW).await;
            true
        }
    };
    authenticator.configure_curve_callback_async(slow::DOMAIN, callback).expect("the slow domain");
    let context = zmq::Context::new();
    let runtime = ::tokio::runtime::Runtime::new().expect("a runtime");
    let running = runtime.block_on(authenticator.start_async(&context)).expect("the handler task");
    let measured = run(&context, &gauge, load, extent);
    runtime.block_on(running.stop()).expect("the handler stops");
    measured
}

fn policy() -> (Authenticator, Gauge) {
    let authenticator = Authenticator::new();
    authenticator.configure_plain(fast::DOMAIN, [fast::USER]).expect("the fast domain");
    authenticator.limit_callbacks(256, Duration::from_secs(5)).expect("limits");
    (authenticator, Gauge::default())
}

fn run(context: &zmq::Context, gauge: &Gauge, load: usize, extent: Extent) -> Measured {
    let client = fast::Client::connect(context);
    client.warm_up();
    let clients = (load > 0).then(|| Clients::start(context, load, Duration::ZERO));
    // 90 %, since in a run of this length all of them run at once only now and then: requests take time to travel, too.
    gauge.wait_for(load * 9 / 10);
    let latencies = client.run(extent);
    drop(clients);
    Measured { latencies, under_way: gauge.peak() }
}
