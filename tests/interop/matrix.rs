//! {Rust, pyzmq with a thread, pyzmq with asyncio} servers × {Rust, pyzmq} clients × mechanisms × {allowed, denied} × who
//! made the keys × {TCP, ipc}: one test for each cell.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::child::Child;
use crate::harness::log::password;
use crate::keys::Keys;
use crate::language::Language::{self, Pyzmq, Rust};

macro_rules! servers {
    ($($name:ident: $server:expr;)*) => { $(mod $name {
        mod rust_client { crate::matrix::mechanisms!($server, Rust); }
        mod pyzmq_client { crate::matrix::mechanisms!($server, Pyzmq); }
    })* };
}

macro_rules! mechanisms {
    ($server:expr, $client:expr) => {
        mod null {
            crate::matrix::outcomes!($server, $client, Null);
        }
        mod plain {
            crate::matrix::outcomes!($server, $client, Plain);
        }
        mod curve_with_rust_keys {
            crate::matrix::outcomes!($server, $client, Curve(Rust));
        }
        mod curve_with_pyzmq_keys {
            crate::matrix::outcomes!($server, $client, Curve(Pyzmq));
        }
    };
}

macro_rules! outcomes {
    ($server:expr, $client:expr, $mechanism:expr) => {
        #[allow(unused_imports)]
        use crate::{
            language::Language::*,
            matrix::{Cell, Mechanism::*, Server, Transport::*},
        };

        #[test]
        fn allowed_over_tcp() {
            Cell::new($server, $client, $mechanism, Tcp).allowed();
        }
        #[test]
        fn denied_over_tcp() {
            Cell::new($server, $client, $mechanism, Tcp).denied();
        }
        #[test]
        fn allowed_over_ipc() {
            Cell::new($server, $client, $mechanism, Ipc).allowed();
        }
        #[test]
        fn denied_over_ipc() {
            Cell::new($server, $client, $mechanism, Ipc).denied();
        }
    };
}

pub(crate) use {mechanisms, outcomes};

servers! {
    rust_server: Server::Rust;
    pyzmq_server: Server::Pyzmq;
    pyzmq_asyncio_server: Server::PyzmqAsyncio;
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Rust,
    Pyzmq,
    PyzmqAsyncio,
}

#[derive(Clone, Copy)]
pub(crate) enum Mechanism {
    Null,
    Plain,
    /// With certificates that this language's peer made.
    Curve(Language),
}

#[derive(Clone, Copy)]
pub(crate) enum Transport {
    Tcp,
    Ipc,
}

pub(crate) struct Cell {
    server: Server,
    client: Language,
    mechanism: Mechanism,
    transport: Transport,
}

/// A client that every server accepts, and one that none does: by its address, its password or its key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientKind {
    Expected,
    Stranger,
}

impl Cell {
    pub(crate) fn new(server: Server, client: Language, mechanism: Mechanism, transport: Transport) -> Self {
        Cell { server, client, mechanism, transport }
    }

    pub(crate) fn allowed(self) {
        let Story { server, client, client_address } = self.run(ClientKind::Expected);
        let user_id = match self.mechanism {
            // RFC 27 knows no user of a NULL client; pyzmq makes one up (`differences.toml`, null).
            Mechanism::Null if self.server == Server::Rust => String::new(),
            Mechanism::Null => "anonymous".into(),
            Mechanism::Plain => "alice".into(),
            Mechanism::Curve(maker) => Keys::made_by(maker).user_id("client"),
        };
        let welcome = if user_id.is_empty() { "-" } else { &user_id };
        let seen = [
            "HANDSHAKE succeeded",
            "REQUEST hello",
            &format!("PROPERTY User-Id={user_id}"),
            &format!("PROPERTY Peer-Address={client_address}"),
            "PROPERTY Socket-Type=REQ",
            "PROPERTY Identity=client-7",
            "DONE",
        ];
        assert_eq!(server, seen, "the server's end");
        assert_eq!(client, ["HANDSHAKE succeeded", &format!("REPLY welcome {welcome}"), "DONE"], "the client's end");
    }

    pub(crate) fn denied(self) {
        let Story { server, client, .. } = self.run(ClientKind::Stranger);
        assert_eq!(server, ["HANDSHAKE denied 400", "DONE"], "the server's end");
        assert_eq!(client, ["HANDSHAKE denied 400", "NO-REPLY", "DONE"], "the client's end");
    }

    fn run(&self, kind: ClientKind) -> Story {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let endpoint = match self.transport {
            Transport::Tcp => "tcp://127.0.0.1:*".to_owned(),
            Transport::Ipc => format!("ipc://{}/socket", directory.path().display()),
        };
        let passwords = [password("alice"), password("wrong")];
        let mut secrets = passwords.to_vec();
        if let Mechanism::Curve(maker) = self.mechanism {
            secrets.extend(Keys::made_by(maker).secrets());
        }

        let mut command = self.server.language().peer();
        command.args(["server", "--endpoint", &endpoint]);
        if self.server == Server::PyzmqAsyncio {
            command.arg("--asyncio");
        }
        self.address_rules(&mut command, kind);
        match self.mechanism {
            Mechanism::Null => command.args(["--mechanism", "null"]),
            Mechanism::Plain => {
                command.args(["--mechanism", "plain", "--user", "alice"]).env("PEER_PASSWORD", &passwords[0])
            }
            Mechanism::Curve(maker) => {
                let keys = Keys::made_by(maker);
                command.args(["--mechanism", "curve", "--own"]).arg(keys.secret("server"));
                command.arg("--clients").arg(keys.authorised())
            }
        };
        let mut server = Child::start(command);
        let endpoint = server.expect("READY");

        let mut command = self.client.peer();
        command.args(["client", "--endpoint", &endpoint]);
        let expected = kind == ClientKind::Expected;
        match self.mechanism {
            Mechanism::Null => command.args(["--mechanism", "null"]),
            Mechanism::Plain => {
                let password = if expected { &passwords[0] } else { &passwords[1] };
                command.args(["--mechanism", "plain", "--user", "alice"]).env("PEER_PASSWORD", password)
            }
            Mechanism::Curve(maker) => {
                let keys = Keys::made_by(maker);
                let own = keys.secret(if expected { "client" } else { "stranger" });
                command.args(["--mechanism", "curve", "--own"]).arg(own).arg("--server").arg(keys.public("server"))
            }
        };
        let client = Child::start(command);
        let client_address = match self.transport {
            Transport::Tcp => "127.0.0.1".into(),
            Transport::Ipc => format!("localhost:{}:{}", owner(), client.id()),
        };
        let client = self.client.finish(client, &secrets);
        let mut server = self.server.language().finish(server, &secrets);
        server.remove(0);
        Story { server, client, client_address }
    }

    /// Rules that let the client on to its mechanism; for NULL, which has nothing else, those that keep a stranger out.
    fn address_rules(&self, server: &mut Command, kind: ClientKind) {
        let refused = matches!(self.mechanism, Mechanism::Null) && kind == ClientKind::Stranger;
        let uid = owner().split(':').next().unwrap_or_default().to_owned();
        match (self.transport, self.server, refused) {
            (Transport::Tcp, _, false) => server.args(["--allow", "127.0.0.1"]),
            (Transport::Tcp, _, true) => server.args(["--deny", "127.0.0.1"]),
            (Transport::Ipc, Server::Rust, false) => server.args(["--allow-ipc", &uid]),
            (Transport::Ipc, Server::Rust, true) => server.args(["--deny-ipc", &uid]),
            // To pyzmq the address is text with the client's process id in it: no rule can name it beforehand.
            (Transport::Ipc, _, false) => server.args(["--deny", "192.0.2.1"]),
            (Transport::Ipc, _, true) => server.args(["--allow", "192.0.2.1"]),
        };
    }
}

/// What both ends told, the server behind its `READY`, and what the server's libzmq must have seen as the address.
struct Story {
    server: Vec<String>,
    client: Vec<String>,
    client_address: String,
}

/// `UID:GID` of this process, and so of all that it starts.
fn owner() -> String {
    let owner = std::fs::metadata("/proc/self").expect("Linux");
    format!("{}:{}", owner.uid(), owner.gid())
}

impl Server {
    fn language(self) -> Language {
        match self {
            Server::Rust => Rust,
            Server::Pyzmq | Server::PyzmqAsyncio => Pyzmq,
        }
    }
}
