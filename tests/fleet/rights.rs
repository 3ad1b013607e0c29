//! The rights of a server: it can follow, change only its own heartbeat, and read only the bucket.

use std::sync::mpsc::{Receiver, channel};

use async_nats::jetstream::consumer::push;
use async_nats::jetstream::{self, Context};
use async_nats::{ConnectOptions, Event, HeaderMap};
use zmq_auth::{BucketEntry, Metadata};

use crate::node::Node;
use crate::{BUCKET, DEADLINE, DOMAIN, PASSWORD, Server, bucket, key, raw, wait_until};

const SERVER: &str = "server-1";

fn stream() -> String {
    format!("KV_{BUCKET}")
}

/// A connection with a server's login, as an attacker who has taken it over has, and the errors that NATS sends.
async fn taken_over(node: &Node) -> (Context, Receiver<String>) {
    let (sender, refused) = channel();
    let options = ConnectOptions::with_user_and_password(SERVER.into(), PASSWORD.into())
        .custom_inbox_prefix(format!("_INBOX_{}", raw::name(SERVER.as_bytes())))
        .event_callback(move |event| {
            if let Event::ServerError(error) = event {
                let _ = sender.send(error.to_string().to_lowercase());
            }
            async {}
        });
    let mut context = jetstream::new(options.connect(node.url()).await.unwrap());
    context.set_timeout(std::time::Duration::from_secs(2));
    (context, refused)
}

#[test]
fn a_server_follows_with_its_rights_and_can_change_nothing_with_them() {
    let node = Node::start();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    let (alice, mallory) = (key(), key());
    writer.add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    let server = Server::start(&node.url());
    server.wait_for(&alice, 200);

    let alices = format!("$KV.{BUCKET}.{}", raw::key_name(DOMAIN, alice.as_bytes()));
    let mallorys = format!("$KV.{BUCKET}.{}", raw::key_name(DOMAIN, mallory.as_bytes()));
    let beat = |domain: &str, server: &str, slot: u8| {
        let (domain, server) = (raw::name(domain.as_bytes()), raw::name(server.as_bytes()));
        format!("$KV.{BUCKET}.server.{domain}.{server}.{slot}")
    };
    let (own, others) = (beat(DOMAIN, SERVER, 0), beat(DOMAIN, "server-2", 0));
    raw::run(async {
        let (context, refused) = taken_over(&node).await;
        // It may write two entries of a limited size, so it can't fill the bucket.
        for subject in [&alices, &mallorys, &others, &beat("elsewhere", SERVER, 0), &beat(DOMAIN, SERVER, 2)] {
            let _sent = context.publish(subject.clone(), r#"{"format":1}"#.into()).await.unwrap();
            let said = refused.recv_timeout(DEADLINE).unwrap();
            let expected = format!("permissions violation for publish to \"{}\"", subject.to_lowercase());
            assert!(said.contains(&expected), "{said}");
        }
        let sent = context.publish(own.clone(), vec![b' '; (1 << 16) + 1].into()).await.unwrap();
        let error = format!("{:?}", sent.await.unwrap_err());
        assert!(error.contains("message size exceeds maximum allowed"), "{error}");
        let stream = context.get_stream(stream()).await.unwrap();
        assert!(stream.purge().await.is_err());
        assert!(stream.delete_message(1).await.is_err());
        assert!(context.delete_stream(crate::rights::stream()).await.is_err());
        let config = stream.cached_info().config.clone();
        assert!(context.update_stream(jetstream::stream::Config { deny_purge: false, ..config }).await.is_err());
        // A consumer delivers to any subject, but not back into the bucket under another name.
        for deliver_subject in [&mallorys, &others] {
            let config = push::Config { deliver_subject: deliver_subject.clone(), ..Default::default() };
            assert!(stream.create_consumer(config).await.is_err(), "{deliver_subject}");
        }
        // Its heartbeat is allowed, but without headers that affect other entries or delete it.
        context.publish(own.clone(), "{}".into()).await.unwrap().await.unwrap();
        for (name, value) in [
            ("Nats-Rollup", "all"),
            ("Nats-Rollup", "sub"),
            ("Nats-TTL", "1s"),
            ("Nats-Schedule", "@at 2020-01-01T00:00:00Z"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value);
            headers.insert("Nats-Schedule-Target", mallorys.as_str());
            let sent = context.publish_with_headers(own.clone(), headers, r#"{"format":1}"#.into()).await.unwrap();
            assert!(sent.await.is_err(), "{name}: {value}");
        }
    });
    let entries = writer.entries(DOMAIN).unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!((server.curve(&alice), server.curve(&mallory)), (200, 400));
}

/// A consumer can push to any subject: NATS doesn't require the right to write there.
#[test]
fn what_a_server_has_delivered_elsewhere_is_no_order_and_no_entry() {
    let node = Node::start();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    let (alice, mallory) = (key(), key());
    writer.add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    let own = format!("$KV.{BUCKET}.server.{}.{}.0", raw::name(DOMAIN.as_bytes()), raw::name(SERVER.as_bytes()));
    let orders = [
        format!("$JS.API.STREAM.DELETE.KV_{BUCKET}"),
        format!("$JS.API.STREAM.PURGE.KV_{BUCKET}"),
        format!("$JS.API.STREAM.MSG.DELETE.KV_{BUCKET}"),
        format!("$JS.API.STREAM.UPDATE.KV_{BUCKET}"),
    ];
    raw::run(async {
        let (context, _) = taken_over(&node).await;
        let stream = context.get_stream(stream()).await.unwrap();
        let watched = raw::client(&node.url(), "admin").await;
        for order in &orders {
            let mut heard = watched.subscribe(order.clone()).await.unwrap();
            watched.flush().await.unwrap();
            let body = if order.contains("DELETE") && !order.contains("MSG") { "" } else { r#"{"seq":1}"# };
            let config =
                push::Config { deliver_subject: order.clone(), filter_subject: own.clone(), ..Default::default() };
            context.publish(own.clone(), body.into()).await.unwrap().await.unwrap();
            stream.create_consumer(config).await.unwrap();
            let delivered = tokio::time::timeout(DEADLINE, futures_util::StreamExt::next(&mut heard)).await;
            assert_eq!(delivered.unwrap().unwrap().payload, body, "{order}");
        }
    });
    // The bucket and its content are unchanged.
    let server = Server::start(&node.url());
    server.wait_for(&alice, 200);
    let entries = writer.entries(DOMAIN).unwrap();
    assert!(matches!(entries[..], [BucketEntry::Key { key, .. }] if key == alice), "{entries:?}");
    assert_eq!(server.curve(&mallory), 400);
}

#[test]
fn a_server_reads_no_answer_that_is_for_others() {
    let node = Node::start();
    raw::run(async {
        let (context, refused) = taken_over(&node).await;
        let client = context.client();
        let others = format!("_INBOX_{}.>", raw::name(b"server-2"));
        for subject in ["_INBOX.>", &others, ">", "$KV.>", "$JS.>"] {
            let _subscribed = client.subscribe(subject.to_owned()).await.unwrap();
            client.flush().await.unwrap();
            let said = refused.recv_timeout(DEADLINE).unwrap();
            assert!(
                said.contains("permissions violation for subscription") && said.contains(&subject.to_lowercase()),
                "{said}"
            );
        }
    });
}

#[test]
fn what_the_server_has_against_a_follower_is_told() {
    let node = Node::start();
    let named_otherwise = bucket(&node.url(), SERVER).follow(DOMAIN, "server-2").unwrap();
    wait_until("it is told", || {
        let problem = named_otherwise.status().problem.unwrap_or_default();
        problem.to_lowercase().contains("permissions violation")
    });
    assert!(named_otherwise.status().credentials.is_stale);
}
