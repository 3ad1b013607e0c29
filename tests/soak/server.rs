//! The guarded server, in the process that is measured: a socket for each kind of source, and commands from the parent.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{TryRecvError, channel};
use std::thread;

use tempfile::TempDir;
use zmq_auth::{Authenticator, KeyDirectory, KeyPair, Received, SocketExt};

use crate::harness::front_end::FrontEnd;
use crate::harness::log;
use crate::harness::sockets::socket;
use crate::harness::system::give_back_free_memory;
use crate::harness::usage::{descriptors, resident};
use crate::harness::worker::{next_command, report};

pub(crate) const DIR: &str = "ZMQ_AUTH_TEST_DIR";

/// The directories of keys, created and removed by the parent.
pub(crate) struct Directories {
    path: PathBuf,
    followed: PathBuf,
    loaded: PathBuf,
    _made: Option<TempDir>,
}

impl Directories {
    pub(crate) fn new() -> Self {
        let given = std::env::var_os(DIR).map(PathBuf::from);
        let made = given.is_none().then(|| tempfile::tempdir().unwrap());
        let path = given.unwrap_or_else(|| made.as_ref().unwrap().path().to_owned());
        let (followed, loaded) = (path.join("followed"), path.join("loaded"));
        if made.is_some() {
            std::fs::create_dir(&followed).unwrap();
            std::fs::create_dir(&loaded).unwrap();
        }
        Directories { path, followed, loaded, _made: made }
    }

    pub(crate) fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub(crate) fn followed(&self) -> &Path {
        &self.followed
    }

    pub(crate) fn loaded(&self) -> &Path {
        &self.loaded
    }
}

/// The domains, each with its own socket.
pub(crate) const DOMAINS: [&str; 5] = ["added", "followed", "loaded", "shop", "open"];

pub(crate) fn serve(front_end: FrontEnd, directories: &Directories) {
    // Kept records would look like growing memory.
    log::keep_none();
    let (context, auth, keys) = (zmq::Context::new(), Authenticator::new(), log::keys());
    auth.configure_curve_keys("added", []).unwrap();
    let followed = KeyDirectory::open(directories.followed()).unwrap();
    auth.configure_curve_store("followed", &followed).unwrap();
    let _running = front_end.start(&auth, &context);
    let sockets = DOMAINS.map(|domain| guarded_socket(&context, &keys, domain));
    let ports: Vec<_> = sockets.iter().map(port).collect();
    report(&format!("{} {}", keys.public, ports.join(" ")));

    let (sender, orders) = channel();
    thread::spawn(move || while next_command().is_some_and(|order| sender.send(order).is_ok()) {});
    let idle = descriptors(std::process::id());
    loop {
        answer_messages(&sockets);
        let order = match orders.try_recv() {
            Ok(order) => order,
            Err(TryRecvError::Empty) => continue,
            Err(TryRecvError::Disconnected) => return,
        };
        let (verb, rest) = order.split_once(' ').unwrap_or((&order, ""));
        report(&match verb {
            // Counted inside the process, this includes the directory that is being read.
            "idle?" => (idle - 1).to_string(),
            "resident?" => {
                give_back_free_memory();
                resident(std::process::id()).to_string()
            }
            "counters?" => {
                let counters = auth.counters();
                format!("{} {} {} {}", counters.allowed, counters.denied, counters.retried, counters.faults)
            }
            _ => match change(&auth, &followed, directories, verb, rest) {
                Ok(()) => "ok".to_owned(),
                Err(error) => error.to_string(),
            },
        });
    }
}

fn change(
    auth: &Authenticator,
    followed: &KeyDirectory,
    directories: &Directories,
    verb: &str,
    rest: &str,
) -> zmq_auth::Result<()> {
    let items = |text: &str, separator: char| -> Vec<String> {
        text.split(separator).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    match verb {
        "add" => auth.add_curve_key("added", rest.parse()?),
        "remove" => auth.remove_curve_key("added", &rest.parse()?).map(|was_there| assert!(was_there)),
        "reload" => followed.reload().map(drop),
        "load" => auth.configure_curve("loaded", directories.loaded()),
        "users" => {
            let users = items(rest, '|');
            auth.configure_plain("shop", users.iter().map(|line| line.split_once('=').unwrap()))
        }
        "addresses" => {
            let (allow, deny) = rest.split_once('|').unwrap();
            auth.set_addresses(items(allow, ','), items(deny, ','))
        }
        _ => panic!("{verb}?"),
    }
}

/// Not monitored: nobody reads the events.
fn guarded_socket(context: &zmq::Context, keys: &KeyPair, domain: &str) -> zmq::Socket {
    let mut socket = socket(context, zmq::REP);
    match domain {
        "shop" => socket.plain_server(domain),
        "open" => socket.null_server(domain),
        _ => socket.curve_server(keys, domain),
    }
    .unwrap();
    socket.bind("tcp://127.0.0.1:*").unwrap();
    socket
}

fn port(socket: &zmq::Socket) -> String {
    socket.endpoint().unwrap().rsplit(':').next().unwrap().to_owned()
}

/// Sends each client its user id; waits a little for the first.
fn answer_messages(sockets: &[zmq::Socket]) {
    let mut items: Vec<_> = sockets.iter().map(|socket| socket.as_poll_item(zmq::POLLIN)).collect();
    zmq::poll(&mut items, 2).unwrap();
    let ready: Vec<_> = items.iter().map(|item| item.is_readable()).collect();
    for (socket, _) in sockets.iter().zip(ready).filter(|(_, is_ready)| *is_ready) {
        let received: Received = socket.recv_with_sender(0).unwrap();
        socket.send(received.user_id().unwrap_or_default(), 0).unwrap();
    }
}
