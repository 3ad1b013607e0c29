//! NATS over TLS, with a certificate authority made by the test.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use zmq_auth::{Metadata, NatsBucket, Password, PolicyFile};

use crate::node::Node;
use crate::{BUCKET, DOMAIN, PASSWORD, Server, key, wait_until};

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[test]
fn with_tls_a_server_follows_whom_its_authority_has_signed_and_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let (authority, other) = (authority(), authority());
    let key_pair = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key_pair, &authority).unwrap();
    let (ca, wrong_ca) = (file("ca.pem", &authority.as_ref().pem()), file("other.pem", &other.as_ref().pem()));
    let mut node = Node::new(None);
    node.tls = Some((file("cert.pem", &certificate.pem()), file("key.pem", &key_pair.serialize_pem())));
    node.run();
    let url = node.url().replace("nats://", "tls://");
    let login = |url: &str, user: &str| NatsBucket::new(url, BUCKET).unwrap().login(user, &Password::from(PASSWORD));
    let admin = login(&url, "admin").ca_file(&ca);
    admin.create(1).unwrap();
    let (alice, writer) = (key(), admin.writer().unwrap());
    writer.add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    let server = Server::named("server-1", &login(&url, "server-1").ca_file(&ca));
    server.wait_for(&alice, 200);
    // The same in a policy file.
    file("login", &format!("server-1={PASSWORD}\n"));
    let policy = format!(
        "[nats.fleet]\nurls = \"{url}\"\nserver = \"server-1\"\nlogin = \"login\"\nca = \"ca.pem\"\n\
         [domain.{DOMAIN}]\ncurve = {{ nats = \"fleet\", bucket = \"{BUCKET}\" }}\n"
    );
    drop(server);
    let policy = PolicyFile::open(file("policy.toml", &policy)).unwrap();
    let request: [&[u8]; 7] = [b"1.0", b"1", DOMAIN.as_bytes(), b"::1", b"", b"CURVE", alice.as_bytes()];
    let decide = || policy.authenticator().handle_zap_message(&request).unwrap()[2].clone();
    wait_until("she is accepted", || decide() == b"200");
    writer.remove_key(DOMAIN, &alice).unwrap();
    wait_until("she is refused", || decide() == b"400");
    for untrusted in
        [login(&url, "server-1").ca_file(&wrong_ca), login(&url, "server-1"), login(&node.url(), "server-1")]
    {
        let server = Server::named("server-1", &untrusted);
        wait_until("it says so", || server.problem().to_lowercase().contains("certificate"));
        assert_eq!(server.curve(&alice), 300);
    }
}
