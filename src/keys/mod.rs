//! CURVE keys and PLAIN passwords as types: a secret can't be printed, logged or compared in a time that tells its bytes.

mod blocks;
mod pair;
mod password;
mod public;
mod secret;
mod z85;

pub(crate) use blocks::PasswordBlocks;
pub use pair::{KeyPair, curve_available, curve_keypair, curve_public};
pub use password::Password;
pub use public::PublicKey;
pub use secret::SecretKey;
