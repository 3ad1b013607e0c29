//! The ZAP request. A `Credentials` exists only if its frames were valid, so no later code checks lengths again.

use super::VERSION;
use crate::address::AddressFrame;
use crate::keys::PublicKey;

/// The result of parsing a request's frames.
#[derive(Debug)]
pub(crate) struct Parsed<'a, B> {
    /// Returned with the reply, whatever it is.
    pub(crate) request_id: &'a B,
    pub(crate) request: Result<Request<'a>, Malformed>,
}

/// A well-formed request (RFC 27, "Requests"). The identity frame isn't kept: it is the routing id of the server's own
/// socket and says nothing about the client.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) domain: &'a [u8],
    pub(crate) address: AddressFrame<'a>,
    pub(crate) mechanism: &'a [u8],
    pub(crate) credentials: Credentials<'a>,
}

/// The credentials that the client presents.
pub(crate) enum Credentials<'a> {
    Null,
    Plain {
        username: &'a [u8],
        password: &'a [u8],
    },
    Curve(PublicKey),
    Gssapi {
        principal: &'a [u8],
    },
    /// A mechanism that this crate doesn't know: refused, but only after the address is checked.
    Unknown,
}

// Written by hand, so that a password is never printed.
impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credentials::Null => "Null",
            Credentials::Plain { .. } => "Plain { .. }",
            Credentials::Curve(_) => "Curve(..)",
            Credentials::Gssapi { .. } => "Gssapi { .. }",
            Credentials::Unknown => "Unknown",
        })
    }
}

/// Why a request is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    TooFewFrames,
    Version,
    CredentialFrames,
    CurveKeySize,
}

impl<'a, B: AsRef<[u8]>> Parsed<'a, B> {
    /// Parses the frames from the version frame on; `None` if there is no request id to reply to.
    ///
    /// The first failed check decides the reply: version, then credentials; address and mechanism come later.
    pub(crate) fn new(frames: &'a [B]) -> Option<Self> {
        let [version, request_id, rest @ ..] = frames else { return None };
        let request = if version.as_ref() == VERSION { Request::new(rest) } else { Err(Malformed::Version) };
        Some(Parsed { request_id, request })
    }
}

impl<'a> Request<'a> {
    fn new<B: AsRef<[u8]>>(frames: &'a [B]) -> Result<Self, Malformed> {
        let [domain, address, _identity, mechanism, credentials @ ..] = frames else {
            return Err(Malformed::TooFewFrames);
        };
        let mechanism = mechanism.as_ref();
        Ok(Request {
            domain: domain.as_ref(),
            address: address.as_ref().into(),
            mechanism,
            credentials: Credentials::new(mechanism, credentials)?,
        })
    }
}

impl<'a> Credentials<'a> {
    fn new<B: AsRef<[u8]>>(mechanism: &[u8], frames: &'a [B]) -> Result<Self, Malformed> {
        match (mechanism, frames) {
            (b"NULL", []) => Ok(Credentials::Null),
            (b"PLAIN", [username, password]) => {
                Ok(Credentials::Plain { username: username.as_ref(), password: password.as_ref() })
            }
            (b"CURVE", [key]) => match <[u8; 32]>::try_from(key.as_ref()) {
                Ok(key) => Ok(Credentials::Curve(PublicKey::from(key))),
                Err(_) => Err(Malformed::CurveKeySize),
            },
            (b"GSSAPI", [principal]) => Ok(Credentials::Gssapi { principal: principal.as_ref() }),
            (b"NULL" | b"PLAIN" | b"CURVE" | b"GSSAPI", _) => Err(Malformed::CredentialFrames),
            _ => Ok(Credentials::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<'a>(frames: &'a [&'a [u8]]) -> Result<Request<'a>, Malformed> {
        Parsed::new(frames).expect("two frames").request
    }

    #[test]
    fn needs_two_frames_to_be_answered() {
        assert!(Parsed::<&[u8]>::new(&[]).is_none());
        assert!(Parsed::new(&[b"1.0"]).is_none());
        let frames: [&[u8]; 2] = [b"1.0", b"7"];
        let parsed = Parsed::new(&frames).expect("answerable");
        assert_eq!(*parsed.request_id, b"7");
        assert_eq!(parsed.request.unwrap_err(), Malformed::TooFewFrames);
    }

    #[test]
    fn version_comes_first() {
        assert_eq!(parse(&[b"1.1", b"1"]).unwrap_err(), Malformed::Version);
        assert_eq!(parse(&[b"", b"1", b"d", b"a", b"i", b"NULL"]).unwrap_err(), Malformed::Version);
    }

    #[test]
    fn each_mechanism_has_its_credentials() {
        let parse = |mechanism: &[u8], credentials: &[&[u8]]| -> Result<String, Malformed> {
            let mut frames: Vec<&[u8]> = vec![b"1.0", b"1", b"d", b"a", b"i", mechanism];
            frames.extend(credentials);
            parse(&frames).map(|request| format!("{:?}", request.credentials))
        };
        let key: &[u8] = &[7; 32];
        assert_eq!(parse(b"NULL", &[]).unwrap(), "Null");
        assert_eq!(parse(b"NULL", &[b""]), Err(Malformed::CredentialFrames));
        assert_eq!(parse(b"PLAIN", &[b"u", b"p"]).unwrap(), "Plain { .. }");
        assert_eq!(parse(b"PLAIN", &[b"u"]), Err(Malformed::CredentialFrames));
        assert_eq!(parse(b"PLAIN", &[b"u", b"p", b"x"]), Err(Malformed::CredentialFrames));
        assert_eq!(parse(b"CURVE", &[key]).unwrap(), "Curve(..)");
        assert_eq!(parse(b"CURVE", &[&key[1..]]), Err(Malformed::CurveKeySize));
        assert_eq!(parse(b"CURVE", &[&[7; 33]]), Err(Malformed::CurveKeySize));
        assert_eq!(parse(b"CURVE", &[]), Err(Malformed::CredentialFrames));
        assert_eq!(parse(b"CURVE", &[key, key]), Err(Malformed::CredentialFrames));
        assert_eq!(parse(b"GSSAPI", &[b"alice@REALM"]).unwrap(), "Gssapi { .. }");
        assert_eq!(parse(b"GSSAPI", &[]), Err(Malformed::CredentialFrames));
        assert_eq!(parse(b"curve", &[key]).unwrap(), "Unknown");
        assert_eq!(parse(b"", &[]).unwrap(), "Unknown");
    }
}
