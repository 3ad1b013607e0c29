//! Address rules and addresses as text, line by line: `+rule` allows, `-rule` denies, `=` forgets all rules, and any other
//! line is the address of a client.

use std::str;

use zmq_auth::Authenticator;

use crate::model::address::{Rules, Subnet};

/// The lines, one after the other.
pub fn holds(bytes: &[u8]) {
    let (auth, mut model) = (Authenticator::new(), Rules::default());
    for line in bytes.split(|byte| *byte == b'\n') {
        match (line.first(), str::from_utf8(line.get(1..).unwrap_or_default())) {
            (Some(b'+'), Ok(rule)) => take(rule, auth.allow([rule]).is_ok(), &mut model.allow),
            (Some(b'-'), Ok(rule)) => take(rule, auth.deny([rule]).is_ok(), &mut model.deny),
            (Some(b'='), _) => {
                auth.set_addresses([""; 0], [""; 0]).unwrap();
                model = Rules::default();
            }
            _ => decides_alike(&auth, &model, line),
        }
    }
}

fn take(rule: &str, was_taken: bool, list: &mut Vec<Subnet>) {
    let subnet = Subnet::parse(rule);
    assert_eq!(was_taken, subnet.is_some(), "the rule {rule:?}");
    list.extend(subnet);
}

fn decides_alike(auth: &Authenticator, model: &Rules, address: &[u8]) {
    let reply = auth.handle_zap_message(&[b"1.0", &b"1"[..], b"d", address, b"", b"NULL"]).unwrap();
    let is_let_on = model.let_on(address);
    assert_eq!(
        &reply[2],
        if is_let_on { b"200" } else { b"400" },
        "{:?} and {model:?}",
        address.escape_ascii().to_string()
    );
}
