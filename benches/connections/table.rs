//! The sections of the report.

use std::time::Duration;

use zmq_auth_benches::report::{Better, Section};

use super::Extent;
use super::client::Timings;
use super::contestants::Contestant;

const HOW: &str = "Connect, one message each way, close, over TCP on one machine, with CURVE. Each server is its own process \
     (one ROUTER socket that echoes, one I/O thread unless its name says otherwise) with a handler that has a directory of \
     100 keys. `no ZAP` has no handler, `floor` answers 200 to everybody through raw calls of libzmq, and omq-tokio has a \
     callback with a set of keys. The clients are threads of another process with two I/O threads. Processor time \
     is that of all threads of the server's process. Ratios are to the floor.";

pub(crate) struct Tables {
    per_second: Section,
    p50: Section,
    p99: Section,
    cpu: Section,
}

impl Tables {
    /// `missing` says why contestants are not there.
    pub(crate) fn new(missing: &[String]) -> Self {
        let how = [&[HOW.to_owned()], missing].concat().join(" ");
        let section = |key, title: &str, unit, better| {
            let baseline = Some(Contestant::Floor.name());
            Section { key, title: title.into(), how: how.clone(), unit, better, baseline, records: Vec::new() }
        };
        Tables {
            per_second: section("connections", "Whole TCP + CURVE connections", "connections/s", Better::Higher),
            p50: section("connections-p50", "Time of a connection, p50", "µs", Better::Lower),
            p99: section("connections-p99", "Time of a connection, p99", "µs", Better::Lower),
            cpu: section("connections-cpu", "Server's processor time for a connection", "µs", Better::Lower),
        }
    }

    pub(crate) fn add(&mut self, extent: Extent, contestant: Contestant, timings: &Timings, cpu: Duration) {
        let work = match extent.at_once {
            1 => "one after another".into(),
            many => format!("{many} at once"),
        };
        let mut each = timings.each.clone();
        each.sort_unstable();
        let count = each.len();
        let at = |share: usize| micros(each[(count * share / 100).min(count - 1)]);
        let name = contestant.name();
        self.per_second.add(&work, name, count as f64 / timings.all.as_secs_f64());
        self.p50.add(&work, name, at(50));
        self.p99.add(&work, name, at(99));
        self.cpu.add(&work, name, micros(cpu) / count as f64);
    }

    pub(crate) fn into_sections(self) -> [Section; 4] {
        [self.per_second, self.p50, self.p99, self.cpu]
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
