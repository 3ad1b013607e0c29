//! RFC 27 (ZAP 1.0): requests and replies as types. No I/O.

mod client;
mod reply;
mod request;

use std::ffi::CStr;

pub(crate) use client::{Client, Identity};
pub(crate) use reply::{Reply, Status};
pub(crate) use request::{Credentials, Malformed, Parsed, Request};

/// The address of a context's ZAP handler (RFC 27, "Addressing").
pub(crate) const ENDPOINT: &CStr = c"inproc://zeromq.zap.01";
/// The only protocol version (RFC 27, "Requests" and "Replies").
pub(crate) const VERSION: &[u8] = b"1.0";
