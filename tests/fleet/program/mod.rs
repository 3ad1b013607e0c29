//! The program `zmq-auth` on a bucket, as its users run it.

mod admins;
mod failures;
mod files;
mod page;
mod relay;
mod servers;
mod verbs;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::node::Node;
use crate::run::{Outcome, program, run};
use crate::{BUCKET, DEADLINE, DOMAIN, PASSWORD};

/// An administrator's directory, and a NATS server with a bucket.
struct Place {
    node: Node,
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Place { node: Node::start(), directory: tempfile::tempdir().unwrap() };
        for user in ["admin", "server-1"] {
            place.secret_file(&format!("{user}.login"), &format!("{user}={PASSWORD}\n"));
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn secret_file(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Makes a pair, and returns its public key.
    fn keygen(&self, arguments: &[&str]) -> String {
        run(self.directory.path(), &[&["keygen"], arguments].concat()).ok().trim_end().to_owned()
    }

    /// Runs a verb on the bucket.
    fn run(&self, verb: &str, arguments: &[&str]) -> Outcome {
        self.admin().run(verb, arguments)
    }

    fn admin(&self) -> Admin<'_> {
        self.admin_by(&self.node.url())
    }

    /// An administrator who reaches NATS at another address.
    fn admin_by(&self, url: &str) -> Admin<'_> {
        Admin { directory: self.directory.path(), url: url.to_owned() }
    }

    /// Runs a verb on the bucket, which must end with this exit code, and returns its JSON.
    #[track_caller]
    fn json(&self, verb: &str, arguments: &[&str], exit: i32) -> Value {
        let outcome = self.run(verb, &[arguments, &["--json"]].concat());
        assert_eq!(outcome.code, exit, "{}{}", outcome.stdout, outcome.stderr);
        outcome.json()
    }

    /// Runs a verb on the bucket, which must fail, and returns its error.
    #[track_caller]
    fn refused(&self, verb: &str, arguments: &[&str]) -> String {
        let outcome = self.run(verb, arguments);
        assert_eq!(outcome.code, 1, "{}{}", outcome.stdout, outcome.stderr);
        assert_eq!(outcome.stdout, "");
        outcome.stderr
    }

    /// Writes a policy file for `server-1`, whose keys and users are in the bucket.
    fn policy(&self) {
        let text = format!(
            "[nats.fleet]\nurls = \"{}\"\nserver = \"server-1\"\nlogin = \"server-1.login\"\n\n[domain.{DOMAIN}]\n\
             curve = {{ nats = \"fleet\", bucket = \"{BUCKET}\" }}\nplain = {{ nats = \"fleet\", bucket = \"{BUCKET}\" }}\n\n\
             [domain.\"*\"]\nnull = \"deny\"\n",
            self.node.url()
        );
        fs::write(self.path("policy.toml"), text).unwrap();
    }

    /// Starts `listen` with the policy and the certificate `server`.
    fn listen(&self) -> Listening {
        self.policy();
        self.keygen(&["server"]);
        let arguments =
            ["listen", "policy.toml", "tcp://127.0.0.1:*", "--domain", DOMAIN, "--curve", "server.key_secret"];
        let server = Listening::start(self.directory.path(), &arguments);
        self.wait_for_server();
        server
    }

    /// Waits until a server has written a heartbeat.
    fn wait_for_server(&self) {
        crate::wait_until("the server follows", || self.run("status", &["--expect", "server-1"]).code == 0);
    }

    /// The exit code of a handshake with this certificate.
    fn ping(&self, server: &Listening, name: &str) -> i32 {
        let key = format!("{name}.key_secret");
        let arguments = ["ping", &server.endpoint, "--server", "server.key", "--key", &key, "--timeout", "40s"];
        run(self.directory.path(), &arguments).code
    }
}

/// Somebody who runs verbs on the bucket, perhaps concurrently with others.
struct Admin<'p> {
    directory: &'p Path,
    url: String,
}

impl Admin<'_> {
    fn run(&self, verb: &str, arguments: &[&str]) -> Outcome {
        let options = ["--nats", &self.url, "--bucket", BUCKET, "--domain", DOMAIN, "--login", "admin.login"];
        let outcome = run(self.directory, &[&[verb], &options[..], arguments].concat());
        assert!(!outcome.stdout.contains(PASSWORD) && !outcome.stderr.contains(PASSWORD));
        outcome
    }
}

/// `zmq-auth listen` as a process. It is killed when dropped.
struct Listening {
    child: Child,
    endpoint: String,
    _lines: Receiver<String>,
}

impl Listening {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(directory).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        thread::spawn(move || printed.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let first: String = lines.recv_timeout(DEADLINE).unwrap();
        let endpoint = first.strip_prefix("listening on ").unwrap().to_owned();
        Listening { child, endpoint, _lines: lines }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
}
