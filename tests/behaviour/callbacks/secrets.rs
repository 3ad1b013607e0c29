//! Callbacks that quote the password in their verdict. (The logger of the tests aborts the process if one is logged.)

use zmq_auth::{Authenticator, Verdict};

use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::process::isolated;
use crate::harness::zap::{self, Asker};
use crate::harness::{DEADLINE, domain, log};

behaviours!(a_reason_that_quotes_the_password_goes_nowhere);

/// Texts that a careless program makes of a name and a password.
fn careless(user: &str, password: &str) -> Verdict {
    match user {
        "denied" => Verdict::Deny(format!("no {password} here").into()),
        "failed" => Verdict::Fault(format!("INSERT {password}").into()),
        "error" => Err::<bool, _>(format!("cannot look up {password:?}")).into(),
        // Static text can't quote anything.
        "quiet" => Verdict::Deny("account closed".into()),
        "broken" => Verdict::Fault("no database".into()),
        // Any text made at run time.
        "locked" => Verdict::Deny(format!("{user} is locked").into()),
        "hidden" => Verdict::Deny(password.chars().rev().collect::<String>().into()),
        _ => Err::<bool, _>("no database").into(),
    }
}

/// The name, the status, and the remaining reason.
const ANSWERS: [(&str, u16, &str); 8] = [
    ("denied", 400, "refused by the callback"),
    ("failed", 500, "callback failed"),
    ("error", 500, "callback failed"),
    ("quiet", 400, "account closed"),
    ("broken", 500, "no database"),
    ("locked", 400, "refused by the callback"),
    ("hidden", 400, "refused by the callback"),
    ("other", 500, "callback failed"),
];

#[track_caller]
fn assert_not_quoted(domain: &str, answer: impl Fn(&[Vec<u8>]) -> Vec<Vec<u8>>) {
    let password = log::password("quoted");
    for (user, status, text) in ANSWERS {
        let reply = answer(&zap::request(domain, "127.0.0.1", "PLAIN", &[user.as_bytes(), password.as_bytes()]));
        assert_eq!((zap::status_of(&reply), str::from_utf8(&reply[3])), (status, Ok(text)), "{user}");
        assert!(!reply.concat().windows(password.len()).any(|window| window == password.as_bytes()), "{user}");
        // The record exists, with the remaining reason.
        let user = format!("user \"{user}\"");
        let told = |record: &log::Record| record.text.contains(domain) && record.text.contains(&user);
        let record = log::wait_for(DEADLINE, told);
        assert!(record.text.contains(text) && !record.text.contains(&password), "{}", record.text);
    }
}

fn a_reason_that_quotes_the_password_goes_nowhere(front_end: FrontEnd) {
    let (domain, context, auth) = (domain("quoting"), zmq::Context::new(), Authenticator::new());
    auth.configure_plain_callback(&domain, |user, password, _| careless(user, password)).unwrap();
    let _running = front_end.start(&auth, &context);
    let asker = Asker::connect(&context);
    assert_not_quoted(&domain, |request| {
        asker.ask(request);
        asker.reply()
    });
}

#[test]
fn without_a_socket_a_reason_that_quotes_the_password_goes_nowhere() {
    let (domain, auth) = (domain("quoting"), Authenticator::new());
    auth.configure_plain_callback(&domain, |user, password, _| careless(user, password)).unwrap();
    assert_not_quoted(&domain, |request| auth.handle_zap_message(request).unwrap());
}

#[cfg(feature = "tokio")]
#[test]
fn a_reason_of_an_async_callback_that_quotes_the_password_goes_nowhere() {
    for front_end in [FrontEnd::CurrentThread, FrontEnd::MultiThread] {
        let (domain, context, auth) = (domain("quoting"), zmq::Context::new(), Authenticator::new());
        auth.configure_plain_callback_async(&domain, |user, _, _| async move {
            // The text of a `Password` isn't at hand; a program has it from elsewhere.
            careless(&user, &log::password("quoted"))
        })
        .unwrap();
        let _running = front_end.start(&auth, &context);
        let asker = Asker::connect(&context);
        assert_not_quoted(&domain, |request| {
            asker.ask(request);
            asker.reply()
        });
    }
}

/// `{:?}` writes some passwords differently.
#[test]
fn a_reason_that_quotes_the_password_with_escapes_goes_nowhere() {
    isolated(|| {
        let (domain, auth) = (domain("escapes"), Authenticator::new());
        auth.configure_plain_callback(&domain, |_, password, _| Err::<bool, _>(format!("wrong password {password:?}")))
            .unwrap();
        for name in ["with \"quotes\"", "with a \\", "with a\ttab"] {
            let password = log::password(name);
            let request = zap::request(&domain, "127.0.0.1", "PLAIN", &[b"alice", password.as_bytes()]);
            let reply = auth.handle_zap_message(&request).unwrap();
            assert!(!String::from_utf8_lossy(&reply[3]).contains(log::SENTINEL), "{name}");
        }
    });
}
