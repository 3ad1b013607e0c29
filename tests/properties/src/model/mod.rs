//! A second, obvious reading of what the docs promise: whom a policy lets in, and what texts and bytes mean.
//!
//! Plain lists that are searched from the front, bits that are compared one by one, and nothing of the crate: it is
//! written from the documentation, so that the two can only agree where both are right. The properties compare them; so
//! do the fuzzers.

pub mod address;
pub mod certificate;
pub mod metadata;
pub mod passwords;
pub mod policy;
pub mod z85;
