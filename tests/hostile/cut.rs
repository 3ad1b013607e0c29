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
        let mut cuts: Vec<_> = (0..said.len()).map(|end| said[..end].to_vec()).collect();
        if mechanism == Mechanism::Curve {
            // All of it, again: the server's keys of the session are others now.
            cuts.push(said.clone());
        }
        scene.assert_none_enters(&cuts, mechanism == Mechanism::Curve);
        println!("{mechanism:?}: {} cuts", said.len());
    }
}
