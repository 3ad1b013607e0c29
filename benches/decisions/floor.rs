//! The floor: a handler that only makes libzmq's calls, and one with a bare lookup on top.
#![allow(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Result, ensure};
use zmq_sys::{zmq_msg_t, zmq_pollitem_t};

use super::contestant::{ENDPOINT, InProcess};
use super::driver::Driver;
use super::population::{self, Population};
use super::requests::Requests;

/// The fastest hasher that makes sense for keys from outside: seeded, but not designed to resist an attacker.
type Hasher = foldhash::fast::RandomState;

pub(crate) const FLOOR: &str = "floor";
pub(crate) const LOOKUP: &str = "floor+lookup";

/// What the handler looks up before it answers.
enum Store {
    Nothing,
    Keys(HashSet<[u8; 32], Hasher>),
    Users(HashMap<Box<[u8]>, Box<[u8]>, Hasher>),
    Addresses(HashSet<Box<[u8]>, Hasher>),
}

/// A running handler thread.
pub(crate) struct Floor {
    context: zmq::Context,
    thread: Option<JoinHandle<Result<()>>>,
}

/// A handler that answers 200 to everything.
pub(crate) fn bare(driver: &Arc<Driver>, requests: &Requests) -> Result<InProcess<Floor>> {
    contestant(FLOOR, Store::Nothing, driver, requests)
}

/// A handler that answers 200 to clients in the store.
pub(crate) fn with_lookup(
    driver: &Arc<Driver>,
    requests: &Requests,
    population: Population,
) -> Result<InProcess<Floor>> {
    contestant(LOOKUP, Store::of(population), driver, requests)
}

fn contestant(name: &'static str, store: Store, driver: &Arc<Driver>, requests: &Requests) -> Result<InProcess<Floor>> {
    let context = zmq::Context::new();
    let allows_all = matches!(store, Store::Nothing);
    let handler = Floor::start(&context, store)?;
    Ok(InProcess { name, allows_all, _handler: handler, context, driver: driver.clone(), requests: requests.clone() })
}

impl Store {
    fn of(population: Population) -> Self {
        let bytes = |text: String| text.into_bytes().into_boxed_slice();
        match population {
            Population::Keys(size) => Store::Keys((0..size.into()).map(population::key).collect()),
            Population::Users(size) => {
                let user = |number| (bytes(population::user(number)), bytes(population::password(number)));
                Store::Users((0..size.into()).map(user).collect())
            }
            Population::Addresses(family, shape, size) => {
                let address = |number| bytes(population::address(family, shape, number));
                Store::Addresses((0..size.into()).map(address).collect())
            }
        }
    }
}

impl Floor {
    fn start(context: &zmq::Context, store: Store) -> Result<Self> {
        let socket = context.socket(zmq::ROUTER)?;
        socket.set_linger(0)?;
        socket.set_sndhwm(0)?;
        socket.set_rcvhwm(0)?;
        socket.bind(ENDPOINT)?;
        let run = move || {
            // A separate loop is compiled for each kind of store.
            match store {
                Store::Nothing => serve(socket, |_| true),
                Store::Keys(keys) => serve(socket, |request| keys.contains(request.frame(CREDENTIALS))),
                Store::Users(users) => serve(socket, |request| {
                    let password = users.get(request.frame(CREDENTIALS));
                    password.is_some_and(|password| **password == *request.frame(CREDENTIALS + 1))
                }),
                Store::Addresses(addresses) => serve(socket, |request| addresses.contains(request.frame(ADDRESS))),
            }
        };
        let thread = std::thread::Builder::new().name("floor".into()).spawn(run)?;
        Ok(Floor { context: context.clone(), thread: Some(thread) })
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // A message of one frame means stop.
        let stop = || {
            let socket = self.context.socket(zmq::DEALER)?;
            socket.connect(ENDPOINT)?;
            socket.send("", 0)
        };
        stop().expect("the floor is there to be stopped");
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the floor doesn't panic").expect("libzmq serves the floor");
        }
    }
}

/// Frames are counted from the client's routing id: then the delimiter, version, request id, domain, address, identity,
/// mechanism.
const REQUEST_ID: usize = 3;
const ADDRESS: usize = 5;
const CREDENTIALS: usize = 8;
const FRAMES: usize = 10;

/// The frames of one request, reused for all requests.
struct Request([zmq_msg_t; FRAMES]);

impl Request {
    fn new() -> Self {
        let mut frames = [zmq_msg_t::default(); FRAMES];
        for frame in &mut frames {
            // SAFETY: the call initialises the struct. It needn't be closed, since it owns no memory at the end.
            unsafe { zmq_sys::zmq_msg_init(frame) };
        }
        Request(frames)
    }

    fn frame(&self, number: usize) -> &[u8] {
        let message = ptr::from_ref(&self.0[number]);
        // SAFETY: an initialised message, which outlives the borrowed bytes.
        unsafe {
            let data = zmq_sys::zmq_msg_data(message.cast_mut()).cast::<u8>();
            std::slice::from_raw_parts(data, zmq_sys::zmq_msg_size(message))
        }
    }

    /// Returns the number of frames received; 0 if there is no message.
    fn receive(&mut self, socket: *mut c_void) -> Result<usize> {
        for number in 0.. {
            // Surplus frames overwrite the last one.
            let frame = &mut self.0[number.min(FRAMES - 1)];
            // SAFETY: a live socket and an initialised message.
            let received = unsafe { zmq_sys::zmq_msg_recv(frame, socket, zmq_sys::ZMQ_DONTWAIT as c_int) };
            if received == -1 {
                ensure!(number == 0 && errno() == zmq_sys::errno::EAGAIN, "receiving failed: {}", errno());
                return Ok(0);
            }
            // SAFETY: an initialised message.
            if unsafe { zmq_sys::zmq_msg_more(frame) } == 0 {
                return Ok(number + 1);
            }
        }
        unreachable!("it counts for ever")
    }

    fn reply(&mut self, socket: *mut c_void, code: &[u8], text: &[u8]) -> Result<()> {
        let more = zmq_sys::ZMQ_SNDMORE as c_int;
        // SAFETY: a live socket and bytes that are copied before the call returns.
        let send =
            |bytes: &[u8], flags| unsafe { zmq_sys::zmq_send(socket, bytes.as_ptr().cast(), bytes.len(), flags) };
        // SAFETY: a live socket and an initialised message, which stays one.
        let pass = |frame: &mut zmq_msg_t| unsafe { zmq_sys::zmq_msg_send(frame, socket, more) };
        let mut sent = pass(&mut self.0[0]) | send(b"", more) | send(b"1.0", more);
        sent |= pass(&mut self.0[REQUEST_ID]);
        sent |= send(code, more) | send(text, more) | send(b"", more) | send(b"", 0);
        ensure!(sent >= 0, "sending failed: {}", errno());
        Ok(())
    }
}

fn serve(mut socket: zmq::Socket, admits: impl Fn(&Request) -> bool) -> Result<()> {
    let raw = socket.as_mut_ptr();
    let mut request = Request::new();
    loop {
        wait(raw)?;
        loop {
            match request.receive(raw)? {
                0 => break,
                1..ADDRESS => return Ok(()),
                _ if admits(&request) => request.reply(raw, b"200", b"OK")?,
                _ => request.reply(raw, b"400", b"No access")?,
            }
        }
    }
}

fn wait(socket: *mut c_void) -> Result<()> {
    let mut item = zmq_pollitem_t { socket, fd: 0, events: zmq_sys::ZMQ_POLLIN as i16, revents: 0 };
    // SAFETY: one item, of a live socket.
    let polled = unsafe { zmq_sys::zmq_poll(&mut item, 1, -1) };
    ensure!(polled >= 0 || errno() == zmq_sys::errno::EINTR, "poll failed: {}", errno());
    Ok(())
}

fn errno() -> c_int {
    // SAFETY: takes nothing; reads a thread-local number.
    unsafe { zmq_sys::zmq_errno() }
}
