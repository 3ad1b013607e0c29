//! A gate for SUB clients of a PUB or XPUB service, with rights on topics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Drain;

use zmq_auth::{Authenticator, zmq};

use super::counts::Counts;
use super::journal::Journal;
use super::rights::TopicRights;
use super::subscriptions::Subscriptions;
use super::traffic::{BATCH, Progress, Traffic, send_frame};

pub(super) struct Publish {
    /// Locked while a subscription is processed, never during a call that receives: libzmq doesn't return from that as
    /// long as a client sends subscriptions faster than they are received.
    subscriptions: Arc<Mutex<Subscriptions>>,
    counts: Counts,
}

/// Checks the clients while the gate's loop is inside libzmq.
pub(super) struct Checker(Arc<Mutex<Subscriptions>>);

impl Checker {
    /// Disconnects all clients that the policy doesn't accept any more, unless the loop is processing a subscription.
    pub(super) fn check(&self) {
        if let Ok(mut subscriptions) = self.0.try_lock() {
            subscriptions.check_all();
        }
    }
}

impl Publish {
    pub(super) fn new(policy: &Authenticator, rights: TopicRights, counts: Counts, journal: Journal) -> Self {
        let subscriptions = Subscriptions::new(policy, rights, counts.clone(), journal);
        Publish { subscriptions: Arc::new(Mutex::new(subscriptions)), counts }
    }

    pub(super) fn checker(&self) -> Checker {
        Checker(self.subscriptions.clone())
    }

    fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Traffic for Publish {
    fn to_service(&mut self, front: &zmq::Socket, back: &zmq::Socket) -> zmq::Result<Progress> {
        for _ in 0..BATCH {
            match front.recv_msg(zmq::DONTWAIT) {
                Ok(frame) => self.subscriptions().take(frame, front, back)?,
                Err(zmq::Error::EAGAIN) => {
                    self.subscriptions().drained(back)?;
                    return Ok(Progress::Drained);
                }
                Err(zmq::Error::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Progress::More)
    }

    /// Subscriptions don't wait: libzmq would queue them without a bound. The socket to the service keeps each topic
    /// once, and subscribes to all of them when the service is back.
    fn waits_for_service(&self) -> bool {
        false
    }

    fn to_clients(&mut self, front: &zmq::Socket, frames: Drain<'_, zmq::Message>) -> zmq::Result<()> {
        for frame in frames {
            let more = frame.get_more();
            // A slow subscriber misses messages, as it would without a gate.
            send_frame(front, frame, more)?;
            if !more {
                self.counts.to_clients();
            }
        }
        Ok(())
    }

    fn begin_check(&mut self) {
        self.subscriptions().begin_check();
    }

    fn check_some(&mut self, back: &zmq::Socket) -> zmq::Result<bool> {
        self.subscriptions().check_some(back)
    }
}
