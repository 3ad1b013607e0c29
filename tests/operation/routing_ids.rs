//! Routing ids: what libzmq does with those that clients choose, and those that the policy assigns.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt;

use zmq_auth::{Authenticator, SocketExt};

use crate::harness::log::keys;
use crate::harness::process;
use crate::harness::sockets::{Client, Server, Transport};
use crate::harness::{DEADLINE, domain};

/// libzmq numbers the clients that choose no routing id: a zero byte and four bytes. It accepts such an id from a client,
/// too, and aborts when it comes to that number.
#[test]
fn libzmq_aborts_when_a_client_has_chosen_the_next_clients_routing_id() {
    let name = "routing_ids::libzmq_aborts_when_a_client_has_chosen_the_next_clients_routing_id";
    if !process::is_child() {
        let ended = process::run_again(name, &[], DEADLINE);
        assert_eq!(ended.status.and_then(|status| status.signal()), Some(6), "{ended:?}");
        return;
    }
    let context = zmq::Context::new();
    let server = Server::bind(&context, zmq::ROUTER, Transport::Tcp, |_| Ok::<_, zmq::Error>(()));
    let connect = |routing_id: &[u8]| {
        let client = Client::connect(&context, zmq::DEALER, server.endpoint(), |socket| match routing_id {
            [] => Ok(()),
            _ => socket.set_identity(routing_id),
        });
        client.send("hello", 0).unwrap();
        (server.receive().frames()[0].to_vec(), client)
    };
    let (first, _first) = connect(b"");
    let number = u32::from_be_bytes(first[1..].try_into().unwrap());
    let next = [&[0], &number.wrapping_add(1).to_be_bytes()[..]].concat();
    let (chosen, _second) = connect(&next);
    assert_eq!(chosen, next);
    connect(b"");
}

#[test]
fn curve_clients_get_a_routing_id_that_they_have_not_chosen() {
    let (context, auth, domain) = (zmq::Context::new(), Authenticator::new(), domain("routing"));
    let (server_keys, alice) = (keys(), keys());
    auth.assign_routing_ids().unwrap();
    auth.configure_curve_keys(&domain, [alice.public]).unwrap();
    let _running = auth.start(&context).unwrap();
    let server =
        Server::bind(&context, zmq::ROUTER, Transport::Tcp, |socket| socket.curve_server(&server_keys, &domain));
    let (mut assigned, mut used, mut clients) = (HashSet::new(), 0, Vec::new());
    for number in 0..30 {
        let chosen = format!("chosen {number}");
        let client = Client::connect(&context, zmq::DEALER, server.endpoint(), |socket| {
            socket.set_identity(chosen.as_bytes())?;
            socket.curve_client(&alice, &server_keys.public)
        });
        client.send("hello", 0).unwrap();
        let message = server.receive();
        let (routing_id, own) = (&*message.frames()[0], message.sender().property("Identity").unwrap());
        assert!(own != chosen && !own.starts_with('\0'), "{own:?}");
        assert!(assigned.insert(own.to_owned()), "two connections have {own:?}");
        // The client's own, if the handler's answer came too early for libzmq.
        assert!(routing_id == own.as_bytes() || routing_id == chosen.as_bytes(), "{routing_id:?}");
        used += usize::from(routing_id == own.as_bytes());
        // It is marked, too.
        assert!(auth.accepted_client(&message.frames()[1]).is_some());
        server.send_multipart([routing_id, b"hello to you"], 0).unwrap();
        assert_eq!(client.recv_bytes(0).unwrap(), b"hello to you");
        clients.push(client);
    }
    println!("{used} of 30 assigned routing ids were used");
    assert!(used > 0);
}
