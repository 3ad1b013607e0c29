//! The sections of the report.

use std::time::Duration;

use zmq_auth_benches::report::{Better, Section};

use super::Kind;
use super::clients::Load;
use super::contestants::{Contestant, Measured};

const HOW: &str = "`zmq-auth gate` and a bare `zmq_proxy`, whose front is secured by a handler of this crate, each run in \
     their own process, with an I/O thread per processor, at most four; clients and service are threads of \
     another process. Clients reach the front over TCP, the front reaches the service over ipc; with no proxy, \
     the service itself is the server. The policy has a directory of 100 keys. \
     At most 256 messages and some 4 MiB are outstanding.";
const REPLY: &str = "DEALER clients that send an empty frame and a body, and a service that echoes them.";
const ROUND_TRIP: &str = "DEALER clients with one outstanding message each, and a service that echoes it.";

pub(crate) struct Tables {
    reply: Section,
    p50: Section,
    p99: Section,
    publish: Section,
    collect: Section,
    cpu: Section,
}

impl Tables {
    pub(crate) fn new() -> Self {
        let section = |key, title: &str, how: &str, unit, better| Section {
            key,
            title: title.into(),
            how: format!("{how} {HOW}"),
            unit,
            better,
            baseline: Some(Contestant::Proxy.name()),
            records: Vec::new(),
        };
        let (more, less) = (Better::Higher, Better::Lower);
        Tables {
            reply: section("gate-reply", "Requests through a gate", REPLY, "requests answered/s", more),
            p50: section("gate-reply-p50", "Round trip through a gate, p50", ROUND_TRIP, "µs", less),
            p99: section("gate-reply-p99", "Round trip through a gate, p99", ROUND_TRIP, "µs", less),
            publish: section(
                "gate-publish",
                "Publishing through a gate",
                "A publisher, and clients that subscribe to everything: the messages received by all of them.",
                "messages received/s",
                more,
            ),
            collect: section("gate-collect", "Collecting through a gate", "PUSH clients.", "messages received/s", more),
            cpu: section(
                "gate-cpu",
                "Processor time of a gate for a message",
                "All threads of the gate's process; a request includes its reply. Published messages are counted at the \
     clients.",
                "µs",
                less,
            ),
        }
    }

    pub(crate) fn add(&mut self, load: &Load, contestant: Contestant, measured: &Measured) {
        let size = if load.size < 1_024 { format!("{} B", load.size) } else { format!("{} KiB", load.size / 1_024) };
        let clients = if load.clients == 1 { "client" } else { "clients" };
        let work = format!("{}, {size}, {} {clients}", load.mechanism.name(), load.clients);
        let name = contestant.name();
        if !measured.round_trips.is_empty() {
            let count = measured.round_trips.len();
            let at = |share: usize| micros(measured.round_trips[(count * share / 100).min(count - 1)]);
            self.p50.add(&work, name, at(50));
            self.p99.add(&work, name, at(99));
            return;
        }
        let section = match load.kind {
            Kind::Reply => &mut self.reply,
            Kind::Publish => &mut self.publish,
            Kind::Collect => &mut self.collect,
        };
        section.add(&work, name, measured.messages as f64 / measured.time.as_secs_f64());
        if let Some(cpu) = measured.cpu {
            let work = format!("{}, {work}", load.kind.name());
            self.cpu.add(&work, name, micros(cpu) / measured.messages.max(1) as f64);
        }
    }

    /// The sections that have figures.
    pub(crate) fn into_sections(self) -> Vec<Section> {
        let sections = [self.reply, self.p50, self.p99, self.publish, self.collect, self.cpu];
        sections.into_iter().filter(|section| !section.records.is_empty()).collect()
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
