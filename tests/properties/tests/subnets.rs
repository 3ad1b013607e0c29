//! A subnet is an ordinary address, a slash, and a number: fuzzers found other forms that were accepted.

use zmq_auth::Authenticator;

#[test]
fn a_subnet_of_an_invalid_address_is_refused() {
    let auth = Authenticator::new();
    for (address, prefix) in [("010.0.0.0", "8"), ("::ffff:010.0.0.0", "104"), ("::1:2:3:4:5:6:7:8", "128")] {
        assert!(auth.allow([address]).is_err(), "{address}");
        let subnet = format!("{address}/{prefix}");
        assert!(auth.allow([&subnet]).is_err(), "{subnet} was taken");
        assert!(auth.deny([&subnet]).is_err(), "{subnet} was taken");
    }
    assert!(auth.allow(["10.0.0.0/08"]).is_err(), "a prefix with a zero in front was taken");
}
