//! pyzmq clients of Rust servers, and the reverse, beyond the matrix.

use std::fs;
use std::path::Path;

use zmq_auth::Certificate;

use crate::child::Child;
use crate::harness::log::{password, secret_key};
use crate::keys::Keys;
use crate::language::Language::{self, Pyzmq, Rust};

/// A CURVE server with these clients, its first line read.
fn server(language: Language, keys: &Keys, clients: &Path, options: &[&str]) -> (Child, String) {
    let mut command = language.peer();
    command.args(["server", "--endpoint", "tcp://127.0.0.1:*", "--mechanism", "curve", "--own"]);
    command.arg(keys.secret("server")).arg("--clients").arg(clients).args(options);
    let mut server = Child::start(command);
    let endpoint = server.expect("READY");
    (server, endpoint)
}

/// What a CURVE client told.
fn client(language: Language, keys: &Keys, own: &Path, endpoint: &str) -> Vec<String> {
    let mut command = language.peer();
    command.args(["client", "--endpoint", endpoint, "--mechanism", "curve", "--own"]).arg(own);
    command.arg("--server").arg(keys.public("server"));
    language.finish(Child::start(command), &keys.secrets())
}

#[test]
fn a_refused_pyzmq_client_is_told_and_the_next_one_is_served() {
    let keys = Keys::made_by(Pyzmq);
    let (server, endpoint) = server(Rust, keys, &keys.authorised(), &["--handshakes", "3"]);
    for _ in 0..2 {
        let told = client(Pyzmq, keys, &keys.secret("stranger"), &endpoint);
        assert_eq!(told, ["HANDSHAKE denied 400", "NO-REPLY", "DONE"]);
    }
    let told = client(Pyzmq, keys, &keys.secret("client"), &endpoint);
    assert_eq!(told, ["HANDSHAKE succeeded", &format!("REPLY welcome {}", keys.user_id("client")), "DONE"]);
    let told = Rust.finish(server, &keys.secrets());
    assert_eq!(&told[1..5], ["HANDSHAKE denied 400", "HANDSHAKE denied 400", "HANDSHAKE succeeded", "REQUEST hello"]);
}

#[test]
fn a_pyzmq_client_by_the_name_that_the_server_gives_it() {
    let keys = Keys::made_by(Pyzmq);
    let (server, endpoint) = server(Rust, keys, &keys.authorised(), &["--user-id", "Alice Liddell"]);
    let told = client(Pyzmq, keys, &keys.secret("client"), &endpoint);
    assert_eq!(told, ["HANDSHAKE succeeded", "REPLY welcome Alice Liddell", "DONE"]);
    let told = Rust.finish(server, &keys.secrets());
    assert!(told.contains(&"PROPERTY User-Id=Alice Liddell".into()), "{told:?}");
}

#[test]
fn a_pyzmq_client_with_metadata_in_its_certificate() {
    let keys = Keys::made_by(Rust);
    let directory = tempfile::tempdir().unwrap();
    let authorised = directory.path().join("authorised");
    fs::create_dir(&authorised).unwrap();
    let certificate = Certificate::generate().unwrap().with_metadata("role", "say \"friend\" # and enter").unwrap();
    secret_key(&certificate.key_pair().unwrap().secret);
    let (_, own) = certificate.save_pair(directory.path(), "reader").unwrap();
    certificate.save_public(authorised.join("reader.key")).unwrap();

    let (server, endpoint) = server(Rust, keys, &authorised, &["--property", "role", "--property", "rôle"]);
    let user_id = certificate.public_key().to_string();
    let told = client(Pyzmq, keys, &own, &endpoint);
    assert_eq!(told, ["HANDSHAKE succeeded", &format!("REPLY welcome {user_id}"), "DONE"]);
    let told = Rust.finish(server, &keys.secrets());
    assert!(told.contains(&"PROPERTY role=say \"friend\" # and enter".into()), "{told:?}");
    assert!(told.contains(&"PROPERTY rôle".into()), "{told:?}");
}

#[test]
fn any_client_of_a_server_that_allows_any() {
    let keys = Keys::made_by(Rust);
    for server_language in [Rust, Pyzmq] {
        let (server, endpoint) = server(server_language, keys, Path::new("*"), &[]);
        let told = client(Pyzmq, keys, &keys.secret("stranger"), &endpoint);
        assert_eq!(told, ["HANDSHAKE succeeded", &format!("REPLY welcome {}", keys.user_id("stranger")), "DONE"]);
        server_language.finish(server, &keys.secrets());
    }
}

/// One client, asked of both servers: what they know of it.
fn properties(server_language: Language, client_language: Language) -> Vec<String> {
    let keys = Keys::made_by(Rust);
    let (server, endpoint) = server(server_language, keys, &keys.authorised(), &["--property", "no-such-name"]);
    client(client_language, keys, &keys.secret("client"), &endpoint);
    let mut told = server_language.finish(server, &keys.secrets());
    told.retain(|line| line.starts_with("PROPERTY "));
    told
}

#[test]
fn both_servers_know_the_same_of_a_client() {
    for client in [Rust, Pyzmq] {
        let ours = properties(Rust, client);
        assert_eq!(ours.len(), 5, "{ours:?}");
        assert_eq!(ours, properties(Pyzmq, client), "{client:?} client");
    }
}

#[test]
fn the_password_of_another_user_is_refused() {
    // The right password, of somebody else.
    let password = password("alice");
    for (server_language, client_language) in [(Rust, Pyzmq), (Pyzmq, Rust)] {
        let mut command = server_language.peer();
        command.args(["server", "--endpoint", "tcp://127.0.0.1:*", "--mechanism", "plain", "--user", "alice"]);
        command.env("PEER_PASSWORD", &password);
        let mut server = Child::start(command);
        let endpoint = server.expect("READY");
        let mut command = client_language.peer();
        command.args(["client", "--endpoint", &endpoint, "--mechanism", "plain", "--user", "mallory"]);
        command.env("PEER_PASSWORD", &password);
        let secrets = [password.clone()];
        let told = client_language.finish(Child::start(command), &secrets);
        assert_eq!(told, ["HANDSHAKE denied 400", "NO-REPLY", "DONE"]);
        assert_eq!(server_language.finish(server, &secrets)[1..], ["HANDSHAKE denied 400", "DONE"]);
    }
}
