//! Good handshakes that are cut off after every single byte.

use crate::guarded::GuardedServer;
use crate::harness::fixture::{MECHANISMS, Mechanism};
use crate::harness::front_end::{FrontEnd, behaviours};
use crate::recorded;

behaviours! {
    a_handshake_that_is_cut_off_anywhere_is_not_accepted,
}

fn a_handshake_that_is_cut_off_anywhere_is_not_accepted(front_end: FrontEnd) {
    for mechanism in MECHANISMS {
        let mut guarded = GuardedServer::new(front_end, mechanism, 30_000);
        let said = recorded::handshake(&mut guarded);
        let mut cuts: Vec<_> = (0..said.len()).map(|end| said[..end].to_vec()).collect();
        if mechanism == Mechanism::Curve {
            // All of it, again: the server's keys of the session are others now.
            cuts.push(said.clone());
        }
        guarded.assert_none_is_accepted(&cuts, mechanism == Mechanism::Curve);
        println!("{mechanism:?}: {} cuts", said.len());
    }
}
