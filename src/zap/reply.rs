//! A ZAP reply, in buffers that are reused.

use std::borrow::Cow;

use super::VERSION;
use crate::keys::PublicKey;
use crate::metadata::{Metadata, encode_property};

/// The four status codes that libzmq accepts (RFC 27, "Replies"). Any other fails the handshake as a protocol error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// 200: accepted.
    Success,
    /// 300: a temporary error. The client isn't told, and retries after `ZMQ_HANDSHAKE_IVL`.
    Retry,
    /// 400: refused. The client is told the code, and doesn't retry.
    Denied,
    /// 500: the handler failed. For the client, as 400.
    Fault,
}

impl Status {
    pub(crate) fn number(self) -> u16 {
        match self {
            Status::Success => 200,
            Status::Retry => 300,
            Status::Denied => 400,
            Status::Fault => 500,
        }
    }

    /// The code as a reply contains it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Status::Success => "200",
            Status::Retry => "300",
            Status::Denied => "400",
            Status::Fault => "500",
        }
    }
}

/// The reply to one request. A new one denies.
#[derive(Debug)]
pub(crate) struct Reply {
    status: Status,
    text: Cow<'static, str>,
    user_id: Vec<u8>,
    metadata: Vec<u8>,
}

impl Reply {
    pub(crate) fn new() -> Self {
        Reply { status: Status::Denied, text: Cow::Borrowed(""), user_id: Vec::new(), metadata: Vec::new() }
    }

    pub(crate) fn status(&self) -> Status {
        self.status
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The user id, empty unless the status is `Success`.
    pub(crate) fn user_id(&self) -> &[u8] {
        &self.user_id
    }

    /// Accepts the client. A user id with a NUL byte is refused with 500: libzmq returns it as a C string, so `admin\0x`
    /// would read as `admin`.
    pub(crate) fn allow(&mut self, user_id: &[u8]) {
        if user_id.contains(&0) {
            return self.refuse(Status::Fault, Cow::Borrowed("user id with a NUL byte"));
        }
        self.refuse(Status::Success, Cow::Borrowed("OK"));
        self.user_id.extend_from_slice(user_id);
    }

    /// Accepts the client with its Z85 key as user id: 40 characters, none of them NUL.
    pub(crate) fn allow_key(&mut self, key: &PublicKey) {
        self.refuse(Status::Success, Cow::Borrowed("OK"));
        self.user_id.extend_from_slice(&key.to_z85());
    }

    /// Adds metadata that is already encoded.
    pub(crate) fn add_encoded(&mut self, metadata: &[u8]) {
        if self.status == Status::Success {
            self.metadata.extend_from_slice(metadata);
        }
    }

    pub(crate) fn add_metadata(&mut self, metadata: &Metadata) {
        if self.status == Status::Success {
            metadata.encode(&mut self.metadata);
        }
    }

    /// Adds a property of this crate in front of all others: of two properties with one name, libzmq keeps the first.
    pub(crate) fn add_property(&mut self, name: &str, value: &str) {
        let mut property = Vec::with_capacity(5 + name.len() + value.len() + self.metadata.len());
        encode_property(name, value, &mut property);
        property.append(&mut self.metadata);
        self.metadata = property;
    }

    /// The names of the metadata, in their order.
    pub(crate) fn metadata_names(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.metadata[..];
        // RFC 23: the name's length in one byte, the name, the value's length in four bytes, the value.
        std::iter::from_fn(move || {
            let (&length, after) = rest.split_first()?;
            let (name, after) = after.split_at_checked(length.into())?;
            let (length, after) = after.split_first_chunk::<4>()?;
            rest = after.get(u32::from_be_bytes(*length) as usize..)?;
            Some(name)
        })
    }

    /// Sets any status but success, without user id and metadata.
    pub(crate) fn refuse(&mut self, status: Status, text: Cow<'static, str>) {
        self.status = status;
        self.text = text;
        self.user_id.clear();
        self.metadata.clear();
    }

    /// The frames after the delimiter, in order (RFC 27, "Replies").
    pub(crate) fn frames<'a>(&'a self, request_id: &'a [u8]) -> [&'a [u8]; 6] {
        let [status, text, user_id, metadata] = self.verdict();
        [VERSION, request_id, status, text, user_id, metadata]
    }

    /// The frames after the request id: status code, status text, user id, metadata.
    pub(crate) fn verdict(&self) -> [&[u8]; 4] {
        [self.status.label().as_bytes(), self.text.as_bytes(), &self.user_id, &self.metadata]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_reply_denies() {
        assert_eq!(Reply::new().frames(b"1")[2], b"400");
    }

    #[test]
    fn frames_are_those_of_rfc_27() {
        let mut reply = Reply::new();
        reply.allow(b"alice");
        reply.add_encoded(b"\x01a\x00\x00\x00\x01b");
        let expected: [&[u8]; 6] = [b"1.0", b"id", b"200", b"OK", b"alice", b"\x01a\x00\x00\x00\x01b"];
        assert_eq!(reply.frames(b"id"), expected);
    }

    #[test]
    fn nothing_of_one_answer_is_left_in_the_next() {
        let mut reply = Reply::new();
        reply.allow(b"alice");
        reply.add_encoded(b"\x01a\x00\x00\x00\x01b");
        reply.refuse(Status::Retry, Cow::Borrowed("later"));
        let expected: [&[u8]; 6] = [b"1.0", b"1", b"300", b"later", b"", b""];
        assert_eq!(reply.frames(b"1"), expected);
        reply.add_encoded(b"metadata of a refused client");
        assert_eq!(reply.frames(b"1"), expected);
    }

    #[test]
    fn a_user_id_that_would_be_read_as_another_is_a_fault() {
        let mut reply = Reply::new();
        reply.allow(b"admin\0guest");
        assert_eq!(reply.status(), Status::Fault);
        assert_eq!(reply.user_id(), b"");
    }
    #[test]
    fn what_is_recorded_about_a_reply_agrees_with_its_frames() {
        let mut reply = Reply::new();
        reply.allow(b"alice");
        assert_eq!((reply.status(), reply.text(), reply.user_id()), (Status::Success, "OK", &b"alice"[..]));
        for status in [Status::Retry, Status::Denied, Status::Fault] {
            reply.refuse(status, Cow::Borrowed("no"));
            assert_eq!((reply.status(), reply.text(), reply.user_id()), (status, "no", &b""[..]));
        }
        for status in [Status::Success, Status::Retry, Status::Denied, Status::Fault] {
            assert_eq!(status.number().to_string(), status.label());
        }
    }

    #[test]
    fn a_refused_client_gets_no_metadata() {
        let mut metadata = Metadata::default();
        metadata.insert("a", "b").unwrap();
        let mut reply = Reply::new();
        reply.add_metadata(&metadata);
        assert_eq!(reply.frames(b"1")[5], b"");
        reply.allow(b"alice");
        reply.add_metadata(&metadata);
        reply.add_property("c", "");
        assert_eq!(reply.frames(b"1")[5], b"\x01c\0\0\0\0\x01a\0\0\0\x01b", "the crate's own comes first");
        assert_eq!(reply.metadata_names().collect::<Vec<_>>(), [b"c", b"a"]);
    }
}
