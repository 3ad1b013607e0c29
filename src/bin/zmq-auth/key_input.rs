//! A key or a certificate, read from a file or from standard input.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use clap::ValueEnum;
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use serde::Serialize;
use zeroize::Zeroizing;
use zmq_auth::{Certificate, SecretKey, zeroize};

use crate::escape;
use crate::output::Failure;

/// The largest certificate file.
const MAX_FILE: usize = 64 * 1024;

/// How a key is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// A certificate as pyzmq writes it
    Pyzmq,
    /// A certificate as czmq writes it
    Czmq,
    /// 40 characters of Z85
    Z85,
    /// 64 hexadecimal digits
    Hex,
    /// 44 characters of base64
    Base64,
}

pub(crate) enum Input {
    Certificate(Certificate),
    /// 32 bytes: a public or a secret key.
    Raw(Zeroizing<[u8; 32]>),
}

/// Reads the file, or standard input for `-`. Without a format, detects it.
pub(crate) fn read(file: &Path, from: Option<Format>) -> Result<Input, Failure> {
    let (name, content) = if file == Path::new("-") {
        if io::stdin().is_terminal() {
            return Err(Failure::usage("standard input is a terminal, so there is nothing to read")
                .hint("Give a file, or redirect one: zmq-auth … < FILE"));
        }
        ("standard input".to_owned(), content(io::stdin().lock()))
    } else {
        (escape::path(file), File::open(file).and_then(content))
    };
    let content = content.map_err(|error| Failure::new(format!("{name}: cannot read: {error}")))?;
    if content.len() > MAX_FILE {
        return Err(Failure::new(format!("{name}: is larger than 64 KiB, so it isn't a key")));
    }
    match from.or_else(|| format(&content)) {
        Some(Format::Pyzmq | Format::Czmq) => Ok(Input::Certificate(Certificate::parse(&content, &name)?)),
        Some(format) => raw(trimmed(&content), format).map(Input::Raw).ok_or_else(|| {
            Failure::new(format!("{name}: is not a key in {}", words(format)))
                .hint("A key has 32 bytes: 40 characters of Z85, 64 hexadecimal digits, or 44 characters of base64.")
        }),
        None => Err(Failure::new(format!("{name}: is neither a certificate nor a key"))
            .hint("A key has 32 bytes: 40 characters of Z85, 64 hexadecimal digits, or 44 characters of base64.")),
    }
}

/// Reads into a buffer that never grows: growing would leave copies of a secret in memory.
fn content(mut source: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut buffer = Zeroizing::new(vec![0; MAX_FILE + 1]);
    let mut length = 0;
    while length < buffer.len() {
        match source.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(length);
    Ok(buffer)
}

/// Detects the format. No two formats of a key have the same length.
fn format(content: &[u8]) -> Option<Format> {
    let is_certificate = content.windows(10).any(|part| part == b"public-key" || part == b"secret-key");
    match trimmed(content).len() {
        _ if is_certificate => Some(Format::Pyzmq),
        40 => Some(Format::Z85),
        64 => Some(Format::Hex),
        43 | 44 => Some(Format::Base64),
        _ => None,
    }
}

fn trimmed(content: &[u8]) -> &[u8] {
    content.trim_ascii()
}

fn raw(text: &[u8], format: Format) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    match format {
        Format::Z85 => {
            // Through `SecretKey`, which is wiped when dropped.
            let parsed: SecretKey = std::str::from_utf8(text).ok()?.parse().ok()?;
            key.copy_from_slice(parsed.as_bytes());
        }
        Format::Hex => {
            let fits = HEXLOWER_PERMISSIVE.decode_len(text.len()).ok()? == 32;
            (fits && HEXLOWER_PERMISSIVE.decode_mut(text, &mut *key).ok()? == 32).then_some(())?;
        }
        Format::Base64 => {
            // 43 characters are 32 bytes; some leave out the padding.
            let text = text.strip_suffix(b"=").unwrap_or(text);
            let fits = BASE64_NOPAD.decode_len(text.len()).ok()? == 32;
            (fits && BASE64_NOPAD.decode_mut(text, &mut *key).ok()? == 32).then_some(())?;
        }
        Format::Pyzmq | Format::Czmq => return None,
    }
    Some(key)
}

/// The text of a key, without a line feed.
pub(crate) fn encoded(key: &[u8; 32], format: Format) -> Zeroizing<String> {
    let encode = |length, write: &dyn Fn(&mut [u8])| {
        let mut bytes = Zeroizing::new(vec![0; length]);
        write(&mut bytes);
        let mut text = Zeroizing::new(String::with_capacity(length));
        text.extend(bytes.iter().copied().map(char::from));
        text
    };
    match format {
        Format::Hex => encode(64, &|bytes| HEXLOWER_PERMISSIVE.encode_mut(key, bytes)),
        Format::Base64 => encode(44, &|bytes| BASE64.encode_mut(key, bytes)),
        Format::Z85 | Format::Pyzmq | Format::Czmq => SecretKey::from(*key).to_z85(),
    }
}

fn words(format: Format) -> &'static str {
    match format {
        Format::Pyzmq | Format::Czmq => "a certificate",
        Format::Z85 => "Z85",
        Format::Hex => "hexadecimal digits",
        Format::Base64 => "base64",
    }
}
