//! Public files are readable by everybody and writable by their owner only, whatever the umask.

use zmq_auth::{Certificate, create_certificates, save_certificate};

use crate::{PUBLIC, mode, shell};

#[test]
fn a_public_file_is_never_written_for_others_to_write() {
    if let Some(dir) = shell::child_dir() {
        let (created, _) = create_certificates(&dir, "created").unwrap();
        let certificate = Certificate::generate().unwrap();
        certificate.save_public(dir.join("public.key")).unwrap();
        let (replaced, _) = certificate.replace_pair(&dir, "replaced").unwrap();
        save_certificate(dir.join("saved"), &PUBLIC.parse().unwrap(), None).unwrap();
        for file in [created, replaced, dir.join("public.key"), dir.join("saved")] {
            assert_eq!(mode(&file) & 0o022, 0, "{file:?} has mode {:o}", mode(&file));
        }
        return;
    }
    let root = tempfile::tempdir().unwrap();
    for umask in ["000", "002", "007"] {
        let dir = root.path().join(umask);
        std::fs::create_dir(&dir).unwrap();
        shell::run("umask::a_public_file_is_never_written_for_others_to_write", &format!("umask {umask}"), &dir);
    }
}
