//! Bytes of every kind never panic, and mean what the model says.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::cases;
use zmq_auth_properties::{address_rules, certificate, password_file, reply, request, z85};

proptest! {
    #![proptest_config(cases(2048))]

    #[test]
    fn keys(bytes in vec(any::<u8>(), 0..80)) {
        z85::holds(&bytes);
    }

    #[test]
    fn replies(bytes in vec(any::<u8>(), 0..400)) {
        reply::holds(&bytes);
    }

    #[test]
    fn address_lines(bytes in vec(any::<u8>(), 0..200)) {
        address_rules::holds(&bytes);
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn policies_that_change_decide_as_the_model_does(bytes in vec(any::<u8>(), 0..1500)) {
        request::holds(&bytes);
    }

    #[test]
    fn certificate_files(bytes in vec(any::<u8>(), 0..400)) {
        certificate::holds(&bytes);
    }

    #[test]
    fn password_files(bytes in vec(any::<u8>(), 0..400)) {
        password_file::holds(&bytes);
    }
}
