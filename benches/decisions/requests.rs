//! The requests of a population, in the format of `driver.c`: made before the clock starts, drawn from the whole store.

use std::ffi::CStr;
use std::sync::Arc;

use zmq_auth_benches::random;

use super::population::{self, Population};

/// The most requests that are made; for a large store they repeat.
const MOST: u64 = 1 << 20;
const LEAST: u64 = 1 << 14;

/// A contestant's position in them.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) cursor: u64,
    pub(crate) mechanism: &'static CStr,
    pub(crate) credentials: u64,
}

impl Requests {
    /// The requests, in pairs of one from a member and one from a stranger, in random order.
    pub(crate) fn of(population: Population) -> Self {
        let (mechanism, credentials, size) = match population {
            Population::Keys(size) => (c"CURVE", 1, size),
            Population::Users(size) => (c"PLAIN", 2, size),
            Population::Addresses(.., size) => (c"NULL", 0, size),
        };
        let size = u64::from(size);
        let mut bytes = Vec::new();
        for pair in 0..(size * 4).clamp(LEAST, MOST) / 2 {
            let draw = random::nth(pair);
            let member_first = draw & 1 == 0;
            for member in [member_first, !member_first] {
                bytes.push(u8::from(member));
                let number = random::nth(draw ^ u64::from(member)) % size;
                write(population, size, number, member, &mut bytes);
            }
        }
        Requests { bytes: bytes.into(), cursor: 0, mechanism, credentials }
    }
}

fn write(population: Population, size: u64, number: u64, member: bool, bytes: &mut Vec<u8>) {
    let mut frame = |content: &[u8]| {
        bytes.push(content.len() as u8);
        bytes.extend_from_slice(content);
    };
    let stranger = size + number;
    match population {
        Population::Keys(_) => {
            frame(b"127.0.0.1");
            frame(&population::key(if member { number } else { stranger }));
        }
        Population::Users(_) => {
            frame(b"127.0.0.1");
            // Half of the strangers have an unknown name, the others a wrong password.
            let unknown = !member && number & 1 == 0;
            frame(population::user(if unknown { stranger } else { number }).as_bytes());
            frame(population::password(if member { number } else { stranger }).as_bytes());
        }
        Population::Addresses(family, shape, _) => {
            frame(population::address(family, shape, if member { number } else { stranger }).as_bytes());
        }
    }
}
