//! The bytes of a certificate file, as pyzmq writes them.

use jiff::civil::DateTime;
use zeroize::Zeroizing;

use super::round_trip;
use crate::error::Result;
use crate::keys::{KeyPair, PublicKey};
use crate::metadata::Metadata;

// The header says pyzmq because the files equal pyzmq's to the byte.
const GENERATED: &str = "#   ****  Generated on ";
const SECRET_BANNER: &str = " by pyzmq  ****
#   ZeroMQ CURVE **Secret** Certificate
#   DO NOT PROVIDE THIS FILE TO OTHER USERS nor change its permissions.

";
const PUBLIC_BANNER: &str = " by pyzmq  ****
#   ZeroMQ CURVE Public Certificate
#   Exchange securely, or use a secure mechanism to verify the contents
#   of this file after exchange. Store public certificates in your home
#   directory, in the .curve subdirectory.

";

/// The text of the secret file: both keys, and metadata, which is quoted only if other readers need it.
pub(super) fn secret(time: &str, keys: &KeyPair, metadata: &Metadata) -> Result<Zeroizing<String>> {
    round_trip::check_total(metadata)?;
    let mut parts = vec![GENERATED, time, SECRET_BANNER, "metadata\n"];
    for (name, value) in metadata.iter() {
        let quote = round_trip::check(name, value, round_trip::AS_PYZMQ)?;
        parts.extend(["    ", name, " = ", quote, value, quote, "\n"]);
    }
    let (public, secret) = (keys.public.to_string(), keys.secret.to_z85());
    parts.extend(["curve\n    public-key = \"", &public, "\"\n    secret-key = \"", &secret, "\"\n"]);
    Ok(joined(&parts))
}

/// The text of the public file: the public key, and metadata, which is quoted as by czmq. (pyzmq's has no metadata.)
pub(super) fn public(time: &str, key: PublicKey, metadata: &Metadata) -> Result<Zeroizing<String>> {
    round_trip::check_total(metadata)?;
    let mut parts = vec![GENERATED, time, PUBLIC_BANNER, "metadata\n"];
    for (name, value) in metadata.iter() {
        let quote = round_trip::check(name, value, round_trip::AS_CZMQ)?;
        parts.extend(["    ", name, " = ", quote, value, quote, "\n"]);
    }
    let public = key.to_string();
    parts.extend(["curve\n    public-key = \"", &public, "\"\n"]);
    Ok(joined(&parts))
}

/// The current local time, as text for the header.
pub(super) fn now() -> String {
    timestamp(jiff::ZonedDateTime::now().datetime())
}

/// Formats like Python's `datetime`: with microseconds, unless they are 0.
fn timestamp(time: DateTime) -> String {
    let seconds = time.strftime("%Y-%m-%d %H:%M:%S");
    match time.subsec_nanosecond() / 1000 {
        0 => seconds.to_string(),
        microseconds => format!("{seconds}.{microseconds:06}"),
    }
}

/// Joins the parts in a buffer allocated in full: one that grows would leave parts of a secret behind.
fn joined(parts: &[&str]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| text.push_str(part));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Certificate;
    use crate::certificate::parse::parse;
    use jiff::civil::datetime;

    fn pair() -> KeyPair {
        KeyPair {
            public: "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7".parse().unwrap(),
            secret: "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6".parse().unwrap(),
        }
    }

    fn metadata(entries: &[(&str, &str)]) -> Metadata {
        let mut metadata = Metadata::default();
        for &(name, value) in entries {
            metadata.insert(name, value).unwrap();
        }
        metadata
    }

    #[test]
    fn the_time_is_printed_as_python_does() {
        assert_eq!(timestamp(datetime(2024, 5, 6, 7, 8, 9, 123_456_789)), "2024-05-06 07:08:09.123456");
        assert_eq!(timestamp(datetime(2024, 5, 6, 7, 8, 9, 1_000)), "2024-05-06 07:08:09.000001");
        assert_eq!(timestamp(datetime(2024, 5, 6, 7, 8, 9, 0)), "2024-05-06 07:08:09");
        assert_eq!(timestamp(datetime(2024, 12, 31, 23, 59, 59, 999)), "2024-12-31 23:59:59");
    }

    #[test]
    fn the_secret_file() {
        let bytes = secret("2024-05-06 07:08:09", &pair(), &metadata(&[("name", "Al \"x\" #1"), ("b", "")])).unwrap();
        let expected = concat!(
            "#   ****  Generated on 2024-05-06 07:08:09 by pyzmq  ****\n",
            "#   ZeroMQ CURVE **Secret** Certificate\n",
            "#   DO NOT PROVIDE THIS FILE TO OTHER USERS nor change its permissions.\n\n",
            "metadata\n    name = 'Al \"x\" #1'\n    b = \ncurve\n",
            "    public-key = \"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\"\n",
            "    secret-key = \"JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6\"\n",
        );
        assert_eq!(bytes.as_str(), expected);
    }

    #[test]
    fn the_public_file() {
        let entries = [("a", "plain"), ("b", "say \"x\""), ("c", "it's \"x\""), ("d", "")];
        let bytes = public("2024-05-06 07:08:09.000001", pair().public, &metadata(&entries)).unwrap();
        let expected = concat!(
            "#   ****  Generated on 2024-05-06 07:08:09.000001 by pyzmq  ****\n",
            "#   ZeroMQ CURVE Public Certificate\n",
            "#   Exchange securely, or use a secure mechanism to verify the contents\n",
            "#   of this file after exchange. Store public certificates in your home\n",
            "#   directory, in the .curve subdirectory.\n\n",
            "metadata\n    a = \"plain\"\n    b = 'say \"x\"'\n    c = it's \"x\"\n    d = \"\"\ncurve\n",
            "    public-key = \"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\"\n",
        );
        assert_eq!(bytes.as_str(), expected);
    }

    #[test]
    fn the_secret_text_fills_its_buffer_exactly_and_reads_back() {
        let metadata = metadata(&[("name", "Alice"), ("team", "blue")]);
        let bytes = secret(&now(), &pair(), &metadata).unwrap();
        assert_eq!(bytes.len(), bytes.capacity());
        let Ok(Certificate { keys, metadata: read }) = parse(bytes.as_bytes()) else { panic!("not read back") };
        assert_eq!((keys, read), (crate::certificate::CertificateKeys::Pair(pair()), metadata));
    }

    #[test]
    fn accepted_metadata_reads_back_equal_from_both_files() {
        let pieces =
            ["a", "é", " ", "\t", "\n", "\"", "'", "#", "=", "-", "\u{a0}", "public-key", "secret-key", "metadata"];
        // An xorshift generator with a fixed seed: every run tests the same texts.
        let mut state = 88_172_645_463_325_252_u64;
        let mut text = || {
            let mut random = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 16) as usize
            };
            (0..random() % 6).map(|_| pieces[random() % pieces.len()]).collect::<String>()
        };
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..60_000 {
            let (name, value) = (text(), text());
            let Ok(certificate) = Certificate::from(pair()).with_metadata(name, value) else {
                refused += 1;
                continue;
            };
            accepted += 1;
            let metadata = certificate.metadata();
            assert_eq!(parse(secret("now", &pair(), metadata).unwrap().as_bytes()).unwrap(), certificate);
            let read = parse(public("now", pair().public, metadata).unwrap().as_bytes()).unwrap();
            assert_eq!((read.public_key(), read.metadata()), (pair().public, metadata));
        }
        assert!(accepted > 1000 && refused > 1000, "{accepted} accepted, {refused} refused");
    }
}
