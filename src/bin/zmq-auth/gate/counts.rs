//! The metrics of a gate, through the `metrics` facade.

use metrics::{Counter, Gauge, counter, gauge};

/// Why a message was not passed on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// The policy doesn't accept its sender any more, or can't say.
    Revoked = 0,
    /// A request without the empty frame that the sender frame follows.
    NoEmptyFrame = 1,
    /// A reply to a client that is gone.
    Gone = 2,
    /// A reply to a client that doesn't read fast enough.
    SlowClient = 3,
    /// A reply to a client that this gate doesn't know.
    UnknownClient = 4,
    /// A subscriber's message that isn't a subscription.
    NoSubscription = 5,
    /// A subscription to a topic that the user isn't allowed.
    Topic = 6,
    /// A message that the service's connection didn't take although it was ready.
    ServiceGone = 7,
    /// A message from a service that left before it was checked.
    UncheckedService = 8,
}

const NAMES: [&str; 9] = [
    "revoked",
    "no_empty_frame",
    "gone",
    "slow_client",
    "unknown_client",
    "no_subscription",
    "topic",
    "service_gone",
    "unchecked_service",
];

#[derive(Clone)]
pub(crate) struct Counts {
    to_service: Counter,
    to_clients: Counter,
    dropped: [Counter; 9],
    disconnected: Counter,
    clients: Gauge,
    service: Gauge,
}

impl Counts {
    pub(crate) fn new(gate: &str) -> Self {
        let messages = |to| counter!("zmq_auth_gate_messages_total", "gate" => gate.to_owned(), "to" => to);
        let dropped = |reason| counter!("zmq_auth_gate_dropped_total", "gate" => gate.to_owned(), "reason" => reason);
        Counts {
            to_service: messages("service"),
            to_clients: messages("clients"),
            dropped: NAMES.map(dropped),
            disconnected: counter!("zmq_auth_gate_disconnected_total", "gate" => gate.to_owned()),
            clients: gauge!("zmq_auth_gate_clients", "gate" => gate.to_owned()),
            service: gauge!("zmq_auth_gate_service_connected", "gate" => gate.to_owned()),
        }
    }

    pub(crate) fn to_service(&self) {
        self.to_service.increment(1);
    }

    pub(crate) fn to_clients(&self) {
        self.to_clients.increment(1);
    }

    pub(crate) fn dropped(&self, why: Dropped) {
        self.dropped[why as usize].increment(1);
    }

    pub(crate) fn disconnected(&self) {
        self.disconnected.increment(1);
    }

    pub(crate) fn clients(&self, known: usize) {
        self.clients.set(known as f64);
    }

    pub(crate) fn service(&self, connected: bool) {
        self.service.set(f64::from(u8::from(connected)));
    }
}
