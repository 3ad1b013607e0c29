//! Policies behind a real handler's socket: its replies are the model's too.

use proptest::collection::vec;
use proptest::prelude::*;
use zmq_auth::{Authenticator, zmq};

use crate::cases;
use crate::harness::zap::Asker;
use crate::invariants::model::policy::Policy;
use crate::invariants::request::{agrees, changes_alike};
use crate::invariants::scenario::{Step, steps};

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
                // The handler drops what it can't answer, and goes on: the next answer is the next one's.
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
