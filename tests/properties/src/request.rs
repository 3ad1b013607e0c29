//! Policies that change, and their replies to requests.

use zmq_auth::Authenticator;

use crate::change::Change;
use crate::model::metadata;
use crate::model::policy::Policy;
use crate::reply::assert_are_sendable;
use crate::scenario::{Step, steps};

/// The name of the property that this crate adds for itself.
const MARK: &[u8] = b"Zmq-Auth-Mark";

/// Applies the steps that the bytes stand for, starting with a new policy.
pub fn holds(bytes: &[u8]) {
    let (auth, mut model) = (Authenticator::new(), Policy::default());
    for step in steps(bytes) {
        match step {
            Step::Change(change) => changes_alike(&change, &auth, &mut model),
            Step::Ask(frames) => {
                let explained = auth.explain(&frames);
                let reply = auth.handle_zap_message(&frames);
                assert_eq!(explained.is_some(), reply.is_some());
                if let (Some(status), Some(reply), false) =
                    (explained.and_then(|explained| explained.status), &reply, model.limits)
                {
                    assert_eq!(reply[2], status.to_string().as_bytes(), "as it was explained: {frames:?}");
                }
                agrees(&model, &frames, reply.as_deref());
            }
        }
    }
}

/// One change, in both policies.
pub fn changes_alike(change: &Change, auth: &Authenticator, model: &mut Policy) {
    let mut after = model.clone();
    let answer = change.make_in_model(&mut after);
    assert_eq!(change.make(auth), answer, "{change:?}");
    // An error changes nothing.
    if answer.is_ok() {
        *model = after;
    }
}

/// The reply equals the model's: status, user id, metadata, and what was checked first.
pub fn agrees(model: &Policy, frames: &[Vec<u8>], reply: Option<&[Vec<u8>]>) {
    let answer = model.decide(frames);
    let (Some(answer), Some(reply)) = (&answer, reply) else {
        assert_eq!(answer.is_some(), reply.is_some(), "{frames:?}");
        return;
    };
    let [version, id, code, text, user_id, encoded] = reply else { panic!("{} frames", reply.len()) };
    assert_eq!((&version[..], id), (&b"1.0"[..], &frames[1]));
    let mut properties = metadata::decode(encoded).expect("metadata is framed as RFC 23 says");
    if model.limits && code == b"300" {
        assert!(user_id.is_empty() && properties.is_empty());
        return;
    }
    let code: u16 = std::str::from_utf8(code).unwrap().parse().unwrap();
    assert_eq!(code, answer.status, "{frames:?} under {model:?}");
    assert_eq!(*user_id, answer.user_id, "{frames:?} under {model:?}");
    let text = std::str::from_utf8(text).unwrap();
    assert!(text.contains(answer.about), "{text:?} is not about {:?}: {frames:?}", answer.about);
    let marks = properties.extract_if(.., |(name, _)| name == MARK).count();
    assert_eq!(marks, usize::from(model.marks && code == 200), "a mark, and no more than one");
    assert_are_sendable(&properties);
    assert_eq!(properties, answer.metadata, "{frames:?} under {model:?}");
}
