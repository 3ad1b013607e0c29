//! A network partition, in a separate network namespace.

use std::process::{Command, Stdio};
use std::time::Duration;

use zmq_auth::{Metadata, OnStale};

use crate::node::Cluster;
use crate::{DOMAIN, Server, bucket, key, wait_until};

const INSIDE: &str = "ZMQ_AUTH_TEST_NAMESPACE";

fn interface(state: &str) {
    let status = Command::new("ip").args(["link", "set", "lo", state]).status().unwrap();
    assert!(status.success(), "ip link set lo {state}: {status}");
}

/// Complete partition: the three NATS servers are cut off from each other, and the follower from all of them.
#[test]
fn a_partition_is_no_contact_and_its_end_is() {
    if std::env::var_os(INSIDE).is_none() {
        let unshare = |program: &str| {
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "--net", program]).env(INSIDE, "1").stdin(Stdio::null());
            command
        };
        if !unshare("ip").arg("link").output().is_ok_and(|output| output.status.success()) {
            println!("skipped: no network namespace can be had here (it needs unshare and ip)");
            return;
        }
        let itself = std::env::current_exe().unwrap();
        let mut again = unshare(itself.to_str().unwrap());
        again.args(["--exact", "--nocapture", "partition::a_partition_is_no_contact_and_its_end_is"]);
        let output = again.output().unwrap();
        println!("{}", String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    interface("up");
    let cluster = Cluster::start();
    let writer = bucket(&cluster.urls(), "admin").writer().unwrap();
    let (alice, bob) = (key(), key());
    for key in [&alice, &bob] {
        writer.add_key(DOMAIN, key, &Metadata::default()).unwrap();
    }
    let server = Server::start(&cluster.urls());
    server.wait_for(&bob, 200);
    server.follower.credentials().limit_age(Duration::from_secs(2), OnStale::Refuse).unwrap();
    interface("down");
    server.wait_for(&bob, 300);
    assert!(writer.add_key(DOMAIN, &key(), &Metadata::default()).is_err());
    interface("up");
    wait_until("the removal is acknowledged", || writer.remove_key(DOMAIN, &alice).is_ok());
    let removed = std::time::Instant::now();
    server.wait_for(&alice, 400);
    println!("after the partition: refused {:?} after the removal was acknowledged", removed.elapsed());
    server.wait_for(&bob, 200);
}
