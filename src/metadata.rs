//! Metadata: the names and values that a ZAP reply or a certificate carries.

use crate::error::{Error, Result};

/// The property that carries the connection tag by which a message's sender is checked again.
pub(crate) const TAG_PROPERTY: &str = "Zmq-Auth-Mark";

/// Names that libzmq reserves, and which a reply must not set: `Identity`, for example, even sets the routing id
/// by which a ROUTER socket addresses the peer. The last is this crate's own.
const RESERVED: [&str; 7] = ["Identity", "Routing-Id", "Socket-Type", "User-Id", "Peer-Address", "__fd", TAG_PROPERTY];

/// A name's length is one byte on the wire (RFC 23, "metadata").
const MAX_NAME: usize = 255;
const MAX_ENCODED: usize = 65_535;
/// The bytes of the two lengths that precede a name and its value.
const LENGTHS: usize = 1 + 4;

/// Names and values, in the order of insertion.
///
/// In a [`Verdict`](crate::Verdict) they become properties of every message that the server receives from that client
/// (`zmq::Message::gets`); in a [`Certificate`](crate::Certificate) they describe its owner. Two are equal if names, values
/// and order are.
///
/// A name has 1 to 255 bytes, compared byte for byte. In the encoding of RFC 23, everything takes at most 65,535 bytes:
/// each name and value, and 5 bytes for each pair.
///
/// ```
/// use zmq_auth::Metadata;
///
/// let mut metadata = Metadata::default();
/// metadata.insert("role", "reader")?;
/// metadata.insert("team", "blue")?;
/// metadata.insert("role", "writer")?; // keeps its place
/// assert_eq!(metadata.iter().collect::<Vec<_>>(), [("role", "writer"), ("team", "blue")]);
/// assert!(metadata.insert("User-Id", "root").is_err()); // libzmq's own
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(Vec<(String, String)>);

impl Metadata {
    /// Sets a value; an existing name gets the new value and keeps its position.
    ///
    /// # Errors
    /// [`Error::Metadata`], and nothing changes, for
    /// - a name that is empty, longer than 255 bytes or has control characters,
    /// - a name that libzmq reserves, in any case: `Identity`, `Routing-Id`, `Socket-Type`, `User-Id`,
    ///   `Peer-Address`, `__fd`, or for this crate: `Zmq-Auth-Mark`,
    /// - a value with a NUL byte (libzmq returns values as C strings, which end there),
    /// - more than 65,535 encoded bytes in all.
    ///
    /// ```
    /// # use zmq_auth::Metadata;
    /// let mut metadata = Metadata::default();
    /// metadata.insert("role", "reader")?;
    /// assert!(metadata.insert("", "x").is_err());
    /// assert!(metadata.insert("role", "x\0y").is_err());
    /// assert_eq!(metadata.get("role"), Some("reader"));
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) -> Result<()> {
        let name = name.into();
        if is_reserved(&name) {
            return Err(refused(&name, "libzmq reserves this name: choose another"));
        }
        self.insert_unreserved(name, value.into())
    }

    /// As [`insert`](Self::insert), but also accepts reserved names: a certificate may have them, but they are never sent.
    pub(crate) fn insert_unreserved(&mut self, name: String, value: String) -> Result<()> {
        if let Some(problem) = problem(&name, &value) {
            return Err(refused(&name, problem));
        }
        let place = self.0.iter().position(|(held, _)| *held == name);
        let replaced = place.map_or(0, |place| encoded_len(&self.0[place]));
        let entry = (name, value);
        let others: usize = self.0.iter().map(encoded_len).sum::<usize>() - replaced;
        if others + encoded_len(&entry) > MAX_ENCODED {
            return Err(refused(&entry.0, "would make the metadata larger than 65,535 bytes"));
        }
        match place {
            Some(place) => self.0[place] = entry,
            None => self.0.push(entry),
        }
        Ok(())
    }

    /// Removes a name, and returns its value.
    ///
    /// ```
    /// # use zmq_auth::Metadata;
    /// let mut metadata = Metadata::default();
    /// metadata.insert("role", "reader")?;
    /// assert_eq!(metadata.remove("role").as_deref(), Some("reader"));
    /// assert!(metadata.remove("role").is_none());
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(held, _)| held == name)?;
        Some(self.0.remove(place).1)
    }

    /// The value of a name.
    ///
    /// ```
    /// # use zmq_auth::Metadata;
    /// assert_eq!(Metadata::default().get("role"), None);
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(held, value)| (held == name).then_some(value))
    }

    /// Names and values, in the order of insertion.
    ///
    /// ```
    /// # use zmq_auth::Metadata;
    /// # let mut metadata = Metadata::default();
    /// # metadata.insert("role", "reader")?;
    /// for (name, value) in metadata.iter() {
    ///     println!("{name}: {value}");
    /// }
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The number of names.
    ///
    /// ```
    /// # use zmq_auth::Metadata;
    /// assert_eq!(Metadata::default().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is empty.
    ///
    /// ```
    /// # use zmq_auth::Metadata;
    /// assert!(Metadata::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the encoding for a ZAP reply (RFC 23, "metadata"): name length in 1 byte, name, value length in 4 bytes,
    /// big-endian, value. Reserved names are left out.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter().filter(|(name, _)| !is_reserved(name)) {
            encode_property(name, value, out);
        }
    }
}

/// Encodes one name and value. One that is too long for its length field, which `insert_unreserved` refuses, is left out.
pub(crate) fn encode_property(name: &str, value: &str, out: &mut Vec<u8>) {
    let (Ok(name_length), Ok(value_length)) = (u8::try_from(name.len()), u32::try_from(value.len())) else { return };
    out.push(name_length);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&value_length.to_be_bytes());
    out.extend_from_slice(value.as_bytes());
}

/// An error for this name, quoting at most 256 bytes of it.
pub(crate) fn refused(name: &str, problem: &'static str) -> Error {
    Error::Metadata { name: name[..name.floor_char_boundary(256)].to_owned(), problem }
}

fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

fn problem(name: &str, value: &str) -> Option<&'static str> {
    match name.len() {
        0 => Some("a name can't be empty"),
        1..=MAX_NAME if name.contains(char::is_control) => Some("a name can't have control characters"),
        1..=MAX_NAME if value.contains('\0') => Some("a value can't have a NUL"),
        1..=MAX_NAME => None,
        _ => Some("a name has at most 255 bytes"),
    }
}

fn encoded_len((name, value): &(String, String)) -> usize {
    LENGTHS + name.len() + value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem_of(result: Result<()>) -> &'static str {
        match result {
            Err(Error::Metadata { problem, .. }) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_are_kept_byte_for_byte_in_order_of_insertion() {
        let mut metadata = Metadata::default();
        for (name, value) in [("b", "1"), ("a", "2"), ("A", "3"), ("b", "4")] {
            metadata.insert(name, value).unwrap();
        }
        assert_eq!(metadata.iter().collect::<Vec<_>>(), [("b", "4"), ("a", "2"), ("A", "3")]);
        assert_eq!((metadata.get("a"), metadata.get("B"), metadata.len()), (Some("2"), None, 3));
        assert_eq!(metadata.remove("b").as_deref(), Some("4"));
        assert_eq!(metadata.iter().collect::<Vec<_>>(), [("a", "2"), ("A", "3")]);
        assert_eq!(metadata.remove("b"), None);
    }

    #[test]
    fn what_libzmq_gives_a_meaning_to_is_refused_in_any_case_and_never_sent() {
        for name in ["Identity", "identity", "ROUTING-ID", "Socket-Type", "User-Id", "user-id", "Peer-Address", "__FD"]
        {
            let mut metadata = Metadata::default();
            problem_of(metadata.insert(name, "x"));
            assert!(metadata.is_empty());
            metadata.insert_unreserved(name.into(), "x".into()).unwrap();
            assert_eq!(metadata.get(name), Some("x"));
            let mut encoded = Vec::new();
            metadata.encode(&mut encoded);
            assert!(encoded.is_empty(), "{name} was sent");
        }
        Metadata::default().insert("Identity2", "x").unwrap();
    }

    #[test]
    fn bad_names_and_values_change_nothing() {
        let mut metadata = Metadata::default();
        metadata.insert("a", "1").unwrap();
        let before = metadata.clone();
        let long = "n".repeat(256);
        for (name, value) in [("", "x"), (&long, "x"), ("a\n", "x"), ("a\u{85}", "x"), ("a", "x\0")] {
            problem_of(metadata.insert(name, value));
            assert_eq!(metadata, before);
        }
        metadata.insert("n".repeat(255), "line\nline").unwrap();
    }

    #[test]
    fn the_error_says_why() {
        for (name, value, why) in [
            ("", "x", "empty"),
            ("a\n", "x", "control characters"),
            ("a", "x\0", "NUL"),
            (&"n".repeat(256), "x", "at most 255 bytes"),
            ("Identity", "x", "libzmq reserves this name"),
        ] {
            let problem = problem_of(Metadata::default().insert(name, value));
            assert!(problem.contains(why), "{name:?} = {value:?}: {problem}");
        }
    }

    #[test]
    fn an_error_quotes_at_most_256_bytes_of_a_name() {
        let Err(Error::Metadata { name, .. }) = Metadata::default().insert("é".repeat(4000), "") else { panic!() };
        assert_eq!(name, "é".repeat(128));
    }

    #[test]
    fn all_of_it_is_at_most_65535_bytes() {
        let mut metadata = Metadata::default();
        metadata.insert("a", "x".repeat(65_535 - 6)).unwrap();
        let mut encoded = Vec::new();
        metadata.encode(&mut encoded);
        assert_eq!(encoded.len(), 65_535);
        problem_of(metadata.insert("b", ""));
        problem_of(metadata.insert("a", "x".repeat(65_535 - 5)));
        // The replaced value doesn't count.
        metadata.insert("a", "y".repeat(65_535 - 6)).unwrap();
        metadata.insert("a", "y").unwrap();
        metadata.insert("b", "").unwrap();
    }

    #[test]
    fn the_encoding_is_that_of_rfc_23() {
        let mut metadata = Metadata::default();
        metadata.insert("role", "reader").unwrap();
        metadata.insert("ü", "").unwrap();
        let mut encoded = b"before".to_vec();
        metadata.encode(&mut encoded);
        assert_eq!(encoded, b"before\x04role\x00\x00\x00\x06reader\x02\xC3\xBC\x00\x00\x00\x00");
    }
}
