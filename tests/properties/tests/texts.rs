//! Texts that are nearly right: files, rules and keys made of their usual parts, in any order.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::cases;
use zmq_auth_properties::model::z85 as naive;
use zmq_auth_properties::{address_rules, certificate, password_file, password_line, reply, validity_name, z85};

/// Bytes of which some are these, some have a meaning, and a few are arbitrary.
fn joined(parts: &'static [&'static str], length: usize) -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        12 => select(parts).prop_map(|part| part.as_bytes().to_vec()),
        2 => "[ -~]{0,3}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..3),
    ];
    vec(part, 0..length).prop_map(|parts| parts.concat())
}

const CERTIFICATE: [&str; 30] = [
    "metadata\n",
    "metadata",
    "curve\n",
    "    ",
    "\t",
    "\r\n",
    "\n",
    "\n    ",
    " = ",
    "=",
    "\"",
    "'",
    "#",
    "name",
    "role",
    "not-after",
    "Not_After",
    "NOT BEFORE",
    "notbefore",
    "Public-Key",
    ":",
    "metadata\n    not-after = \"2020-01-01T00:00:00Z\"\n",
    "public-key",
    "secret-key",
    "    public-key = \"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID\"\n",
    "    secret-key = \"D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs\"\n",
    "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID",
    "\u{feff}",
    "\u{85}",
    "é",
];
const PASSWORDS: [&str; 28] = [
    "alice",
    "bob",
    "=",
    "==",
    "secret",
    "\n",
    "\r\n",
    "\r",
    "#",
    " ",
    "\t",
    "\0",
    "$2b$12$",
    ":",
    "\"",
    "{SSHA}",
    "{",
    "}",
    "md5",
    "pbkdf2_sha256$1$",
    "scram-sha-256:",
    "5f4dcc3b5aa765d61d8327deb882cf99",
    "$6$rounds=5000$",
    "$",
    "$argon2id$",
    "\u{feff}",
    "é",
    "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
];
const REPLY: [&str; 16] = [
    "a",
    "d",
    "r",
    "f",
    "x",
    "\x1E",
    "\x1E",
    "name",
    "Identity",
    "USER-ID",
    "__fd",
    "zmq-auth-mark",
    "=",
    "\0",
    "\n",
    "value",
];
const RULES: [&str; 30] = [
    "\n",
    "\n+",
    "\n-",
    "\n+",
    "\n=",
    "10.0.0.",
    "1",
    "2",
    "0",
    "/8",
    "/32",
    "/0",
    "/",
    "::",
    "::1",
    ":",
    "ffff",
    "::ffff:10.0.0.1",
    "fe80::1",
    "%eth0",
    "localhost:",
    "1000:100:7",
    "2001:db8::",
    "/128",
    "/96",
    "/95",
    "/1",
    "00",
    ".",
    "10.1.2.3",
];

/// Addresses that differ in few bits, and subnets of them, formatted by the standard library.
fn line() -> impl Strategy<Value = String> {
    use std::net::{Ipv4Addr, Ipv6Addr};
    let v4 = (0..4u32, 0..32u32).prop_map(|(low, flip)| Ipv4Addr::from((0x0A00_0000 | low) ^ (1 << flip)).to_string());
    let v6 = (select(vec![0xffff_0a00_0001u128, 0xfe80 << 112, 0x2001_0db8 << 96, 1, 0]), 0..128u32)
        .prop_map(|(base, flip)| Ipv6Addr::from(base ^ (1 << flip)).to_string());
    let ip = prop_oneof![v4, v6];
    (ip, 0..=130u8, select(vec!["+", "-", "", "", ""]), any::<bool>()).prop_map(|(ip, prefix, kind, is_subnet)| {
        if is_subnet && !kind.is_empty() { format!("{kind}{ip}/{prefix}") } else { format!("{kind}{ip}") }
    })
}

proptest! {
    #![proptest_config(cases(1024))]

    #[test]
    fn certificate_files(bytes in joined(&CERTIFICATE, 24)) {
        certificate::holds(&bytes);
    }

    #[test]
    fn password_files(bytes in joined(&PASSWORDS, 24)) {
        password_file::holds(&bytes);
    }

    #[test]
    fn password_lines(bytes in joined(&PASSWORDS, 8)) {
        password_line::holds(&bytes);
    }

    #[test]
    fn validity_names(bytes in joined(&CERTIFICATE, 8)) {
        validity_name::holds(&bytes);
    }

    #[test]
    fn replies(bytes in joined(&REPLY, 16)) {
        reply::holds(&bytes);
    }

    #[test]
    fn address_lines(bytes in joined(&RULES, 30)) {
        address_rules::holds(&bytes);
    }

    #[test]
    fn subnets_cover_what_their_bits_say(lines in vec(line(), 1..24)) {
        address_rules::holds(lines.join("\n").as_bytes());
    }

    #[test]
    fn keys_with_one_character_changed(key in any::<[u8; 32]>(), at in 0..40usize, by in any::<u8>()) {
        let mut text = naive::encode(&key).into_bytes();
        z85::holds(&text);
        text[at] = by;
        z85::holds(&text);
    }
}
