//! Handshakes with flipped bits, and random bytes instead of a handshake.

use crate::guarded::GuardedServer;
use crate::harness::fixture::{MECHANISMS, Mechanism};
use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::proxy::{self, Damage};
use crate::harness::random::Random;
use crate::recorded::{self, GREETING};

behaviours! {
    no_flipped_bit_of_plain_credentials_is_accepted,
    no_flipped_byte_of_a_curve_handshake_is_accepted,
    no_flipped_bit_of_a_greeting_gets_around_the_credentials,
    noise_after_a_greeting_is_not_accepted,
}

fn no_flipped_bit_of_plain_credentials_is_accepted(front_end: FrontEnd) {
    /// Flag and size of a short command.
    const HEAD: usize = 2;
    let mut guarded = GuardedServer::new(front_end, Mechanism::Plain, 30_000);
    let said = recorded::handshake(&mut guarded);
    let hello = GREETING + HEAD..GREETING + HEAD + usize::from(said[GREETING + 1]);
    let before = guarded.auth.counters();
    for place in hello.clone() {
        for bit in 0..8 {
            let mut bytes = said[..hello.end].to_vec();
            bytes[place] ^= 1 << bit;
            guarded.send_and_be_refused(&bytes);
            assert_eq!(guarded.auth.counters().allowed, before.allowed, "byte {place}, bit {bit}");
        }
    }
    assert!(guarded.auth.counters().denied > before.denied, "nobody got as far as the policy");
    guarded.assert_only_the_good_client_is_accepted();
}

fn no_flipped_byte_of_a_curve_handshake_is_accepted(front_end: FrontEnd) {
    // RFC 26. HELLO: name, version, padding that nobody checks, key, nonce, box. INITIATE: name, cookie, nonce, box.
    let places = [
        ("HELLO", (0..7).step_by(3).chain((79..199).step_by(11)).collect::<Vec<_>>()),
        ("INITIATE", (0..256).step_by(11).collect()),
    ];
    let mut guarded = GuardedServer::new(front_end, Mechanism::Curve, 30_000);
    for (command, places) in places {
        for place in places {
            let endpoint = format!("tcp://{}", proxy::start(guarded.server.port(), Damage::FlipAt(command, place)));
            guarded.fixture.client_once(&guarded.context, &endpoint).expect_mismatch();
            assert_eq!(
                guarded.auth.counters(),
                Default::default(),
                "{command}, byte {place}: somebody was asked about"
            );
        }
    }
    guarded.assert_only_the_good_client_is_accepted();
}

/// The greeting names the mechanism; the server accepts only its own.
fn no_flipped_bit_of_a_greeting_gets_around_the_credentials(front_end: FrontEnd) {
    /// The position of the mechanism's name, after signature and version.
    const NAME: std::ops::Range<usize> = 12..32;
    for mechanism in [Mechanism::Plain, Mechanism::Curve] {
        let mut guarded = GuardedServer::new(front_end, mechanism, 30_000);
        let said = recorded::handshake(&mut guarded);
        let flip = |place: usize, bit: usize| {
            let mut bytes = said.clone();
            bytes[place] ^= 1 << bit;
            bytes
        };
        let flipped: Vec<_> = NAME.flat_map(|place| (0..8).map(move |bit| flip(place, bit))).collect();
        guarded.assert_none_is_accepted(&flipped, true);
    }
}

fn noise_after_a_greeting_is_not_accepted(front_end: FrontEnd) {
    for mechanism in MECHANISMS {
        let mut guarded = GuardedServer::new(front_end, mechanism, 30_000);
        let greeting = recorded::handshake(&mut guarded)[..GREETING].to_vec();
        let mut random = Random::new();
        let noise = (1..200).map(|length| {
            let mut bytes = greeting.clone();
            // Half of them start like a command.
            if length % 2 == 0 {
                bytes.extend_from_slice(&[4, length as u8]);
            }
            bytes.extend((0..length).map(|_| random.byte()));
            bytes
        });
        guarded.assert_none_is_accepted(&noise.collect::<Vec<_>>(), mechanism != Mechanism::Null);
    }
}
