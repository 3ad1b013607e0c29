//! CURVE keys and PLAIN passwords as types: a secret can't be printed, logged or compared in a time that tells its bytes.

mod pair;
mod password;
mod public;
mod secret;
mod z85;

pub use pair::{KeyPair, curve_available, curve_keypair, curve_public};
pub(crate) use password::PaddedPassword;
pub use password::Password;
pub use public::PublicKey;
pub use secret::SecretKey;
