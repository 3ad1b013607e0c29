//! `zmq-auth pubkey` and `zmq-auth convert`.

use std::fs;
use std::process::{Command, Stdio};

use zmq_auth::{Certificate, KeyPair};

use crate::files::{OTHER, PUBLIC, SECRET, all, mode, names, run_with_umask};
use crate::python;
use crate::run::{program, run, run_with_input};

const FORMATS: [&str; 5] = ["pyzmq", "czmq", "z85", "hex", "base64"];

/// The test pair as `server.key` and `server.key_secret`, with metadata.
fn server() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let pair = KeyPair { public: PUBLIC.parse().unwrap(), secret: SECRET.parse().unwrap() };
    Certificate::from(pair).with_metadata("name", "The Server").unwrap().save_full_pair(dir.path(), "server").unwrap();
    dir
}

fn hex(text: &str) -> String {
    let key: zmq_auth::PublicKey = text.parse().unwrap();
    key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn pubkey_takes_certificates_and_secret_keys() {
    let dir = server();
    for file in ["server.key", "server.key_secret"] {
        assert_eq!(run(dir.path(), &["pubkey", file]).ok(), format!("{PUBLIC}\n"));
        let content = fs::read(dir.path().join(file)).unwrap();
        for arguments in [&["pubkey"][..], &["pubkey", "-"]] {
            assert_eq!(run_with_input(dir.path(), arguments, &content).ok(), format!("{PUBLIC}\n"));
        }
    }
    // Lines may end in CRLF, LF, or not at all, and the formats all give the same key.
    let hex = hex(SECRET);
    for text in
        [SECRET.to_owned(), format!("{SECRET}\n"), format!("{SECRET}\r\n"), format!("{hex}\n"), hex.to_uppercase()]
    {
        assert_eq!(run_with_input(dir.path(), &["pubkey"], text.as_bytes()).ok(), format!("{PUBLIC}\n"), "{text:?}");
    }
    let crlf = fs::read_to_string(dir.path().join("server.key_secret")).unwrap().replace('\n', "\r\n");
    assert_eq!(run_with_input(dir.path(), &["pubkey"], crlf.trim_end().as_bytes()).ok(), format!("{PUBLIC}\n"));
    let value = run_with_input(dir.path(), &["pubkey", "--json"], SECRET.as_bytes()).json();
    assert_eq!(value, serde_json::json!({"public_key": PUBLIC}));
}

#[test]
fn input_that_is_not_a_key_is_never_quoted() {
    let dir = server();
    let mut bad = SECRET.to_owned();
    bad.replace_range(39.., "\"");
    let mismatch = format!("curve\n public-key = \"{OTHER}\"\n secret-key = \"{SECRET}\"\n");
    let large = format!("{SECRET}{}", " x".repeat(40_000));
    let cases = [
        ("", "neither a certificate nor a key"),
        ("JTKV", "neither a certificate nor a key"),
        (&bad, "is not a key in Z85"),
        (&"JTKVx".repeat(13)[..64], "is not a key in hexadecimal digits"),
        (&"JTKV*".repeat(9)[..44], "is not a key in base64"),
        (&mismatch, "are not a pair"),
        (&large, "larger than 64 KiB"),
        ("curve\n  public-key = \"JTKV\"\n", "standard input:2: "),
    ];
    for (input, text) in cases {
        for arguments in [&["pubkey"][..], &["convert", "-", "--to", "hex", "--secret"]] {
            let outcome = run_with_input(dir.path(), arguments, input.as_bytes());
            assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{text}");
            assert!(outcome.stderr.contains(text), "{arguments:?} {text}: {}", outcome.stderr);
            assert!(!outcome.stderr.contains("JTKV"), "{}", outcome.stderr);
        }
    }
    assert_eq!(run(dir.path(), &["pubkey", "missing"]).code, 1);
}

#[test]
fn every_format_becomes_every_other() {
    let dir = server();
    let secret_file = dir.path().join("server.key_secret");
    for first in FORMATS {
        for second in FORMATS {
            for (secret, expected) in [(true, SECRET), (false, PUBLIC)] {
                let flags = if secret { &["--secret"][..] } else { &[] };
                let convert = |to: &str, input: &[u8], from: &[&str]| {
                    let arguments = [&["convert", "-", "--to", to], flags, from].concat();
                    run_with_input(dir.path(), &arguments, input).ok()
                };
                let one = convert(first, &fs::read(&secret_file).unwrap(), &[]);
                assert_eq!(one.contains(SECRET) || one.contains(&hex(SECRET)), secret && first != "base64", "{first}");
                let two = convert(second, one.as_bytes(), &["--from", first]);
                let back = convert("z85", two.as_bytes(), &[]);
                assert_eq!(back, format!("{expected}\n"), "{first} {second} {secret}");
            }
        }
    }
}

#[test]
fn the_texts_are_what_the_formats_say() {
    let dir = server();
    let convert =
        |arguments: &[&str]| run(dir.path(), &[&["convert", "server.key_secret", "--to"], arguments].concat()).ok();
    assert_eq!(convert(&["z85"]), format!("{PUBLIC}\n"));
    assert_eq!(convert(&["hex"]), format!("{}\n", hex(PUBLIC)));
    assert_eq!(convert(&["hex", "--secret"]), format!("{}\n", hex(SECRET)));
    let base64 = convert(&["base64"]);
    assert!(base64.len() == 45 && base64.ends_with("=\n"), "{base64}");
    let body = |text: &str| text.split_once('\n').unwrap().1.to_owned();
    let file = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(body(&convert(&["pyzmq"])), body(&file("server.key")));
    assert_eq!(body(&convert(&["pyzmq", "--secret"])), body(&file("server.key_secret")));

    // czmq quotes metadata in both files, and writes whole seconds.
    let czmq = convert(&["czmq"]);
    let (first, rest) = czmq.split_once('\n').unwrap();
    assert!(first.starts_with("#   ****  Generated on 2") && first.ends_with(" by CZMQ  ****"), "{first}");
    assert_eq!(first.len(), "#   ****  Generated on 2026-02-03 04:05:06 by CZMQ  ****".len());
    assert_eq!(rest, body(&file("server.key")));
    let expected = format!(
        "#   ZeroMQ CURVE **Secret** Certificate\n\
         #   DO NOT PROVIDE THIS FILE TO OTHER USERS nor change its permissions.\n\n\
         metadata\n    name = \"The Server\"\ncurve\n    public-key = \"{PUBLIC}\"\n    secret-key = \"{SECRET}\"\n"
    );
    assert_eq!(body(&convert(&["czmq", "--secret"])), expected);
}

#[test]
fn files_are_new_unless_forced_and_secret_ones_are_the_owners() {
    let dir = server();
    let convert =
        |arguments: &[&str]| run(dir.path(), &[&["convert", "server.key_secret", "--to"], arguments].concat());
    for format in FORMATS {
        let file = format!("out.{format}");
        assert_eq!(convert(&[format, "--secret", "-o", &file]).ok(), format!("{PUBLIC}\n"));
        assert_eq!(mode(&dir.path().join(&file)), 0o600, "{format}");
        let before = all(dir.path());
        let outcome = convert(&[format, "-o", &file]);
        assert!(
            outcome.code == 1 && outcome.stderr.contains("exists already; nothing was changed"),
            "{}",
            outcome.stderr
        );
        assert_eq!(all(dir.path()), before);
        convert(&[format, "-o", &file, "--force"]).ok();
        let public = fs::read_to_string(dir.path().join(&file)).unwrap();
        assert!(
            !public.contains(SECRET) && !public.contains(&hex(SECRET)) && !public.contains("secret-key"),
            "{format}"
        );
        assert_eq!(mode(&dir.path().join(&file)) & 0o133, 0, "{format}");
    }
    assert_eq!(names(dir.path()).len(), 2 + FORMATS.len(), "no temporary file");
}

#[test]
fn json_holds_the_text_or_names_the_file() {
    let dir = server();
    let json = |arguments: &[&str]| {
        run(dir.path(), &[&["convert", "server.key_secret", "--json", "--to"], arguments].concat()).json()
    };
    let expected = |secret: bool, file: serde_json::Value, text: serde_json::Value| serde_json::json!({"format": "z85", "public_key": PUBLIC, "secret": secret, "file": file, "text": text});
    let null = serde_json::Value::Null;
    assert_eq!(json(&["z85"]), expected(false, null.clone(), format!("{PUBLIC}\n").into()));
    assert_eq!(json(&["z85", "--secret"]), expected(true, null.clone(), format!("{SECRET}\n").into()));
    assert_eq!(json(&["z85", "--secret", "-o", "x"]), expected(true, "x".into(), null));
}

#[test]
fn wrong_uses() {
    let dir = server();
    let outcome = run(dir.path(), &["convert", "server.key", "--to", "hex", "--secret"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("it has no secret key"), "{}", outcome.stderr);
    let outcome = run(dir.path(), &["convert", "server.key", "--to", "hex", "--from", "z85"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("server.key: is not a key in Z85"), "{}", outcome.stderr);
    for arguments in [
        &["server.key"][..],
        &["server.key", "--to", "pem"],
        &["server.key", "--to", "hex", "--force"],
        &["--to", "hex"],
    ] {
        assert_eq!(run(dir.path(), &[&["convert"], arguments].concat()).code, 2, "{arguments:?}");
    }
    let outcome = run(dir.path(), &["convert", "server.key", "--to", "hex", "-o", "nowhere/x"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("nowhere/x: cannot write"), "{}", outcome.stderr);
    // The last copy of a secret key is never replaced by its public half.
    for name in ["server.key_secret", "./server.key_secret"] {
        let outcome = run(dir.path(), &["convert", "server.key_secret", "--to", "hex", "-o", name, "--force"]);
        assert!(outcome.code == 2 && outcome.stderr.contains("its secret key would be lost"), "{}", outcome.stderr);
        assert!(Certificate::load(dir.path().join("server.key_secret")).unwrap().key_pair().is_some());
    }
    assert_eq!(names(dir.path()), ["server.key", "server.key_secret"]);
    let arguments = ["convert", "server.key_secret", "--to", "czmq", "-o", "server.key_secret", "--force", "--secret"];
    run(dir.path(), &arguments).ok();
    assert!(Certificate::load(dir.path().join("server.key_secret")).unwrap().key_pair().is_some());
}

#[test]
fn pyzmq_loads_what_is_converted() {
    let dir = server();
    for (format, extra) in [("pyzmq", &["--secret"][..]), ("czmq", &["--secret"]), ("pyzmq", &[]), ("czmq", &[])] {
        run(dir.path(), &[&["convert", "server.key_secret", "--to", format, "-o", "x", "--force"], extra].concat())
            .ok();
        let script = "import sys, zmq.auth; print(*(k and k.decode() for k in zmq.auth.load_certificate(sys.argv[1])))";
        let mut command = Command::new(python::python());
        let output = command.args(["-c", script]).arg(dir.path().join("x")).output().unwrap();
        let secret = if extra.is_empty() { "None" } else { SECRET };
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{PUBLIC} {secret}\n"), "{format}");
    }
}

#[test]
fn a_reader_that_is_gone_is_no_failure() {
    let dir = server();
    let mut command = Command::new(program());
    command.args(["convert", "server.key", "--to", "pyzmq"]).current_dir(dir.path()).stderr(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn the_umask_does_not_change_the_mode() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("key"), SECRET).unwrap();
    for umask in ["077", "000"] {
        for (secret, wanted) in [(&[][..], 0o644), (&["--secret"], 0o600)] {
            let arguments = [&["convert", "key", "--to", "pyzmq", "-o", "out", "--force"], secret].concat();
            run_with_umask(dir.path(), umask, &arguments);
            assert_eq!(mode(&dir.path().join("out")), wanted, "{umask} {secret:?}");
        }
    }
}

#[test]
fn only_a_regular_file_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("key"), PUBLIC).unwrap();
    fs::create_dir(dir.path().join("directory")).unwrap();
    let fifo = dir.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    std::os::unix::fs::symlink("key", dir.path().join("link")).unwrap();
    for (name, says) in
        [("fifo", "regular file"), ("directory", "regular file"), ("link", "the file that it points to")]
    {
        let outcome = run(dir.path(), &["convert", "key", "--to", "hex", "-o", name, "--force"]);
        assert!(outcome.code == 1 && outcome.stderr.contains(says), "{}", outcome.stderr);
    }
    use std::os::unix::fs::FileTypeExt;
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    assert!(dir.path().join("link").is_symlink());
}
