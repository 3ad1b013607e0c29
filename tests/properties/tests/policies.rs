//! Policies behind a real handler's socket: its replies are the model's too.

use proptest::collection::vec;
use proptest::prelude::*;
use zmq_auth::{Authenticator, zmq};

use crate::{capture, cases};
use zmq_auth_properties::model::policy::Policy;
use zmq_auth_properties::request::{agrees, changes_alike};
use zmq_auth_properties::scenario::{Step, steps};

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn a_running_handler_decides_as_the_model_does(bytes in vec(any::<u8>(), 0..1500)) {
        let (context, auth, mut model) = (zmq::Context::new(), Authenticator::new(), Policy::default());
        let running = auth.start(&context).unwrap();
        let asker = Asker::connect(&context);
        for step in steps(&bytes) {
            match step {
                Step::Change(change) => changes_alike(&change, &auth, &mut model),
    // The handler drops what it can't reply to, and goes on: the next reply is for the next request.
                Step::Ask(frames) if frames.len() < 2 => asker.ask(&frames),
                Step::Ask(frames) => {
                    asker.ask(&frames);
                    agrees(&model, &frames, Some(&asker.reply()));
                }
            }
        }
        drop(asker);
        running.stop().unwrap();
    }
}

/// A client that talks to the handler directly, in libzmq's place.
struct Asker(zmq::Socket);

impl Asker {
    fn connect(context: &zmq::Context) -> Self {
        capture::install();
        let socket = context.socket(zmq::DEALER).unwrap();
        socket.set_linger(0).unwrap();
        socket.set_rcvtimeo(30_000).unwrap();
        socket.set_sndtimeo(30_000).unwrap();
        socket.connect("inproc://zeromq.zap.01").unwrap();
        Asker(socket)
    }

    /// Sends a request behind its delimiter.
    fn ask(&self, request: &[Vec<u8>]) {
        let delimiter = std::iter::once(Vec::new());
        self.0.send_multipart(delimiter.chain(request.iter().cloned()), 0).unwrap();
    }

    /// The next reply, from the version frame on.
    fn reply(&self) -> Vec<Vec<u8>> {
        let mut frames = self.0.recv_multipart(0).expect("a reply within the deadline");
        assert!(frames.remove(0).is_empty(), "the delimiter comes first");
        frames
    }
}
