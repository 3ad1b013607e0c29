//! What libzmq does with routing ids that clients choose.

use std::os::unix::process::ExitStatusExt;

use crate::harness::DEADLINE;
use crate::harness::process;
use crate::harness::sockets::{Client, Server, Transport};

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
    unreachable!("libzmq has not aborted: it is mended, and SECURITY.md can say so");
}
