//! Saving when the system refuses: the error says so, and the old files stay as they were.
//!
//! Full disks are simulated in three ways. A limit on the size of files accepts a part of the write, then returns EFBIG. A
//! filter of system calls refuses each step with ENOSPC (and EDQUOT, EACCES, EROFS, EIO). If the system lets users mount in a
//! namespace, there is also a file system of two pages.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use zmq_auth::{Certificate, Error, create_certificates, save_certificate};

use crate::harness::process::{Ended, completed, is_child, isolated, isolated_with};
use crate::harness::{log, system};

const DIR: &str = "ZMQ_AUTH_TEST_DIR";
/// Whose pair is there before.
const OLD: &str = "server";

/// Every file with its content and mode.
type Files = BTreeMap<PathBuf, (Vec<u8>, u32)>;

fn files(dir: &Path) -> Files {
    let file = |entry: io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let content = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().permissions().mode());
        (path, content)
    };
    fs::read_dir(dir).unwrap().map(file).collect()
}

/// Every way to save, each with the file that an error may name.
fn save_in_every_way(dir: &Path, new: &Certificate) -> Vec<(&'static str, Result<(), Error>)> {
    let secret = new.key_pair().map(|pair| &pair.secret);
    vec![
        ("create_certificates", create_certificates(dir, "new").map(drop)),
        ("save_pair", new.save_pair(dir, "new").map(drop)),
        ("replace_pair", new.replace_pair(dir, OLD).map(drop)),
        ("save_public", new.save_public(dir.join("new.key"))),
        ("save_certificate", save_certificate(dir.join("new.key_secret"), &new.public_key(), secret)),
    ]
}

#[track_caller]
fn assert_refused(dir: &Path, results: Vec<(&str, Result<(), Error>)>, errno: i32) {
    for (way, result) in results {
        match result {
            Err(Error::Io { path, source, .. }) => {
                // Some are wrapped, and have lost their number.
                assert_eq!(source.kind(), io::Error::from_raw_os_error(errno).kind(), "{way}: {source}");
                assert_eq!(path.parent(), Some(dir), "{way}");
            }
            other => panic!("{way}: {other:?}"),
        }
    }
}

/// A directory with a pair in it, and another certificate that needs two pages.
fn pair_and_another() -> (tempfile::TempDir, Certificate) {
    log::install();
    let dir = tempfile::tempdir().unwrap();
    Certificate::generate().unwrap().save_pair(&dir, OLD).unwrap();
    (dir, certificate())
}

fn certificate() -> Certificate {
    (0..6).fold(Certificate::generate().unwrap(), |all, number| {
        all.with_metadata(format!("motto-{number}"), "x".repeat(1_000)).unwrap()
    })
}

#[test]
fn a_limit_on_file_sizes_leaves_the_old_files() {
    isolated(|| {
        let (dir, new) = pair_and_another();
        let before = files(dir.path());
        // Nothing at all, and only the start.
        for bytes in [0, 100] {
            let limit = system::limit_file_size(bytes);
            let results = save_in_every_way(dir.path(), &new);
            system::limit_file_size(limit);
            assert_refused(dir.path(), results, libc::EFBIG);
            assert_eq!(files(dir.path()), before, "{bytes} bytes a file");
        }
        new.replace_pair(&dir, OLD).expect("there is room again");
        new.save_pair(&dir, "new").expect("there is room again");
    });
}

#[test]
fn a_failure_at_any_step_leaves_the_old_files() {
    const RENAMES: &[libc::c_long] = &[
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rename,
        libc::SYS_renameat,
        libc::SYS_renameat2,
    ];
    let links = [
        #[cfg(target_arch = "x86_64")]
        libc::SYS_link,
        libc::SYS_linkat,
    ];
    let all: Vec<_> = RENAMES.iter().chain(&links).copied().collect();
    // `persist_noclobber` renames if it can, otherwise links: both are one step.
    let steps: [&[libc::c_long]; 4] = [&[libc::SYS_openat], &[libc::SYS_write], &[libc::SYS_fsync], &all];
    for (number, step) in steps.into_iter().enumerate() {
        for errno in [libc::ENOSPC, libc::EDQUOT, libc::EACCES, libc::EROFS, libc::EIO] {
            let (dir, new) = pair_and_another();
            let before = files(dir.path());
            let path = dir.path();
            // The filter belongs to the thread, and ends with it.
            let results = thread::scope(|scope| {
                let refused = scope.spawn(|| {
                    system::refuse(step, errno, system::Scope::Thread);
                    save_in_every_way(path, &new)
                });
                refused.join().expect("no panic")
            });
            assert_refused(path, results, errno);
            assert_eq!(files(path), before, "step {number}, error {errno}");
            new.replace_pair(path, OLD).expect("it works again");
        }
        // The second name for the old file is removed in any case.
        let (dir, new) = pair_and_another();
        let before = files(dir.path());
        let result = thread::scope(|scope| {
            let refused = scope.spawn(|| {
                system::refuse(RENAMES, libc::ENOSPC, system::Scope::Thread);
                new.replace_pair(&dir, OLD)
            });
            refused.join().expect("no panic")
        });
        assert!(matches!(result, Err(Error::Io { .. })), "{result:?}");
        assert_eq!(files(dir.path()), before);
    }
}

#[test]
#[ignore = "needs namespaces of one's own (unshare -rm), which not every machine gives; .ci/run runs it where they are"]
fn a_full_file_system_leaves_the_old_files() {
    const NAME: &str = "saving::a_full_file_system_leaves_the_old_files";
    if is_child() {
        log::install();
        let dir = PathBuf::from(std::env::var_os(DIR).unwrap());
        // One page each; there are two.
        Certificate::generate().unwrap().save_pair(&dir, OLD).unwrap();
        let (before, new) = (files(&dir), certificate());
        assert_refused(&dir, save_in_every_way(&dir, &new), libc::ENOSPC);
        assert_eq!(files(&dir), before);
        fs::remove_file(dir.join(format!("{OLD}.key"))).unwrap();
        assert!(matches!(new.replace_pair(&dir, OLD), Err(Error::Io { .. })), "7 kB in one page");
        Certificate::generate().unwrap().save_public(dir.join("small.key")).expect("there is room again");
        completed();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script =
        format!(r#"mount -t tmpfs -o size=8k zmq-auth-test "${DIR}" && exec "$0" "$1" --exact --ignored --nocapture"#);
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .arg(NAME)
        .env(DIR, dir.path())
        .env("ZMQ_AUTH_TEST_CHILD", "1")
        .output()
        .expect("unshare (of util-linux) is there");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ended { status: Some(output.status), stderr }.assert_completed(NAME);
}

#[test]
fn a_directory_without_write_permission_stays_as_it_was() {
    let child = || {
        let dir = PathBuf::from(std::env::var_os(DIR).unwrap());
        log::install();
        // Root can write everywhere.
        if system::is_root() {
            system::become_nobody();
        }
        assert_refused(&dir, save_in_every_way(&dir, &certificate()), libc::EACCES);
    };
    if is_child() {
        return isolated(child);
    }
    let (dir, new) = pair_and_another();
    let mode = |mode| fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
    let before = files(dir.path());
    mode(0o555);
    isolated_with(&[(DIR, dir.path().to_str().unwrap())], child);
    mode(0o755);
    assert_eq!(files(dir.path()), before);
    new.replace_pair(&dir, OLD).expect("it may be written again");
}
