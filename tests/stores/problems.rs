//! Every problem of a password file; opening reports the first.

use std::fs;

use zmq_auth::{Error, PasswordFile};

/// The lines of the problems, after comparing them with what opening reports.
#[track_caller]
fn lines(content: impl AsRef<[u8]>) -> Vec<Option<usize>> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passwords");
    fs::write(&file, content).unwrap();
    let problems = PasswordFile::problems(&file);
    let first = PasswordFile::open(&file).err().map(|error| error.to_string());
    assert_eq!(first, problems.first().map(ToString::to_string));
    let line = |problem: &Error| match problem {
        Error::PasswordFile { path, line, .. } if *path == file => *line,
        other => panic!("{other:?}"),
    };
    problems.iter().map(line).collect()
}

#[test]
fn a_file_that_opens_has_no_problems() {
    for content in ["", "\u{feff}# users\r\n\r\nalice=a=b\r\nbob= \r\n", "alice=secret"] {
        assert!(lines(content).is_empty(), "{content:?}");
    }
}

#[test]
fn each_bad_line_is_reported_and_no_good_one() {
    let long = "x".repeat(256);
    let content =
        format!("alice\nbob=secret\n=x\nbob=again\ncarol=\n# c\n{long}=x\ndora={long}\nerna=$1$a$b\nfrida=good");
    let expected = [1, 3, 4, 5, 7, 8, 9];
    assert_eq!(lines(content), expected.map(Some));
    assert_eq!(lines(b"\xff=x\nalice=y\n\0=x\n"), [1, 3].map(Some));
}

#[test]
fn a_file_that_is_bad_as_a_whole_has_one_problem() {
    assert_eq!(lines(vec![b'#'; 16 * 1024 * 1024 + 1]), [None]);
    let dir = tempfile::tempdir().unwrap();
    let problems = PasswordFile::problems(dir.path());
    assert!(matches!(&problems[..], [Error::PasswordFile { line: None, .. }]), "{problems:?}");
    let problems = PasswordFile::problems(dir.path().join("missing"));
    assert!(matches!(&problems[..], [Error::Io { action: "open", .. }]), "{problems:?}");
}
