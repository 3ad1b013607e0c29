//! CURVE keys as types. A secret key can't be printed, and is compared in constant time.

mod pair;
mod public;
mod secret;
mod z85;

pub use pair::{KeyPair, curve_available, curve_keypair, curve_public};
pub use public::PublicKey;
pub use secret::SecretKey;
