//! Bits that were flipped on the way, and bytes that never were a handshake.

use crate::harness::doors::{MECHANISMS, Mechanism};
use crate::harness::faces::{Face, behaviours};
use crate::harness::proxy::{self, Damage};
use crate::recorded::{self, GREETING};
use crate::scene::Scene;

behaviours! {
    no_flipped_bit_of_plain_credentials_opens,
    no_flipped_byte_of_a_curve_handshake_opens,
    no_flipped_bit_of_a_greeting_opens_a_door_with_credentials,
    noise_behind_a_greeting_opens_nothing,
}

fn no_flipped_bit_of_plain_credentials_opens(face: Face) {
    /// Flag and size of a short command.
    const HEAD: usize = 2;
    let mut scene = Scene::new(face, Mechanism::Plain, 30_000);
    let said = recorded::handshake(&mut scene);
    let hello = GREETING + HEAD..GREETING + HEAD + usize::from(said[GREETING + 1]);
    let before = scene.auth.counters();
    for place in hello.clone() {
        for bit in 0..8 {
            let mut bytes = said[..hello.end].to_vec();
            bytes[place] ^= 1 << bit;
            scene.say_and_be_refused(&bytes);
            assert_eq!(scene.auth.counters().allowed, before.allowed, "byte {place}, bit {bit}");
        }
    }
    assert!(scene.auth.counters().denied > before.denied, "nobody got as far as the policy");
    scene.assert_only_the_good_one_enters();
}

fn no_flipped_byte_of_a_curve_handshake_opens(face: Face) {
    // RFC 26. HELLO: name, version, padding that nobody looks at, key, nonce, box. INITIATE: name, cookie, nonce, box.
    let places = [
        ("HELLO", (0..7).step_by(3).chain((79..199).step_by(11)).collect::<Vec<_>>()),
        ("INITIATE", (0..256).step_by(11).collect()),
    ];
    let mut scene = Scene::new(face, Mechanism::Curve, 30_000);
    for (command, places) in places {
        for place in places {
            let endpoint = format!("tcp://{}", proxy::start(scene.server.port(), Damage::FlipAt(command, place)));
            scene.door.client_once(&scene.context, &endpoint).expect_mismatch();
            assert_eq!(scene.auth.counters(), Default::default(), "{command}, byte {place}: somebody was asked about");
        }
    }
    scene.assert_only_the_good_one_enters();
}

/// The greeting names the mechanism, and nothing but the server's own is taken.
fn no_flipped_bit_of_a_greeting_opens_a_door_with_credentials(face: Face) {
    /// Of the mechanism's name, behind signature and version.
    const NAME: std::ops::Range<usize> = 12..32;
    for mechanism in [Mechanism::Plain, Mechanism::Curve] {
        let mut scene = Scene::new(face, mechanism, 30_000);
        let said = recorded::handshake(&mut scene);
        let flip = |place: usize, bit: usize| {
            let mut bytes = said.clone();
            bytes[place] ^= 1 << bit;
            bytes
        };
        let flipped: Vec<_> = NAME.flat_map(|place| (0..8).map(move |bit| flip(place, bit))).collect();
        scene.assert_none_enters(&flipped, true);
    }
}

fn noise_behind_a_greeting_opens_nothing(face: Face) {
    for mechanism in MECHANISMS {
        let mut scene = Scene::new(face, mechanism, 30_000);
        let greeting = recorded::handshake(&mut scene)[..GREETING].to_vec();
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 24) as u8
        };
        let noise = (1..200).map(|length| {
            let mut bytes = greeting.clone();
            // Half of them begin as a command does.
            if length % 2 == 0 {
                bytes.extend_from_slice(&[4, length as u8]);
            }
            bytes.extend((0..length).map(|_| next()));
            bytes
        });
        scene.assert_none_enters(&noise.collect::<Vec<_>>(), mechanism != Mechanism::Null);
    }
}
