//! The calls of `ffi`, each at its edges. `.ci/memcheck` runs them under valgrind.

use std::ffi::{CStr, CString};
use std::io::{Write, pipe};
use std::os::fd::AsRawFd;

use super::{Errno, Frame, HandlerSocket};

const NAME: &CStr = c"inproc://ffi";
/// How long a message may take that is sure to come.
const DEADLINE_MS: i32 = 30_000;

fn asker(context: &zmq::Context) -> zmq::Socket {
    let socket = context.socket(zmq::DEALER).unwrap();
    socket.set_linger(0).unwrap();
    socket.set_rcvtimeo(DEADLINE_MS).unwrap();
    socket.connect(NAME.to_str().unwrap()).unwrap();
    socket
}

/// Waits for a message and reads its first frame; returns whether more follow.
fn next(socket: &mut HandlerSocket, frame: &mut Frame) -> bool {
    let (reader, _writer) = pipe().unwrap();
    loop {
        match socket.receive(frame) {
            Err(Errno::AGAIN) => assert!(!socket.wait(reader.as_raw_fd(), DEADLINE_MS).unwrap()),
            received => return received.unwrap(),
        }
    }
}

#[test]
fn a_frame_that_holds_nothing() {
    let mut frame = Frame::new();
    assert_eq!((&frame[..], frame.as_ref()), (&b""[..], &b""[..]));
    frame.wipe();
    assert!(frame.is_empty());
}

#[test]
fn a_frame_is_received_into_again_and_again_and_wiped() {
    let context = zmq::Context::new();
    let mut socket = HandlerSocket::bind(&context, NAME).unwrap();
    let (asker, mut identity, mut frame) = (asker(&context), Frame::new(), Frame::new());
    // Both sides of the size that libzmq keeps within the message, up and down.
    for size in [0, 1, 33, 34, 255, 100_000, 34, 33, 0] {
        let sent = vec![0xA5; size];
        asker.send(&sent, 0).unwrap();
        assert!(next(&mut socket, &mut identity), "the content follows");
        assert!(!socket.receive(&mut frame).unwrap(), "and nothing else");
        assert!(frame[..] == sent[..], "{size}");
        frame.wipe();
        assert!(frame[..] == vec![0; size][..], "{size}");
    }
}

#[test]
fn frames_go_back_with_and_without_a_copy() {
    let context = zmq::Context::new();
    let mut socket = HandlerSocket::bind(&context, NAME).unwrap();
    let (asker, mut identity, mut frame) = (asker(&context), Frame::new(), Frame::new());
    for size in [0, 1, 33, 34, 100_000] {
        asker.send(vec![7; size], 0).unwrap();
        next(&mut socket, &mut identity);
        socket.receive(&mut frame).unwrap();
        socket.send(&mut identity, true).unwrap();
        assert!(identity.is_empty(), "it was handed over");
        socket.send_copy(&frame, true).unwrap();
        socket.send_copy(&[], true).unwrap();
        socket.send(&mut frame, false).unwrap();
        assert!(frame.is_empty());
        assert_eq!(asker.recv_multipart(0).unwrap(), [vec![7; size], vec![], vec![7; size]]);
    }
}

/// What several hold is left as it is: the others still read it.
#[test]
fn a_frame_that_is_shared_is_not_wiped() {
    let context = zmq::Context::new();
    let publisher = context.socket(zmq::XPUB).unwrap();
    publisher.set_linger(0).unwrap();
    publisher.set_rcvtimeo(DEADLINE_MS).unwrap();
    publisher.set_xpub_verbose(true).unwrap();
    publisher.bind("inproc://shared").unwrap();
    let mut subscribers = [(); 2].map(|()| {
        let socket = context.socket(zmq::SUB).unwrap();
        socket.set_rcvtimeo(DEADLINE_MS).unwrap();
        socket.connect("inproc://shared").unwrap();
        socket.set_subscribe(b"").unwrap();
        publisher.recv_bytes(0).unwrap();
        socket
    });
    publisher.send(vec![7; 1_000], 0).unwrap();
    let mut frames = subscribers.each_mut().map(|socket| {
        let mut frame = Frame::new();
        // SAFETY: a live socket and an initialised message.
        assert_eq!(unsafe { zmq_sys::zmq_msg_recv(&mut frame.message, socket.as_mut_ptr(), 0) }, 1_000);
        frame.length = 1_000;
        frame
    });
    frames[0].wipe();
    assert!(frames.iter().all(|frame| frame[..] == [7; 1_000][..]));
}

#[test]
fn an_empty_socket_says_so_and_a_wake_up_is_told_from_a_message() {
    let context = zmq::Context::new();
    let mut socket = HandlerSocket::bind(&context, NAME).unwrap();
    assert_eq!(socket.receive(&mut Frame::new()), Err(Errno::AGAIN));
    let (reader, mut writer) = pipe().unwrap();
    assert!(!socket.wait(reader.as_raw_fd(), 0).unwrap(), "nothing came");
    let asker = asker(&context);
    asker.send("x", 0).unwrap();
    let mut frame = Frame::new();
    assert!(next(&mut socket, &mut Frame::new()));
    assert!(!socket.receive(&mut frame).unwrap());
    assert_eq!(&frame[..], b"x");
    assert_eq!(socket.receive(&mut frame), Err(Errno::AGAIN));
    assert!(frame.is_empty(), "what it held is gone, whatever came of the call");
    writer.write_all(&[1]).unwrap();
    assert!(socket.wait(reader.as_raw_fd(), -1).unwrap());
}

#[test]
fn the_name_is_taken_once_and_free_after_the_drop() {
    let context = zmq::Context::new();
    for _ in 0..20 {
        let socket = HandlerSocket::bind(&context, NAME).unwrap();
        assert_eq!(HandlerSocket::bind(&context, NAME).err(), Some(Errno::ADDRESS_IN_USE));
        drop(socket);
    }
}

#[test]
fn a_context_that_ends_is_told_and_does_not_wait_for_the_name() {
    let context = zmq::Context::new();
    let mut socket = HandlerSocket::bind(&context, NAME).unwrap();
    let (reader, _writer) = pipe().unwrap();
    let ending = std::thread::spawn(move || drop(context));
    let received = loop {
        match socket.receive(&mut Frame::new()) {
            Err(Errno::AGAIN) => assert!(!socket.wait(reader.as_raw_fd(), DEADLINE_MS).unwrap()),
            received => break received,
        }
    };
    assert_eq!(received, Err(Errno::TERMINATED));
    assert_eq!(socket.send_copy(b"x", false), Err(Errno::TERMINATED));
    drop(socket);
    ending.join().unwrap();
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn readiness_is_a_descriptor_of_its_own() {
    let context = zmq::Context::new();
    let mut socket = HandlerSocket::bind(&context, NAME).unwrap();
    let readiness = socket.readiness().unwrap();
    // The connection itself makes it readable, too.
    let asker = asker(&context);
    asker.send("x", 0).unwrap();
    let mut frame = Frame::new();
    while socket.receive(&mut frame) == Err(Errno::AGAIN) {
        readiness.readable().await.unwrap().clear_ready();
    }
    drop(socket);
    // libzmq has closed its descriptor; this one is still open, and is closed once.
    let error = readiness.get_ref().try_clone().err();
    assert!(error.is_none(), "{error:?}");
    drop(readiness);
}

#[test]
fn key_pairs() {
    let (public, secret) = super::curve_keypair().unwrap();
    let secret = CStr::from_bytes_with_nul(&secret[..]).unwrap();
    assert_eq!(super::curve_public(secret).unwrap(), public);
    for length in [0, 1, 39, 41, 80] {
        let text = CString::new(vec![b'a'; length]).unwrap();
        assert_eq!(super::curve_public(&text), Err(Errno::INVALID), "{length}");
    }
}

#[test]
fn options_and_monitors() {
    let context = zmq::Context::new();
    let mut socket = context.socket(zmq::REP).unwrap();
    for enforce in [true, false] {
        super::set_zap_enforce_domain(&mut socket, enforce).unwrap();
        assert_eq!(super::zap_enforce_domain(&mut socket), Ok(enforce));
    }
    // Without a monitor, too.
    super::stop_monitor(&mut socket).unwrap();
    socket.monitor("inproc://monitor", zmq::SocketEvent::ALL as i32).unwrap();
    let monitor = context.socket(zmq::PAIR).unwrap();
    monitor.set_rcvtimeo(DEADLINE_MS).unwrap();
    monitor.connect("inproc://monitor").unwrap();
    super::stop_monitor(&mut socket).unwrap();
    let event = monitor.recv_multipart(0).unwrap();
    assert_eq!(u16::from_ne_bytes([event[0][0], event[0][1]]), zmq::SocketEvent::MONITOR_STOPPED as u16);
}

#[test]
fn every_number_has_a_text() {
    for number in (-2..200).chain([156_384_712, 156_384_799, i32::MIN, i32::MAX]) {
        let text = format!("{:?}", Errno(number));
        assert!(text.starts_with(&format!("Errno({number}: ")) && text.len() > 12, "{text}");
    }
}

#[test]
fn endpoints_are_bound_connected_and_unbound_whatever_the_errno() {
    let context = zmq::Context::new();
    let (server, client) = (super::open_socket(&context, zmq::PULL).unwrap(), context.socket(zmq::PUSH).unwrap());
    server.set_rcvtimeo(DEADLINE_MS).unwrap();
    super::bind(&server, "inproc://bound").unwrap();
    assert_eq!(super::bind(&server, "inproc://bound"), Err(Errno::ADDRESS_IN_USE));
    super::connect(&client, "inproc://bound").unwrap();
    client.send("hello", 0).unwrap();
    assert_eq!(server.recv_bytes(0).unwrap(), b"hello");
    super::unbind(&server, "inproc://bound").unwrap();
    // Numbers that the `zmq` crate panics at.
    let file = tempfile::NamedTempFile::new().unwrap();
    let beyond = format!("ipc://{}/server", file.path().display());
    assert_eq!(super::bind(&server, &beyond), Err(Errno(libc::ENOTDIR)));
    for call in [super::bind, super::connect, super::unbind] {
        assert_eq!(call(&server, "inproc://\0"), Err(Errno::INVALID));
    }
}

#[test]
fn the_type_of_a_socket() {
    let context = zmq::Context::new();
    for (kind, number) in [(zmq::PAIR, zmq_sys::ZMQ_PAIR), (zmq::STREAM, zmq_sys::ZMQ_STREAM)] {
        assert_eq!(super::socket_type(&mut context.socket(kind).unwrap()), Ok(number));
    }
}

#[test]
fn properties_stay_as_long_as_their_message() {
    let context = zmq::Context::new();
    let (server, client) = (context.socket(zmq::PULL).unwrap(), context.socket(zmq::PUSH).unwrap());
    server.set_rcvtimeo(DEADLINE_MS).unwrap();
    server.bind("tcp://127.0.0.1:*").unwrap();
    client.connect(&server.get_last_endpoint().unwrap().unwrap()).unwrap();
    // Within the message, and beyond it.
    for size in [0, 1, 33, 100_000] {
        client.send(vec![7; size], 0).unwrap();
        let message = server.recv_msg(0).unwrap();
        let (address, kind) = (super::property(&message, "Peer-Address"), super::property(&message, "Socket-Type"));
        let message = &message;
        assert_eq!((address, kind), (Some("127.0.0.1"), Some("PUSH")));
        assert_eq!(super::property(message, "no such"), None);
        assert_eq!(super::property(message, "Socket-Type\0"), None);
        assert_eq!(message.len(), size);
    }
    assert_eq!(super::property(&zmq::Message::new(), "Peer-Address"), None);
}

#[cfg(target_os = "linux")]
#[test]
fn a_copy_of_a_descriptor_is_the_same_socket() {
    use std::os::unix::net::UnixStream;
    let (one, other) = UnixStream::pair().unwrap();
    let mut place = super::CopyPlace::new().unwrap();
    let numbers = [&one, &one, &other].map(|stream| stream.as_raw_fd());
    let cookies =
        numbers.map(|number| place.with_copy(number, |copy| super::cookie(copy.as_raw_fd()).unwrap()).unwrap());
    assert_eq!(cookies, numbers.map(|number| super::cookie(number).unwrap()));
    assert_ne!(cookies[0], cookies[2]);
    let credentials = place.with_copy(one.as_raw_fd(), |copy| super::peer_credentials(copy.as_raw_fd()));
    let (_, _, pid) = credentials.unwrap().unwrap();
    assert_eq!(u32::try_from(pid), Ok(std::process::id()));
    // A descriptor that isn't open, and one that isn't a socket.
    assert_eq!(place.with_copy(-1, |_| ()).unwrap_err().raw_os_error(), Some(libc::EBADF));
    let (reader, _writer) = pipe().unwrap();
    let refused = |looked: std::io::Result<std::io::Error>| looked.unwrap().raw_os_error();
    let no_cookie = place.with_copy(reader.as_raw_fd(), |copy| super::cookie(copy.as_raw_fd()).unwrap_err());
    assert_eq!(refused(no_cookie), Some(libc::ENOTSOCK));
    let nobody = place.with_copy(reader.as_raw_fd(), |copy| super::peer_credentials(copy.as_raw_fd()).unwrap_err());
    assert_eq!(refused(nobody), Some(libc::ENOTSOCK));
    // Nothing stays in the place: the other end of what was copied sees its end.
    drop(one);
    assert_eq!(std::io::Read::read(&mut &other, &mut [0]).unwrap(), 0);
}

/// The limit may be lowered after the place was taken.
#[cfg(target_os = "linux")]
#[test]
fn a_copy_is_made_although_the_limit_was_lowered_below_the_place() {
    use std::os::fd::FromRawFd;
    use std::os::unix::net::UnixStream;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes one `rlimit`.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
    let set = |soft| {
        let limit = libc::rlimit { rlim_cur: soft, ..limit };
        // SAFETY: reads one `rlimit`.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    };
    // So high that other tests don't notice.
    let number = limit.rlim_cur.min(4_000) - 1;
    let mut place = super::CopyPlace::new().unwrap();
    // SAFETY: takes numbers; the place is open.
    let high = unsafe { libc::fcntl(place.place.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number as libc::c_int) };
    assert!(high >= number as libc::c_int, "{}", std::io::Error::last_os_error());
    // SAFETY: the call made this descriptor, and nobody else has it.
    place.place = unsafe { std::os::fd::OwnedFd::from_raw_fd(high) };
    let (one, other) = UnixStream::pair().unwrap();
    set(number);
    let seen = place.with_copy(one.as_raw_fd(), |copy| super::cookie(copy.as_raw_fd()).unwrap());
    let nothing = place.with_copy(-1, |_| ());
    set(limit.rlim_cur);
    assert_eq!(seen.unwrap(), super::cookie(one.as_raw_fd()).unwrap());
    assert_eq!(nothing.unwrap_err().raw_os_error(), Some(libc::EBADF));
    drop(one);
    assert_eq!(std::io::Read::read(&mut &other, &mut [0]).unwrap(), 0, "no copy is left");
}

#[test]
fn a_frame_stays_as_it_was_whether_or_not_it_is_sent() {
    let context = zmq::Context::new();
    let [server, back] = [zmq::PULL; 2].map(|kind| context.socket(kind).unwrap());
    let [client, front] = [zmq::PUSH; 2].map(|kind| context.socket(kind).unwrap());
    [&server, &back].into_iter().for_each(|socket| socket.set_rcvtimeo(DEADLINE_MS).unwrap());
    server.bind("tcp://127.0.0.1:*").unwrap();
    client.connect(&server.get_last_endpoint().unwrap().unwrap()).unwrap();
    // Within the message, and beyond it.
    let mut frames = [0, 1, 33, 34, 100_000].map(|size| {
        client.send(vec![7; size], 0).unwrap();
        (size, server.recv_msg(0).unwrap())
    });
    let is_as_it_was = |(size, frame): &(usize, zmq::Message)| {
        assert!(frame[..] == vec![7; *size][..] && super::property(frame, "Peer-Address") == Some("127.0.0.1"));
    };
    for frame in &mut frames {
        assert_eq!(super::try_send(&front, &mut frame.1, true), Err(Errno::AGAIN), "nobody is there");
        is_as_it_was(frame);
    }
    back.bind("inproc://frames").unwrap();
    front.connect("inproc://frames").unwrap();
    for frame in &mut frames {
        super::try_send(&front, &mut frame.1, true).unwrap();
        is_as_it_was(frame);
        super::try_send(&front, &mut frame.1, false).unwrap();
        is_as_it_was(frame);
    }
    for (size, _) in frames {
        assert!(back.recv_multipart(0).unwrap() == [vec![7; size], vec![7; size]]);
    }
}

#[test]
fn the_time_since_boot_goes_on() {
    let (first, second) = (super::time_since_boot().unwrap(), super::time_since_boot().unwrap());
    assert!(0 < first && first <= second);
}
