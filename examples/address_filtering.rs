//! Address rules: addresses and subnets of IPv4 and IPv6, and users of `ipc://`. They are checked first, for every mechanism
//! and domain; here with NULL clients, which present nothing but their address.
//!
//! On Linux, the loopback interface has all of 127.0.0.0/8, so that clients can have different addresses.
//!
//! ```sh
//! cargo run --example address_filtering
//! ```

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use zmq_auth::{Authenticator, Handshake, IpcRule, MonitoredSocket, SocketExt, zmq};

/// A deadline in case something is broken; nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    let _running = auth.start(&context)?;

    // Without `null_server` (a ZAP domain, and its enforcement), libzmq doesn't ask the handler about NULL clients.
    let mut server = context.socket(zmq::PULL)?;
    server.null_server("office")?;
    server.bind("tcp://127.0.0.1:*")?;
    let endpoint = server.get_last_endpoint()?.expect("endpoints are text");
    // libzmq's notation for a source address: tcp://SOURCE:0;SERVER:PORT.
    let from = |source| endpoint.replace("tcp://", &format!("tcp://{source}:0;"));

    println!("allow 127.0.0.0/16; deny 127.0.0.66");
    auth.allow(["127.0.0.0/16"])?;
    auth.deny(["127.0.0.66"])?;
    expect(&context, &from("127.0.0.1"), "127.0.0.1", Handshake::Authenticated)?;
    expect(&context, &from("127.0.7.7"), "127.0.7.7", Handshake::Authenticated)?;
    expect(&context, &from("127.0.0.66"), "127.0.0.66, because deny wins", Handshake::Denied(400))?;
    expect(&context, &from("127.1.0.1"), "127.1.0.1, because it isn't on the allow list", Handshake::Denied(400))?;

    // A call is atomic: if one of its rules doesn't parse, none is added.
    let error = auth.deny(["127.0.7.7", "localhost"]).err().context("a host name was taken for an address")?;
    println!("deny 127.0.7.7 and localhost: {error}");
    expect(&context, &from("127.0.7.7"), "127.0.7.7, still", Handshake::Authenticated)?;

    println!("deny 127.0.0.0/24 instead of all that");
    auth.set_addresses([""; 0], ["127.0.0.0/24"])?;
    expect(&context, &from("127.0.0.1"), "127.0.0.1", Handshake::Denied(400))?;
    expect(&context, &from("127.1.0.1"), "127.1.0.1, because there is no allow list now", Handshake::Authenticated)?;

    let mut server = context.socket(zmq::PULL)?;
    server.null_server("office")?;
    server.set_ipv6(true)?;
    match server.bind("tcp://[::1]:*") {
        Ok(()) => {
            let endpoint = server.get_last_endpoint()?.expect("endpoints are text");
            println!("allow ::/64");
            auth.set_addresses(["::/64"], [""; 0])?;
            expect(&context, &endpoint, "::1", Handshake::Authenticated)?;
            println!("deny ::1 as well");
            auth.deny(["::1"])?;
            expect(&context, &endpoint, "::1", Handshake::Denied(400))?;
        }
        Err(error) => println!("No IPv6 on this machine ({error}): skipped."),
    }

    // Linux tells the server which user is at the other end of an ipc connection.
    let me = directory.path().metadata()?.uid();
    let mut server = context.socket(zmq::PULL)?;
    server.null_server("office")?;
    let endpoint = format!("ipc://{}", directory.path().join("office").display());
    server.bind(&endpoint)?;
    println!("allow user {me} by ipc");
    auth.set_addresses([""; 0], [""; 0])?;
    auth.allow_ipc([IpcRule::User(me)]);
    expect(&context, &endpoint, "an ipc client of this user", Handshake::Authenticated)?;
    println!("allow another user by ipc instead");
    auth.set_ipc([IpcRule::User(me + 1)], []);
    expect(&context, &endpoint, "an ipc client of this user", Handshake::Denied(400))?;
    Ok(())
}

/// Connects one new client to the endpoint, and checks the outcome of its handshake.
fn expect(context: &zmq::Context, endpoint: &str, who: &str, expected: Handshake) -> Result<()> {
    let client = context.socket(zmq::PUSH)?;
    client.set_ipv6(endpoint.contains('['))?;
    client.set_linger(0)?;
    let mut client = MonitoredSocket::new(context, client)?;
    client.connect(endpoint)?;
    let seen = client.wait_for_handshake(PATIENCE)?.context("the client heard nothing")?;
    println!("    {who}: {seen}");
    ensure!(seen == expected, "{who}: {expected} was expected");
    Ok(())
}
