//! The rights of a server: it follows, and can change nothing but its own heartbeat.

use async_nats::jetstream::consumer::push;
use zmq_auth::Metadata;

use crate::node::Node;
use crate::{BUCKET, DOMAIN, Server, bucket, key, raw};

#[test]
fn a_server_follows_with_its_rights_and_can_change_nothing_with_them() {
    let node = Node::start();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    let (alice, mallory) = (key(), key());
    writer.add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    let server = Server::start(&node.url());
    server.wait_for(&alice, 200);

    // With the server's own login, whatever somebody would try who has taken it over.
    let alices = format!("$KV.{BUCKET}.{}", raw::key_name(DOMAIN, alice.as_bytes()));
    let mallorys = format!("$KV.{BUCKET}.{}", raw::key_name(DOMAIN, mallory.as_bytes()));
    let others = format!("$KV.{BUCKET}.server.{}.{}", raw::name(DOMAIN.as_bytes()), raw::name(b"server-2"));
    raw::run(async {
        let context = raw::context(&node.url(), "server-1").await;
        for subject in [&alices, &mallorys, &others] {
            let sent = context.publish(subject.clone(), r#"{"format":1}"#.into()).await.unwrap();
            assert!(sent.await.is_err(), "{subject}");
        }
        let stream = context.get_stream(format!("KV_{BUCKET}")).await.unwrap();
        assert!(stream.purge().await.is_err());
        assert!(stream.delete_message(1).await.is_err());
        assert!(context.delete_stream(format!("KV_{BUCKET}")).await.is_err());
        // A consumer delivers wherever its maker says: not back into the bucket, under another name.
        for deliver_subject in [&mallorys, &others] {
            let config = push::Config { deliver_subject: deliver_subject.clone(), ..Default::default() };
            assert!(stream.create_consumer(config).await.is_err(), "{deliver_subject}");
        }
        // What it may.
        let own = format!("$KV.{BUCKET}.server.{}.{}", raw::name(b"elsewhere"), raw::name(b"server-1"));
        context.publish(own, "{}".into()).await.unwrap().await.unwrap();
    });
    let entries = writer.entries(DOMAIN).unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!((server.curve(&alice), server.curve(&mallory)), (200, 400));
}

#[test]
fn what_the_server_has_against_a_follower_is_told() {
    let node = Node::start();
    let named_otherwise = bucket(&node.url(), "server-1").follow(DOMAIN, "server-2").unwrap();
    crate::wait_until("it is told", || {
        let problem = named_otherwise.status().problem.unwrap_or_default();
        problem.to_lowercase().contains("permissions violation") && problem.contains("prove contact")
    });
    assert!(named_otherwise.status().credentials.is_stale);
}
