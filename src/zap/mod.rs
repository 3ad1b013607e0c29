//! RFC 27 (ZAP 1.0): what libzmq asks, and what is answered. Pure: bytes in, types out, and back.

mod reply;
mod request;
mod subject;

pub(crate) use reply::{Reply, Status};
pub(crate) use request::{Credentials, Malformed, Parsed, Request};
pub(crate) use subject::{Subject, Who};

use std::ffi::CStr;

/// Where a context's ZAP handler is asked (RFC 27, "Addressing").
pub(crate) const ENDPOINT: &CStr = c"inproc://zeromq.zap.01";
/// The one version there is (RFC 27, "Requests" and "Replies").
pub(crate) const VERSION: &[u8] = b"1.0";
