//! Compatibility with pyzmq's files: byte for byte the same, and each side reads the other's.

use std::fs;
use std::path::Path;
use std::process::Command;

use zmq_auth::{Certificate, KeyPair, load_certificate, load_certificates, save_certificate};

use crate::{harness, names, shell};

/// Makes pyzmq write at a given time, with given keys. argv: directory, time, public key, secret key.
const PINNED: &str = "
import datetime, sys, types, zmq, zmq.auth.certs as certs
directory, time, public, secret = sys.argv[1:5]
class Pinned(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromisoformat(time)
certs.datetime = types.SimpleNamespace(datetime=Pinned)
zmq.curve_keypair = lambda: (public.encode(), secret.encode())
";

fn run(script: &str, args: &[&str]) -> String {
    let output = Command::new(harness::python::python())
        .args(["-c", script])
        .args(args)
        .env("PYTHONUTF8", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The time in a file's header.
fn time(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().next().unwrap();
    line.strip_prefix("#   ****  Generated on ").unwrap().strip_suffix(" by pyzmq  ****").unwrap().to_string()
}

fn assert_same_bytes(ours: &Path, theirs: &Path) {
    let (ours, theirs) = (fs::read(ours).unwrap(), fs::read(theirs).unwrap());
    // As text, for readable failures; the keys are the test's own.
    assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&theirs));
    assert_eq!(ours, theirs);
}

#[test]
fn a_pair_is_byte_for_byte_pyzmqs() {
    let script = format!(
        "{PINNED}\nentries = sys.argv[5:]\nmetadata = dict(zip(entries[::2], entries[1::2]))
certs.create_certificates(directory, 'x', metadata=metadata)"
    );
    let cases: [&[&str]; 4] = [
        &[],
        &["name", "Alice"],
        &["z", "last letter first", "a", "", "name", "Älice \"the key\" 1", "org", "a = b"],
        &["User-Id", "alice", "role", "it's \"both\""],
    ];
    for entries in cases {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut certificate = Certificate::generate().unwrap();
        for entry in entries.chunks(2) {
            certificate = certificate.with_metadata(entry[0], entry[1]).unwrap();
        }
        let (public, secret) = certificate.save_pair(&ours, "x").unwrap();
        let pair = certificate.key_pair().unwrap();
        assert_eq!(time(&public), time(&secret));
        let (z85, secret_z85) = (pair.public.to_string(), pair.secret.to_z85());
        let mut args = vec![theirs.path().to_str().unwrap(), "", &z85, &secret_z85];
        let time = time(&secret);
        args[1] = &time;
        args.extend(entries);
        run(&script, &args);
        assert_eq!(names(theirs.path()), ["x.key", "x.key_secret"]);
        assert_same_bytes(&public, &theirs.path().join("x.key"));
        assert_same_bytes(&secret, &theirs.path().join("x.key_secret"));

        // Replaced files are the same too.
        let (public, secret) = certificate.replace_pair(&ours, "x").unwrap();
        let time = self::time(&secret);
        args[1] = &time;
        run(&script, &args);
        assert_same_bytes(&public, &theirs.path().join("x.key"));
        assert_same_bytes(&secret, &theirs.path().join("x.key_secret"));
    }
}

#[test]
fn single_files_are_byte_for_byte_pyzmqs() {
    let script = format!(
        "{PINNED}\nfile, kind = directory, sys.argv[5]
if kind == 'secret':
    certs._write_key_file(file, certs._cert_secret_banner.format(Pinned.now()), public, secret_key=secret)
else:
    certs._write_key_file(file, certs._cert_public_banner.format(Pinned.now()), public)"
    );
    let dir = tempfile::tempdir().unwrap();
    let pair = KeyPair::generate().unwrap();
    let certificate = Certificate::from(pair.clone());
    let (public, secret) = (pair.public.to_string(), pair.secret.to_z85());
    for kind in ["secret", "public", "certificate"] {
        let (ours, theirs) = (dir.path().join(kind), dir.path().join(format!("{kind} by pyzmq")));
        match kind {
            "secret" => save_certificate(&ours, &pair.public, Some(&pair.secret)).unwrap(),
            "public" => save_certificate(&ours, &pair.public, None).unwrap(),
            _ => certificate.save_public(&ours).unwrap(),
        }
        run(&script, &[theirs.to_str().unwrap(), &time(&ours), &public, &secret, kind]);
        assert_same_bytes(&ours, &theirs);
    }
}

#[test]
fn the_header_has_the_local_time() {
    if let Some(dir) = shell::child_dir() {
        let now = || run("import datetime; print(datetime.datetime.now().isoformat(' ', 'microseconds'))", &[]);
        let before = now();
        let (_, secret) = zmq_auth::create_certificates(&dir, "x").unwrap();
        let after = now();
        let mut written = time(&secret);
        if written.len() == 19 {
            written += ".000000";
        }
        // Fixed length, largest unit first, so that texts compare as times do.
        assert!(before.trim() <= written.as_str() && written.as_str() <= after.trim(), "{before} {written} {after}");
        return;
    }
    harness::python::python();
    for zone in ["UTC", "America/St_Johns", "Asia/Kathmandu", "XYZ-11:30"] {
        let dir = tempfile::tempdir().unwrap();
        shell::run("pyzmq::the_header_has_the_local_time", &format!("export TZ={zone}"), dir.path());
    }
}

#[test]
fn pyzmq_loads_what_we_write() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = Certificate::generate().unwrap().with_metadata("name", "Alice").unwrap();
    let (public, secret) = certificate.save_pair(&dir, "alice").unwrap();
    let full = dir.path().join("full.key");
    certificate.save_public(&full).unwrap();
    let script = "
import sys, zmq.auth
for file in sys.argv[2:]:
    print(*(key and key.decode() for key in zmq.auth.load_certificate(file)))
print(*(key.decode() for key in zmq.auth.load_certificates(sys.argv[1])))";
    let files = [dir.path(), &public, &secret, &full].map(|path| path.to_str().unwrap());
    let pair = certificate.key_pair().unwrap();
    let key = pair.public.to_string();
    let expected = format!("{key} None\n{key} {}\n{key} None\n{key}\n", pair.secret.to_z85().as_str());
    assert_eq!(run(script, &files), expected);
}

#[test]
fn we_load_what_pyzmq_writes() {
    let dir = tempfile::tempdir().unwrap();
    let script = "
import sys, zmq.auth
metadata = {'name': 'Älice', 'z': '', 'note': 'say \"x\" # y', 'a': 'b = c', 'User-Id': 'root'}
for name in ('alice', 'bob'):
    public, secret = zmq.auth.create_certificates(sys.argv[1], name, metadata=metadata)
    print(*(key and key.decode() for key in zmq.auth.load_certificate(secret)))";
    let told = run(script, &[dir.path().to_str().unwrap()]);
    let mut keys = Vec::new();
    for (line, name) in told.lines().zip(["alice", "bob"]) {
        let (public, secret) = line.split_once(' ').unwrap();
        let pair = KeyPair { public: public.parse().unwrap(), secret: secret.parse().unwrap() };
        pair.check().unwrap();
        let certificate = Certificate::load(dir.path().join(format!("{name}.key_secret"))).unwrap();
        assert_eq!(certificate.key_pair(), Some(&pair));
        let expected = [("name", "Älice"), ("z", ""), ("note", "say \"x\" # y"), ("a", "b = c"), ("User-Id", "root")];
        assert_eq!(certificate.metadata().iter().collect::<Vec<_>>(), expected);
        assert_eq!(load_certificate(dir.path().join(format!("{name}.key"))).unwrap(), (pair.public, None));
        keys.push(pair.public);
    }
    assert_eq!(keys.len(), 2);
    assert_eq!(load_certificates(&dir).unwrap(), keys.into_iter().collect());
}
