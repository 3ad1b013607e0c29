//! Every problem of a certificate file; loading reports the first.

use std::fs;

use zmq_auth::{Certificate, Error};

use crate::{OTHER, PUBLIC, SECRET};

/// The lines of the problems, after comparing them with what loading reports.
#[track_caller]
fn lines(content: impl AsRef<[u8]>) -> Vec<Option<usize>> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.key");
    fs::write(&file, content).unwrap();
    let problems = Certificate::problems(&file);
    let first = Certificate::load(&file).err().map(|error| error.to_string());
    assert_eq!(first, problems.first().map(ToString::to_string));
    let line = |problem: &Error| match problem {
        Error::Certificate { path, line, .. } if *path == file => *line,
        other => panic!("{other:?}"),
    };
    problems.iter().map(line).collect()
}

#[test]
fn a_file_that_loads_has_no_problems() {
    for content in [
        format!("curve\n    public-key = \"{PUBLIC}\"\n"),
        format!(
            "\u{feff}metadata\r\n    name = Alice\r\ncurve\r\n    public-key = '{PUBLIC}'\r\n    secret-key = {SECRET}"
        ),
    ] {
        assert!(lines(content).is_empty());
    }
}

#[test]
fn each_bad_line_is_reported_and_no_good_one() {
    let content = format!(
        "# comment\nmetadata\n    a = 1\n    a = 2\n    Not-After = 2027\n    b = \u{1}\n    public-key = short\ncurve\n    \
         secret-key {SECRET}\n    public-key = \"{PUBLIC}\"\n    public-key = \"{PUBLIC}\"\n    public-key = \"{OTHER}\"\nnot-before = 1\n"
    );
    assert_eq!(lines(content), [4, 5, 7, 9, 12, 13].map(Some));
}

#[test]
fn a_bad_public_key_line_is_not_a_missing_one() {
    assert_eq!(lines("public-key = short\n"), [Some(1)]);
    assert_eq!(lines("metadata\n"), [None]);
    assert_eq!(lines(""), [None]);
    assert_eq!(lines("secret-key = short\n"), [Some(1), None]);
}

#[test]
fn a_file_that_is_bad_as_a_whole_has_one_problem() {
    assert_eq!(lines(vec![b'#'; 64 * 1024 + 1]), [None]);
    let dir = tempfile::tempdir().unwrap();
    let problems = Certificate::problems(dir.path());
    assert!(matches!(&problems[..], [Error::Certificate { line: None, .. }]), "{problems:?}");
    let problems = Certificate::problems(dir.path().join("missing.key"));
    assert!(matches!(&problems[..], [Error::Io { action: "open", .. }]), "{problems:?}");
}

/// For any file, loading fails exactly if there is a problem, with the first.
#[test]
fn it_agrees_with_loading_whatever_the_lines() {
    let key = format!("    public-key = \"{PUBLIC}\"");
    let other = format!("    public-key = \"{OTHER}\"");
    let secret = format!("    secret-key = \"{SECRET}\"");
    let pieces = [
        "metadata",
        "curve",
        "    a = 1",
        "    a = 2",
        "    not-after = soon",
        "not-after: 2027",
        "Public_Key = x",
        "    secret-key",
        "\u{feff}",
        "# c",
        "",
        &key,
        &other,
        &secret,
    ];
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize
    };
    let (mut good, mut bad) = (0, 0);
    for _ in 0..2_000 {
        let content: String = (0..random() % 8).map(|_| pieces[random() % pieces.len()].to_owned() + "\n").collect();
        match lines(content).is_empty() {
            true => good += 1,
            false => bad += 1,
        }
    }
    assert!(good > 100 && bad > 100, "{good} good, {bad} bad");
}
