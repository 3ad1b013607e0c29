//! Writing certificates: file modes, atomicity, and existing files.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use zmq_auth::{
    Certificate, Error, KeyPair, PublicKey, SecretKey, create_certificates, load_certificate, load_certificates,
    save_certificate,
};

use crate::{OTHER, PUBLIC, SECRET, mode, names, shell};

fn pair() -> KeyPair {
    KeyPair { public: PUBLIC.parse().unwrap(), secret: SECRET.parse().unwrap() }
}

#[test]
fn a_created_pair_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let (public, secret) = create_certificates(&dir, "server").unwrap();
    assert_eq!((public.clone(), secret.clone()), (dir.path().join("server.key"), dir.path().join("server.key_secret")));
    assert_eq!(names(dir.path()), ["server.key", "server.key_secret"]);

    let (key, none) = load_certificate(&public).unwrap();
    let (same, own) = load_certificate(&secret).unwrap();
    assert_eq!((key, none), (same, None));
    KeyPair { public: key, secret: own.unwrap() }.check().unwrap();
    assert_eq!(load_certificates(&dir).unwrap(), [key].into());
    assert!(!fs::read_to_string(public).unwrap().contains("secret-key"));
}

#[test]
fn a_certificate_comes_back_equal() {
    let dir = tempfile::tempdir().unwrap();
    let certificate =
        Certificate::generate().unwrap().with_metadata("b", "1").unwrap().with_metadata("a", "2").unwrap();
    let (public, secret) = certificate.save_pair(&dir, "x").unwrap();
    assert_eq!(Certificate::load(&secret).unwrap(), certificate);
    assert_eq!(Certificate::load(&public).unwrap(), certificate.public_key().into());
    assert_ne!(Certificate::load(&secret).unwrap(), certificate.clone().without_metadata("a"));
    assert_ne!(Certificate::load(&secret).unwrap(), Certificate::generate().unwrap());

    let full = dir.path().join("full.key");
    certificate.save_public(&full).unwrap();
    let loaded = Certificate::load(&full).unwrap();
    assert_eq!((loaded.public_key(), loaded.metadata()), (certificate.public_key(), certificate.metadata()));
    assert!(loaded.key_pair().is_none());
}

#[test]
fn modes_are_those_of_the_umask_but_secrets_are_the_owners_alone() {
    if let Some(dir) = shell::child_dir() {
        let (public, secret) = create_certificates(&dir, "created").unwrap();
        let certificate = Certificate::generate().unwrap();
        certificate.save_public(dir.join("public.key")).unwrap();
        certificate.save_pair(&dir, "replaced").unwrap();
        let (replaced_public, replaced_secret) =
            Certificate::generate().unwrap().replace_pair(&dir, "replaced").unwrap();
        save_certificate(dir.join("saved"), &pair().public, None).unwrap();
        save_certificate(dir.join("saved_secret"), &pair().public, Some(&pair().secret)).unwrap();
        // Created last, by the standard library: its mode shows the umask, if it is still what the shell set.
        fs::write(dir.join("plain"), "").unwrap();

        let umask = u32::from_str_radix(dir.file_name().unwrap().to_str().unwrap(), 8).unwrap();
        assert_eq!(mode(&dir.join("plain")), 0o666 & !umask);
        for file in [public, replaced_public, dir.join("public.key"), dir.join("saved")] {
            assert_eq!(mode(&file), 0o644 & !umask, "{file:?}");
        }
        for file in [secret, replaced_secret, dir.join("saved_secret")] {
            assert_eq!(mode(&file), 0o600, "{file:?}");
        }
        return;
    }
    let root = tempfile::tempdir().unwrap();
    for umask in ["000", "022", "027", "077"] {
        let dir = root.path().join(umask);
        fs::create_dir(&dir).unwrap();
        let name = "writing::modes_are_those_of_the_umask_but_secrets_are_the_owners_alone";
        shell::run(name, &format!("umask {umask}"), &dir);
    }
}

#[test]
fn an_existing_file_is_never_overwritten_and_nothing_else_is_written() {
    let certificate = Certificate::from(pair());
    for in_the_way in ["x.key", "x.key_secret"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(in_the_way);
        fs::write(&file, "theirs").unwrap();
        for result in [
            certificate.save_pair(&dir, "x").map(drop),
            create_certificates(&dir, "x").map(drop),
            certificate.save_public(&file),
            save_certificate(&file, &pair().public, None),
            save_certificate(&file, &pair().public, Some(&pair().secret)),
        ] {
            let Err(Error::Exists { path }) = result else { panic!("{result:?}") };
            assert_eq!(path, file);
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "theirs");
        assert_eq!(names(dir.path()), [in_the_way]);
    }
}

#[test]
fn nothing_is_written_through_a_symbolic_link() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let certificate = Certificate::from(pair());
    for (target, name) in [("there", "a"), ("nowhere", "b")] {
        let target = elsewhere.path().join(target);
        if name == "a" {
            fs::write(&target, "theirs").unwrap();
        }
        let (public, secret) = (dir.path().join(format!("{name}.key")), dir.path().join(format!("{name}.key_secret")));
        symlink(&target, &secret).unwrap();
        symlink(&target, &public).unwrap();
        assert!(matches!(certificate.save_pair(&dir, name), Err(Error::Exists { .. })));
        assert!(matches!(certificate.save_public(&public), Err(Error::Exists { .. })));
        assert!(matches!(save_certificate(&secret, &pair().public, None), Err(Error::Exists { .. })));
        certificate.replace_pair(&dir, name).unwrap();
        assert!(fs::symlink_metadata(&secret).unwrap().is_file() && fs::symlink_metadata(&public).unwrap().is_file());
    }
    assert_eq!(names(elsewhere.path()), ["there"]);
    assert_eq!(fs::read_to_string(elsewhere.path().join("there")).unwrap(), "theirs");
}

#[test]
fn a_pair_can_be_replaced_and_the_old_file_is_not_written_into() {
    let dir = tempfile::tempdir().unwrap();
    let (_, secret) = create_certificates(&dir, "x").unwrap();
    fs::hard_link(&secret, dir.path().join("old")).unwrap();
    let old = fs::read(&secret).unwrap();

    let renewed = Certificate::generate().unwrap().with_metadata("a", "b").unwrap();
    let (public, secret) = renewed.replace_pair(&dir, "x").unwrap();
    assert_eq!(Certificate::load(&secret).unwrap(), renewed);
    assert_eq!(Certificate::load(public).unwrap().public_key(), renewed.public_key());
    assert_eq!(fs::read(dir.path().join("old")).unwrap(), old);
    assert_eq!(fs::metadata(&secret).unwrap().nlink(), 1);
    assert_eq!(names(dir.path()), ["old", "x.key", "x.key_secret"]);

    // Missing files are created.
    renewed.replace_pair(&dir, "y").unwrap();
    assert_eq!(names(dir.path()), ["old", "x.key", "x.key_secret", "y.key", "y.key_secret"]);
}

#[test]
fn a_reader_never_sees_half_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let (public, secret) = create_certificates(&dir, "x").unwrap();
    let value = "v".repeat(1_000);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) || reads < 100 {
                let certificate = Certificate::load(&secret).unwrap();
                certificate.key_pair().unwrap().check().unwrap();
                assert!(certificate.metadata().get("a").is_none_or(|read| read == value));
                Certificate::load(&public).unwrap();
                reads += 1;
            }
        });
        let result = (0..100).try_for_each(|_| {
            let certificate = (0..40)
                .try_fold(Certificate::generate()?.with_metadata("a", value.clone())?, |all, n| {
                    all.with_metadata(format!("a{n}"), value.clone())
                })?;
            certificate.replace_pair(&dir, "x").map(drop)
        });
        done.store(true, Ordering::Relaxed);
        result.unwrap();
        reader.join().unwrap();
    });
    assert_eq!(names(dir.path()), ["x.key", "x.key_secret"]);
}

#[test]
fn a_full_disk_leaves_no_partial_files() {
    if let Some(dir) = shell::child_dir() {
        let before = names(&dir);
        let old = fs::read(dir.join("x.key_secret")).unwrap();
        let certificate = Certificate::generate().unwrap();
        for result in [
            create_certificates(&dir, "y").map(drop),
            certificate.replace_pair(&dir, "x").map(drop),
            certificate.save_public(dir.join("z.key")),
            save_certificate(dir.join("z"), &pair().public, Some(&pair().secret)),
        ] {
            assert!(matches!(result, Err(Error::Io { action: "write", .. })), "{result:?}");
        }
        assert_eq!(names(&dir), before);
        assert_eq!(fs::read(dir.join("x.key_secret")).unwrap(), old);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    create_certificates(&dir, "x").unwrap();
    // No file may grow beyond 0 blocks; the signal for that is ignored, so that writing fails instead.
    let name = "writing::a_full_disk_leaves_no_partial_files";
    shell::run(name, "trap '' XFSZ; ulimit -f 0", dir.path());
}

#[test]
fn a_missing_directory_is_not_created() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    for result in [
        create_certificates(&missing, "x").map(drop),
        Certificate::from(pair()).replace_pair(&missing, "x").map(drop),
        save_certificate(missing.join("x"), &pair().public, None),
    ] {
        let Err(Error::Io { path, source, .. }) = result else { panic!("{result:?}") };
        assert!(path.starts_with(&missing) && source.kind() == io::ErrorKind::NotFound);
    }
    assert!(names(dir.path()).is_empty());
}

#[test]
fn names_stay_in_their_directory() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let long = "x".repeat(300);
    for name in ["", ".", "..", "../x", "a/b", "/x", ".x", "x\0", "x\ny", "a\\b"] {
        for result in [create_certificates(&inner, name), Certificate::from(pair()).replace_pair(&inner, name)] {
            assert!(matches!(result, Err(Error::CertificateName { .. })), "{name:?}: {result:?}");
        }
    }
    assert!(matches!(create_certificates(&inner, &long), Err(Error::Io { .. })));
    for path in ["", "/", "..", "inner/.."] {
        let result = save_certificate(Path::new(path), &pair().public, None);
        assert!(matches!(result, Err(Error::CertificateName { .. } | Error::Exists { .. })), "{path:?}: {result:?}");
    }
    assert_eq!(names(dir.path()), ["inner"]);
    assert!(names(&inner).is_empty());
    create_certificates(&inner, "my server №1").unwrap();
}

#[test]
fn keys_that_are_not_a_pair_are_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let other: PublicKey = OTHER.parse().unwrap();
    let secret: SecretKey = SECRET.parse().unwrap();
    let mixed = Certificate::from(KeyPair { public: other, secret: secret.clone() });
    assert!(matches!(mixed.save_pair(&dir, "x"), Err(Error::KeyMismatch)));
    assert!(matches!(mixed.replace_pair(&dir, "x"), Err(Error::KeyMismatch)));
    assert!(matches!(save_certificate(dir.path().join("x"), &other, Some(&secret)), Err(Error::KeyMismatch)));
    let public_only = Certificate::from(other);
    assert!(matches!(public_only.save_pair(&dir, "x"), Err(Error::Certificate { line: None, .. })));
    assert!(names(dir.path()).is_empty());
    public_only.save_public(dir.path().join("x.key")).unwrap();
}

#[test]
fn a_file_in_the_working_directory_needs_no_directory_in_its_path() {
    if let Some(dir) = shell::child_dir() {
        std::env::set_current_dir(&dir).unwrap();
        save_certificate("alone.key", &pair().public, None).unwrap();
        create_certificates("", "pair").unwrap();
        assert_eq!(names(&dir), ["alone.key", "pair.key", "pair.key_secret"]);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    shell::run("writing::a_file_in_the_working_directory_needs_no_directory_in_its_path", "", dir.path());
}

#[test]
fn a_full_pair_has_the_metadata_in_both_files() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = Certificate::from(pair()).with_metadata("name", "Alice").unwrap();
    let (public, secret) = certificate.save_full_pair(&dir, "x").unwrap();
    assert_eq!((mode(&public) & 0o133, mode(&secret)), (0, 0o600));
    assert_eq!(Certificate::load(&secret).unwrap(), certificate);
    let loaded = Certificate::load(&public).unwrap();
    assert_eq!((loaded.public_key(), loaded.metadata()), (certificate.public_key(), certificate.metadata()));
    assert!(loaded.key_pair().is_none());
    let without_time = |text: String| text.split_once('\n').unwrap().1.to_owned();
    let texts = [certificate.public_text().unwrap(), certificate.secret_text().unwrap().to_string()];
    for (file, text) in [&public, &secret].into_iter().zip(texts) {
        assert_eq!(without_time(fs::read_to_string(file).unwrap()), without_time(text));
    }

    let other = Certificate::generate().unwrap().with_metadata("name", "Bob").unwrap();
    assert!(matches!(other.save_full_pair(&dir, "x"), Err(Error::Exists { .. })));
    assert_eq!(Certificate::load(&secret).unwrap(), certificate);
    other.replace_full_pair(&dir, "x").unwrap();
    assert_eq!(Certificate::load(&secret).unwrap(), other);
    assert_eq!(Certificate::load(&public).unwrap().metadata(), other.metadata());

    // If one can't be written, neither is left.
    fs::create_dir(dir.path().join("y.key")).unwrap();
    assert!(other.save_full_pair(&dir, "y").is_err() && other.replace_full_pair(&dir, "y").is_err());
    assert_eq!(names(dir.path()), ["x.key", "x.key_secret", "y.key"]);
}
