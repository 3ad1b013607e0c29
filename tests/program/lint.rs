//! `zmq-auth lint`: all problems of all files, without their content.

mod certificates;
mod directories;
mod many;
mod password_files;
mod policies;
mod usage;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use zmq_auth::Certificate;

use crate::run::run;

/// A directory of files to check.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Files(tempfile::tempdir().unwrap());
        files.chmod(".", 0o755);
        files
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let file = self.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        self.chmod(name, mode);
        file
    }

    fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path().join(name), Permissions::from_mode(mode)).unwrap();
    }

    /// Writes only `NAME.key`, into a subdirectory.
    fn public(&self, directory: &str, name: &str, certificate: &Certificate) {
        let directory = self.directory(directory);
        certificate.save_public(directory.join(format!("{name}.key"))).unwrap();
    }

    /// Writes `NAME.key` and `NAME.key_secret`, into a subdirectory.
    fn pair(&self, directory: &str, name: &str, certificate: &Certificate) {
        certificate.save_pair(self.directory(directory), name).unwrap();
    }

    fn directory(&self, name: &str) -> PathBuf {
        let directory = self.path().join(name);
        fs::create_dir_all(&directory).unwrap();
        self.chmod(name, 0o755);
        directory
    }

    /// Checks the paths, and that text and JSON agree.
    #[track_caller]
    fn lint(&self, arguments: &[&str], exit: i32) -> Vec<Found> {
        let outcome = run(self.path(), &[&["--json", "lint"], arguments].concat());
        assert_eq!(outcome.code, exit, "{}{}", outcome.stdout, outcome.stderr);
        let report = outcome.json();
        let found: Vec<Found> = report["problems"].as_array().unwrap().iter().map(Found::of).collect();
        let count = |level: &str| found.iter().filter(|problem| problem.level == level).count();
        assert_eq!((&report["errors"], &report["warnings"]), (&count("error").into(), &count("warning").into()));
        assert_eq!(exit, i32::from(count("error") > 0), "{report}");

        let text = run(self.path(), &[&["lint"], arguments].concat());
        assert_eq!((text.code, text.stderr.as_str()), (exit, ""), "{}", text.stdout);
        let lines: Vec<&str> = text.stdout.lines().collect();
        assert_eq!(lines.len(), found.len() + 1, "{}", text.stdout);
        for (line, problem) in lines.iter().zip(&found) {
            assert!(line.contains(&format!(": {}: ", problem.level)), "{line}");
            assert!(line.ends_with(&format!(" [{}]", problem.code)), "{line}");
        }
        found
    }

    /// The problems as file, line and code; warnings end with `?`.
    #[track_caller]
    fn codes(&self, arguments: &[&str], exit: i32) -> Vec<String> {
        self.lint(arguments, exit).iter().map(Found::shown).collect()
    }
}

struct Found {
    file: String,
    line: Option<u64>,
    level: String,
    code: String,
    text: String,
}

impl Found {
    fn of(problem: &Value) -> Self {
        let text = |name: &str| problem[name].as_str().unwrap().to_owned();
        assert!(problem["line"].is_u64() || problem["line"].is_null(), "{problem}");
        Found {
            file: text("file"),
            line: problem["line"].as_u64(),
            level: text("level"),
            code: text("code"),
            text: text("text"),
        }
    }

    fn shown(&self) -> String {
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        let mark = if self.level == "warning" { "?" } else { "" };
        format!("{}{line} {}{mark}", self.file, self.code)
    }
}

fn certificate() -> Certificate {
    Certificate::generate().unwrap()
}
