//! czmq's server and its `zauth`, if czmq is installed: its library is loaded at run time.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use libloading::{Library, Symbol};
use zmq_auth::KeyPair;

use super::{DOMAIN, serve};

const LIBRARY: &str = "libczmq.so.4";
/// `ZMQ_ROUTER` of `zmq.h`.
const ROUTER: c_int = 6;

/// What to install, if czmq is missing.
pub(crate) fn missing() -> Option<String> {
    // SAFETY: the library's initialisers only set variables.
    let library = unsafe { Library::new(LIBRARY) };
    let hint = "czmq is not measured: there is no libczmq.so.4 (Debian, Ubuntu: apt-get install libczmq-dev).";
    library.is_err().then(|| hint.into())
}

type Pointer = *mut c_void;

/// Runs an echo server behind `zauth` with a directory of keys.
///
/// czmq has its own context in this process, with the libzmq that it was built for.
pub(crate) fn serve(keys: &KeyPair, clients: &Path) -> Result<()> {
    let clients = CString::new(clients.as_os_str().as_bytes())?;
    let (public, secret) = (CString::new(keys.public.to_string())?, CString::new(keys.secret.to_z85().as_bytes())?);
    // SAFETY: as above.
    let library = unsafe { Library::new(LIBRARY) }.context(LIBRARY)?;
    // SAFETY: declared as in `zactor.h`, `zsock.h`, `zstr.h` and `zmsg.h` of czmq 4; variable arguments end with a null
    // pointer where required. Every argument outlives its call, and the objects live until the process ends.
    unsafe {
        let zactor_new: Symbol<'_, unsafe extern "C" fn(Pointer, Pointer) -> Pointer> = library.get(b"zactor_new")?;
        let zauth: Symbol<'_, unsafe extern "C" fn(Pointer, Pointer)> = library.get(b"zauth")?;
        let zstr_sendx: Symbol<'_, unsafe extern "C" fn(Pointer, *const c_char, ...) -> c_int> =
            library.get(b"zstr_sendx")?;
        let zsock_wait: Symbol<'_, unsafe extern "C" fn(Pointer) -> c_int> = library.get(b"zsock_wait")?;
        let zsock_new: Symbol<'_, unsafe extern "C" fn(c_int) -> Pointer> = library.get(b"zsock_new")?;
        let set_server: Symbol<'_, unsafe extern "C" fn(Pointer, c_int)> = library.get(b"zsock_set_curve_server")?;
        let set_public: Symbol<'_, unsafe extern "C" fn(Pointer, *const c_char)> =
            library.get(b"zsock_set_curve_publickey")?;
        let set_secret: Symbol<'_, unsafe extern "C" fn(Pointer, *const c_char)> =
            library.get(b"zsock_set_curve_secretkey")?;
        let set_domain: Symbol<'_, unsafe extern "C" fn(Pointer, *const c_char)> =
            library.get(b"zsock_set_zap_domain")?;
        let zsock_bind: Symbol<'_, unsafe extern "C" fn(Pointer, *const c_char, ...) -> c_int> =
            library.get(b"zsock_bind")?;
        let zmsg_recv: Symbol<'_, unsafe extern "C" fn(Pointer) -> Pointer> = library.get(b"zmsg_recv")?;
        let zmsg_send: Symbol<'_, unsafe extern "C" fn(*mut Pointer, Pointer) -> c_int> = library.get(b"zmsg_send")?;

        let actor = zactor_new(*zauth as *mut c_void, std::ptr::null_mut());
        ensure!(!actor.is_null(), "zauth doesn't start");
        zstr_sendx(actor, c"CURVE".as_ptr(), clients.as_ptr(), std::ptr::null::<c_char>());
        zsock_wait(actor);

        let socket = zsock_new(ROUTER);
        ensure!(!socket.is_null(), "no socket");
        set_domain(socket, CString::new(DOMAIN)?.as_ptr());
        set_server(socket, 1);
        set_public(socket, public.as_ptr());
        set_secret(socket, secret.as_ptr());
        let port = zsock_bind(socket, CString::new(serve::endpoint())?.as_ptr());
        ensure!(port > 0, "czmq binds no port");
        serve::announce(&format!("tcp://127.0.0.1:{port}"))?;
        loop {
            let mut message = zmsg_recv(socket);
            if message.is_null() {
                bail!("interrupted");
            }
            zmsg_send(&mut message, socket);
        }
    }
}
