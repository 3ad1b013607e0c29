//! Changes while a callback runs: its client is checked again before the reply.

use zmq_auth::{Authenticator, PublicKey};

use crate::harness::barrier::Barrier;
use crate::harness::domain;
use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::{password, stranger};
use crate::harness::zap::{self, Asker};

behaviours! {
    a_rule_that_is_set_while_a_callback_runs_holds_for_its_client,
    a_key_that_is_removed_while_its_client_is_named_is_refused,
    a_source_that_is_replaced_while_a_callback_runs_decides_instead,
}

/// Sends a request, changes the policy while its callback waits, and returns the status.
fn changed_meanwhile(
    front_end: FrontEnd,
    auth: &Authenticator,
    request: &[Vec<u8>],
    barrier: &Barrier,
    change: impl FnOnce(),
) -> u16 {
    let context = zmq::Context::new();
    let _running = front_end.start(auth, &context);
    let asker = Asker::connect(&context);
    asker.ask(request);
    barrier.wait_for(1);
    change();
    barrier.open();
    zap::status_of(&asker.reply())
}

type Change = fn(&Authenticator, &str);

fn a_rule_that_is_set_while_a_callback_runs_holds_for_its_client(front_end: FrontEnd) {
    const CHANGES: [(Change, u16); 5] = [
        (|_, _| {}, 200),
        (|auth, _| auth.deny(["192.0.2.7"]).unwrap(), 400),
        (|auth, _| auth.set_addresses(["10.0.0.0/8"], [""; 0]).unwrap(), 400),
        (|auth, domain| assert!(auth.remove_domain(domain)), 400),
        // The client gets 300: the new callback hasn't decided about it.
        (|auth, domain| auth.configure_plain_callback(domain, |_, _, _| true).unwrap(), 300),
    ];
    for (number, (change, status)) in CHANGES.into_iter().enumerate() {
        let (auth, domain, (barrier, _open)) = (Authenticator::new(), domain("meanwhile"), Barrier::new());
        let inside = barrier.clone();
        auth.configure_plain_callback(&domain, move |_, _, _| {
            inside.wait();
            true
        })
        .unwrap();
        let secret = password("meanwhile");
        let request = zap::request(&domain, "192.0.2.7", "PLAIN", &[b"alice", secret.as_bytes()]);
        let got = changed_meanwhile(front_end, &auth, &request, &barrier, || change(&auth, &domain));
        assert_eq!(got, status, "change {number}");
    }
}

fn a_key_that_is_removed_while_its_client_is_named_is_refused(front_end: FrontEnd) {
    let (auth, domain, (barrier, _open), key) = (Authenticator::new(), domain("named"), Barrier::new(), stranger());
    let inside = barrier.clone();
    auth.configure_curve_keys(&domain, [key]).unwrap();
    auth.curve_user_id(move |_: &PublicKey| {
        inside.wait();
        "alice".to_owned()
    });
    let request = zap::request(&domain, "192.0.2.7", "CURVE", &[key.as_bytes()]);
    let removed = || assert!(auth.remove_curve_key(&domain, &key).unwrap());
    assert_eq!(changed_meanwhile(front_end, &auth, &request, &barrier, removed), 400);
}

fn a_source_that_is_replaced_while_a_callback_runs_decides_instead(front_end: FrontEnd) {
    for (listed, status) in [(true, 200), (false, 400)] {
        let (auth, domain, (barrier, _open), key) = (Authenticator::new(), domain("lists"), Barrier::new(), stranger());
        let inside = barrier.clone();
        auth.configure_curve_callback(&domain, move |_, _| {
            inside.wait();
            true
        })
        .unwrap();
        let request = zap::request(&domain, "192.0.2.7", "CURVE", &[key.as_bytes()]);
        let keys = listed.then_some(key);
        let replaced = || auth.configure_curve_keys(&domain, keys).unwrap();
        assert_eq!(changed_meanwhile(front_end, &auth, &request, &barrier, replaced), status);
    }
}
