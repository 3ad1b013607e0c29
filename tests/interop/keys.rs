//! Certificates that one language's peer made: `server`, `client`, which is accepted, and `stranger`, which isn't.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use zmq_auth::load_certificate;

use crate::child::Child;
use crate::harness::log::secret_key;
use crate::language::Language;

pub(crate) struct Keys {
    directory: PathBuf,
}

impl Keys {
    /// Made once by each language's peer, in a process of its own.
    pub(crate) fn made_by(language: Language) -> &'static Keys {
        static RUST: OnceLock<Keys> = OnceLock::new();
        static PYZMQ: OnceLock<Keys> = OnceLock::new();
        match language {
            Language::Rust => RUST.get_or_init(|| Keys::make(language, "rust")),
            Language::Pyzmq => PYZMQ.get_or_init(|| Keys::make(language, "pyzmq")),
        }
    }

    fn make(language: Language, name: &str) -> Keys {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop-keys").join(name);
        if directory.exists() {
            fs::remove_dir_all(&directory).expect("the last run's keys go");
        }
        let keys = Keys { directory };
        fs::create_dir_all(keys.authorised()).expect("a directory for keys");
        let mut peer = language.peer();
        peer.arg("certificates").arg(&keys.directory).args(["server", "client", "stranger"]);
        assert_eq!(Child::start(peer).finish().lines, ["DONE"]);
        fs::copy(keys.public("client"), keys.authorised().join("client.key")).expect("the client is authorised");
        keys
    }

    pub(crate) fn public(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.key"))
    }

    pub(crate) fn secret(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.key_secret"))
    }

    /// The directory with the client's public certificate alone.
    pub(crate) fn authorised(&self) -> PathBuf {
        self.directory.join("authorised")
    }

    /// The user id of a client with these keys.
    pub(crate) fn user_id(&self, name: &str) -> String {
        load_certificate(self.public(name)).expect("the peer wrote it").0.to_string()
    }

    /// What may not be told, here or by a peer.
    pub(crate) fn secrets(&self) -> Vec<String> {
        ["server", "client", "stranger"]
            .iter()
            .map(|name| {
                let (_, secret) = load_certificate(self.secret(name)).expect("the peer wrote it");
                let secret = secret.expect("the secret file has it");
                secret_key(&secret);
                secret.to_z85().to_string()
            })
            .collect()
    }
}
