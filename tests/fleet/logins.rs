//! Logins without a password: by nkey, and by a credentials file of a NATS server that trusts an operator.

use std::path::{Path, PathBuf};

use nkeys::KeyPair;
use serde_json::{Value, json};
use zmq_auth::{Metadata, NatsBucket};

use crate::node::{self, Node};
use crate::{BUCKET, DOMAIN, PASSWORD, Server, bucket, key, raw, wait_until};

/// Writes a login file.
fn file(directory: &Path, name: &str, content: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn login(node: &Node, file: PathBuf) -> NatsBucket {
    NatsBucket::new(&node.url(), BUCKET).unwrap().login_file(file).unwrap()
}

/// Somebody with this login file follows, and somebody with the other is refused.
fn follows(node: &Node, admin: &NatsBucket, right: PathBuf, wrong: PathBuf) {
    let (alice, writer) = (key(), admin.writer().unwrap());
    writer.add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    let server = Server::named("server-1", &login(node, right));
    server.wait_for(&alice, 200);
    writer.remove_key(DOMAIN, &alice).unwrap();
    server.wait_for(&alice, 400);
    let refused = Server::named("server-1", &login(node, wrong));
    wait_until("it says so", || refused.problem().to_lowercase().contains("authorization violation"));
    assert_eq!(refused.curve(&alice), 300);
}

#[test]
fn a_server_logs_in_with_an_nkey() {
    let (user, other) = (KeyPair::new_user(), KeyPair::new_user());
    let (publish, subscribe) = node::rights("server-1");
    let mut node = Node::new(None);
    node.authorization = Some(format!(
        r#"authorization {{ users: [
            {{ user: "admin", password: "{PASSWORD}" }}
            {{ nkey: "{}", permissions: {{
                publish: {{ allow: {publish:?} }}, subscribe: {{ allow: {subscribe:?} }} }} }}
        ] }}"#,
        user.public_key()
    ));
    node.run();
    let admin = bucket(&node.url(), "admin");
    admin.create(1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let [right, wrong] = [("right", user), ("wrong", other)]
        .map(|(name, key)| file(directory.path(), name, &format!("{}\n", key.seed().unwrap())));
    follows(&node, &admin, right, wrong);
}

/// A token (JWT) with these claims, signed as NATS does.
fn token(subject: &KeyPair, issuer: &KeyPair, name: &str, claims: Value) -> String {
    let claims = json!({
        "jti": "1", "iat": 1_700_000_000, "name": name, "sub": subject.public_key(), "iss": issuer.public_key(), "nats": claims,
    });
    let header = raw::name(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let signed = format!("{header}.{}", raw::name(claims.to_string().as_bytes()));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", raw::name(&signature))
}

fn credentials(token: &str, user: &KeyPair) -> String {
    let seed = user.seed().unwrap();
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

#[test]
fn a_server_logs_in_with_a_credentials_file() {
    let (operator, system, account) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let (administrator, server, stranger) = (KeyPair::new_user(), KeyPair::new_user(), KeyPair::new_user());
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
    });
    let mut with_storage = limits.clone();
    for (limit, value) in [("mem_storage", -1), ("disk_storage", -1), ("streams", -1), ("consumer", -1)] {
        with_storage[limit] = value.into();
    }
    let of_account = |limits: &Value| json!({ "type": "account", "version": 2, "limits": limits });
    let operators = token(&operator, &operator, "operator", json!({ "type": "operator", "version": 2 }));
    let systems = token(&system, &operator, "system", of_account(&limits));
    let accounts = token(&account, &operator, "account", of_account(&with_storage));
    let (publish, subscribe) = node::rights("server-1");
    let of_user = |publish: Value, subscribe: Value| {
        json!({
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": publish, "sub": subscribe,
        })
    };
    let limited = of_user(json!({ "allow": publish }), json!({ "allow": subscribe }));
    let mut node = Node::new(None);
    node.authorization = Some(format!(
        "operator: {operators}\nsystem_account: {system}\nresolver: MEMORY\n\
         resolver_preload: {{ {system}: {systems}, {account}: {accounts} }}",
        system = system.public_key(),
        account = account.public_key()
    ));
    node.run();
    let directory = tempfile::tempdir().unwrap();
    let creds = |name: &str, user: &KeyPair, issuer: &KeyPair, claims: Value| {
        file(directory.path(), name, &credentials(&token(user, issuer, name, claims), user))
    };
    let admin = login(&node, creds("admin.creds", &administrator, &account, of_user(json!({}), json!({}))));
    admin.create(1).unwrap();
    let right = creds("server-1.creds", &server, &account, limited.clone());
    // Signed by an account that the operator doesn't know.
    let wrong = creds("stranger.creds", &stranger, &KeyPair::new_account(), limited);
    follows(&node, &admin, right, wrong);
}
