//! A second, obvious implementation of what the docs promise: whom a policy accepts, and what texts and bytes mean.
//!
//! It uses plain lists that are searched from the front, bits that are compared one by one, and nothing of the crate. It is
//! written from the documentation, so that the two agree only if both are right. The properties and the fuzzers compare them.

pub mod address;
pub mod certificate;
pub mod metadata;
pub mod passwords;
pub mod policy;
pub mod z85;
