//! A contestant: a ZAP handler under load.

use std::ffi::c_void;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::driver::{Driver, Functions, Load, Measured};
use super::requests::Requests;

pub(crate) const ENDPOINT: &str = "inproc://zeromq.zap.01";

/// A running handler with a loaded store.
pub(crate) trait Contestant {
    fn name(&self) -> &'static str;

    fn run(&mut self, load: &Load) -> Result<Measured>;

    /// Whether it answers 200 to everything.
    fn allows_all(&self) -> bool {
        false
    }
}

/// A contestant in this process, with this program's libzmq.
pub(crate) struct InProcess<Handler> {
    pub(crate) name: &'static str,
    pub(crate) allows_all: bool,
    // Dropped before its context.
    pub(crate) _handler: Handler,
    pub(crate) context: zmq::Context,
    pub(crate) driver: Arc<Driver>,
    pub(crate) requests: Requests,
}

impl<Handler> Contestant for InProcess<Handler> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, load: &Load) -> Result<Measured> {
        let connect = |_| connect(&self.context);
        let mut sockets = (0..load.sockets).map(connect).collect::<Result<Vec<zmq::Socket>>>()?;
        let mut raw: Vec<*mut c_void> = sockets.iter_mut().map(zmq::Socket::as_mut_ptr).collect();
        self.driver.drive(&Functions::linked(), &mut raw, &mut self.requests, load).context(self.name)
    }

    fn allows_all(&self) -> bool {
        self.allows_all
    }
}

fn connect(context: &zmq::Context) -> Result<zmq::Socket> {
    let socket = context.socket(zmq::DEALER)?;
    socket.set_linger(0)?;
    socket.set_sndhwm(0)?;
    socket.set_rcvhwm(0)?;
    socket.set_rcvtimeo(20_000)?;
    socket.connect(ENDPOINT)?;
    Ok(socket)
}
