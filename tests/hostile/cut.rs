//! A rightful handshake that ends too early: after every single byte.

use crate::harness::doors::{MECHANISMS, Mechanism};
use crate::harness::faces::{Face, behaviours};
use crate::recorded;
use crate::scene::Scene;

behaviours! {
    a_handshake_that_is_cut_anywhere_lets_nobody_in,
}

fn a_handshake_that_is_cut_anywhere_lets_nobody_in(face: Face) {
    for mechanism in MECHANISMS {
        let mut scene = Scene::new(face, mechanism, 30_000);
        let said = recorded::handshake(&mut scene);
        let before = scene.auth.counters();
        for end in 0..said.len() {
            scene.say_and_leave(&said[..end]);
        }
        if mechanism == Mechanism::Curve {
            // All of it, again: the server's keys of the session are others now.
            scene.say_and_leave(&said);
            assert_eq!(scene.auth.counters(), before, "somebody was asked about");
        }
        println!("{mechanism:?}: {} cuts", said.len());
        scene.assert_only_the_good_one_enters();
    }
}
