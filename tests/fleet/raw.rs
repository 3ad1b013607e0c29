//! Access to a bucket with NATS's own client, bypassing the library.

use std::time::Duration;

use async_nats::jetstream::kv::Store;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions};
use tokio::runtime::Runtime;
use zmq_auth::PublicKey;

use crate::{BUCKET, DOMAIN, PASSWORD};

/// Base64url as in the names of entries, implemented here a second time.
pub(crate) fn name(text: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = text.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect::<Vec<u8>>();
    let number = |bits: &[u8]| (0..6).fold(0, |number, at| number << 1 | bits.get(at).copied().unwrap_or(0));
    bits.chunks(6).map(|bits| char::from(ALPHABET[usize::from(number(bits))])).collect()
}

pub(crate) fn key_name(domain: &str, key: &[u8]) -> String {
    format!("curve.{}.{}", name(domain.as_bytes()), name(key))
}

pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(work)
}

pub(crate) async fn client(urls: &str, user: &str) -> Client {
    let mut options = ConnectOptions::with_user_and_password(user.into(), PASSWORD.into());
    if user != "admin" {
        options = options.custom_inbox_prefix(format!("_INBOX_{}", name(user.as_bytes())));
    }
    let urls: Vec<async_nats::ServerAddr> = urls.split(',').map(|url| url.parse().unwrap()).collect();
    options.request_timeout(Some(Duration::from_secs(10))).connect(urls).await.unwrap()
}

pub(crate) async fn context(urls: &str, user: &str) -> Context {
    let mut context = jetstream::new(client(urls, user).await);
    context.set_timeout(Duration::from_secs(10));
    context
}

pub(crate) async fn store(urls: &str) -> Store {
    context(urls, "admin").await.get_key_value(BUCKET).await.unwrap()
}

/// Writes an entry unchecked.
pub(crate) fn put(url: &str, name: &str, value: &str) {
    run(async { store(url).await.put(name, value.to_owned().into()).await.unwrap() });
}

/// Adds keys, 500 at a time.
pub(crate) fn add_keys(urls: &str, keys: &[PublicKey]) {
    run(async {
        let context = context(urls, "admin").await;
        for part in keys.chunks(500) {
            let mut last = None;
            for key in part {
                let subject = format!("$KV.{BUCKET}.{}", key_name(DOMAIN, key.as_bytes()));
                last = Some(context.publish(subject, r#"{"format":1}"#.into()).await.unwrap());
            }
            last.unwrap().await.unwrap();
        }
    });
}

/// Writes an entry, and returns whether that was acknowledged.
pub(crate) fn try_put(urls: &str, name: &str, value: &str) -> bool {
    run(async {
        let context = context(urls, "admin").await;
        let sent = context.publish(format!("$KV.{BUCKET}.{name}"), value.to_owned().into()).await;
        let Ok(sent) = sent else { return false };
        sent.await.inspect_err(|error| println!("{name}: {error}")).is_ok()
    })
}

/// Asks the leader of the bucket's stream to hand over to the server of this name.
pub(crate) fn hand_over(urls: &str, to: &str) {
    run(async {
        let order = format!(r#"{{"placement":{{"preferred":"{to}"}}}}"#);
        let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.KV_{BUCKET}");
        let answer = client(urls, "admin").await.request(subject, order.into()).await;
        println!("{to} is to lead: {:?}", answer.map(|answer| answer.payload));
    });
}

/// The name of the server that leads the bucket's stream.
pub(crate) fn leader(urls: &str) -> Option<String> {
    run(async {
        let context = context(urls, "admin").await;
        let stream = context.get_stream(format!("KV_{BUCKET}")).await.ok()?;
        stream.cached_info().cluster.as_ref()?.leader.clone()
    })
}
