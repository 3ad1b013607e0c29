//! Benchmark of a fast domain while another domain has slow callbacks.
//!
//! A client asks the handler at its endpoint, one request every 2 ms, about a user in a table of passwords. Meanwhile
//! 0, 20 or 200 others each wait for a CURVE callback that takes 50 ms, and ask again as soon as it has answered. Each
//! has its own connection, as each handshake does in libzmq. The handlers are this crate's two front ends and pyzmq's
//! two authenticators, in turns; and this crate's thread with as many requests without a callback, which shows the
//! machine's own cost for them.
//!
//! Handler and clients are in one process, for pyzmq a Python process: its figures include the cost of Python at both
//! ends. Therefore each handler is compared only with itself: how many times longer than without slow callbacks?
//!
//! ```sh
//! cargo bench -p zmq-auth-benches --bench slow_callbacks
//! ```
//!
//! Takes about a minute; its table is in the report in `target/bench`. Without Cargo's `--bench`, as in `cargo test
//! --benches`, it only runs through once, in a second or two.

mod fast;
mod ours;
mod pyzmq;
mod slow;
mod table;

use std::time::Duration;

use zmq_auth_benches::report;

/// How long a slow callback takes.
const SLOW: Duration = Duration::from_millis(50);

/// A handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handler {
    WithoutCallbacks,
    Thread,
    Tokio,
    PyzmqThread,
    PyzmqAsyncio,
}

const HANDLERS: [Handler; 5] =
    [Handler::WithoutCallbacks, Handler::Thread, Handler::Tokio, Handler::PyzmqThread, Handler::PyzmqAsyncio];

/// How often and for how long the fast client asks.
#[derive(Debug, Clone, Copy)]
struct Extent {
    every: Duration,
    window: Duration,
    /// It goes on after the window until it has this many answers.
    at_least: usize,
}

/// The result of a run.
#[derive(Debug, Default)]
struct Measured {
    latencies: Vec<Duration>,
    /// The largest number of slow callbacks that ran at once.
    under_way: usize,
}

fn main() -> anyhow::Result<()> {
    let (loads, repetitions, window): (&[usize], _, _) = if report::is_benchmark() {
        (&[0, 20, 200], 3, Duration::from_millis(1200))
    } else {
        (&[0, 3], 1, Duration::from_millis(60))
    };

    let mut tables = table::Tables::new(loads);
    for repetition in 0..repetitions {
        for &load in loads {
            for handler in HANDLERS {
                let serial = load > 0 && matches!(handler, Handler::PyzmqThread | Handler::PyzmqAsyncio);
                // One answer takes pyzmq as long as all slow callbacks together: 10 s for 200.
                if serial && load > 100 && repetition > 0 {
                    continue;
                }
                let at_least = if serial && load <= 100 { 2 } else { 1 };
                let measured = measure(handler, load, Extent { every: Duration::from_millis(2), window, at_least });
                tables.add(handler, load, &measured);
            }
        }
    }
    tables.check();
    tables.sections().into_iter().try_for_each(report::write)
}

fn measure(handler: Handler, load: usize, extent: Extent) -> Measured {
    match handler {
        Handler::WithoutCallbacks => ours::without_callbacks(load, extent),
        Handler::Thread => ours::thread(load, extent),
        Handler::Tokio => ours::tokio(load, extent),
        Handler::PyzmqThread => pyzmq::run("thread", load, extent),
        Handler::PyzmqAsyncio => pyzmq::run("asyncio", load, extent),
    }
}
