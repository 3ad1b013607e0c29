//! czmq's `zauth`, if libczmq is installed: in czmq's own context, asked through the libzmq that it uses.
//!
//! CURVE keys are in a `zcertstore` in memory, since czmq lists all files of a directory at each decision.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, ensure};
use libloading::Library;

use super::DOMAIN;
use super::contestant::Contestant;
use super::driver::{Driver, Functions, Load, Measured};
use super::population::{self, Population};
use super::requests::Requests;

const NAME: &str = "czmq";

struct Czmq {
    czmq: &'static Library,
    actor: *mut c_void,
    context: *mut c_void,
    driver: Arc<Driver>,
    requests: Requests,
    // czmq may read it again.
    _passwords: tempfile::NamedTempFile,
}

type Make<Argument> = unsafe extern "C" fn(Argument) -> *mut c_void;
type Actor = unsafe extern "C" fn(*mut c_void, *mut c_void);

/// `None` if czmq isn't installed.
pub(crate) fn contestant(
    driver: &Arc<Driver>,
    requests: &Requests,
    population: Population,
) -> Result<Option<Box<dyn Contestant>>> {
    debug_assert_eq!(DOMAIN, "bench", "czmq's tables hold for all domains");
    let Some(czmq) = library() else { return Ok(None) };
    let passwords = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    // SAFETY: the functions are declared as in czmq.h; every pointer is of czmq's own making, or outlives its call.
    let (actor, context) = unsafe {
        // Without its signal handlers.
        czmq.get::<unsafe extern "C" fn(*mut c_void)>("zsys_handler_set")?(ptr::null_mut());
        let context = czmq.get::<unsafe extern "C" fn() -> *mut c_void>("zsys_init")?();
        let store = match population {
            Population::Keys(size) => key_store(czmq, size)?,
            Population::Users(_) | Population::Addresses(..) => ptr::null_mut(),
        };
        let zauth = *czmq.get::<Actor>("zauth")?;
        let actor = czmq.get::<unsafe extern "C" fn(Actor, *mut c_void) -> *mut c_void>("zactor_new")?(zauth, store);
        ensure!(!context.is_null() && !actor.is_null(), "czmq starts");
        (actor, context)
    };
    let contestant =
        Czmq { czmq, actor, context, driver: driver.clone(), requests: requests.clone(), _passwords: passwords };
    contestant.configure(population)?;
    Ok(Some(Box::new(contestant)))
}

fn library() -> Option<&'static Library> {
    // Never unloaded: it registers work for the exit of the process.
    static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
    // SAFETY: its initialisers are those of an ordinary C library.
    LIBRARY.get_or_init(|| unsafe { Library::new("libczmq.so.4").ok() }).as_ref()
}

fn key_store(czmq: &Library, size: u32) -> Result<*mut c_void> {
    // SAFETY: as in `contestant`; both halves of a key are 32 bytes, and the store takes the certificate over.
    unsafe {
        let store = czmq.get::<Make<*const c_char>>("zcertstore_new")?(ptr::null());
        let certificate = czmq.get::<unsafe extern "C" fn(*const u8, *const u8) -> *mut c_void>("zcert_new_from")?;
        let insert = czmq.get::<unsafe extern "C" fn(*mut c_void, *mut *mut c_void)>("zcertstore_insert")?;
        for number in 0..size.into() {
            let mut certificate = certificate(population::key(number).as_ptr(), [0; 32].as_ptr());
            insert(store, &mut certificate);
        }
        Ok(store)
    }
}

impl Czmq {
    fn configure(&self, population: Population) -> Result<()> {
        match population {
            Population::Keys(_) => Ok(()),
            Population::Users(size) => {
                let line = |number| population::user(number) + "=" + &population::password(number) + "\n";
                std::fs::write(self._passwords.path(), (0..size.into()).map(line).collect::<String>())?;
                self.command(c"PLAIN", &CString::new(self._passwords.path().as_os_str().as_bytes())?)
            }
            Population::Addresses(family, shape, size) => (0..size.into())
                .try_for_each(|number| self.command(c"ALLOW", &CString::new(population::rule(family, shape, number))?)),
        }
    }

    fn command(&self, command: &CStr, argument: &CStr) -> Result<()> {
        // SAFETY: as in `contestant`; the picture "ss" announces two C strings.
        let done = unsafe {
            let send = self.czmq.get::<unsafe extern "C" fn(*mut c_void, *const c_char, ...) -> c_int>("zsock_send")?;
            let wait = self.czmq.get::<unsafe extern "C" fn(*mut c_void) -> c_int>("zsock_wait")?;
            send(self.actor, c"ss".as_ptr(), command.as_ptr(), argument.as_ptr()) | wait(self.actor)
        };
        ensure!(done == 0, "czmq takes {command:?}");
        Ok(())
    }

    fn connect(&self) -> Result<*mut c_void> {
        const DEALER: c_int = 5;
        const OPTIONS: [(c_int, c_int); 4] = [(17, 0), (23, 0), (24, 0), (27, 20_000)]; // LINGER, SNDHWM, RCVHWM, RCVTIMEO
        // SAFETY: declared as in zmq.h; a live context, and options of one int each.
        unsafe {
            let socket = self.czmq.get::<unsafe extern "C" fn(*mut c_void, c_int) -> *mut c_void>("zmq_socket")?;
            let socket = socket(self.context, DEALER);
            ensure!(!socket.is_null(), "a socket of czmq's libzmq");
            let set = self
                .czmq
                .get::<unsafe extern "C" fn(*mut c_void, c_int, *const c_int, usize) -> c_int>("zmq_setsockopt")?;
            let connect = self.czmq.get::<unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int>("zmq_connect")?;
            let set =
                OPTIONS.iter().fold(0, |rc, (option, value)| rc | set(socket, *option, value, size_of::<c_int>()));
            ensure!(set | connect(socket, c"inproc://zeromq.zap.01".as_ptr()) == 0, "the socket connects");
            Ok(socket)
        }
    }
}

impl Contestant for Czmq {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, load: &Load) -> Result<Measured> {
        let mut sockets = (0..load.sockets).map(|_| self.connect()).collect::<Result<Vec<_>>>()?;
        let functions = Functions::of(self.czmq)?;
        let measured = self.driver.drive(&functions, &mut sockets, &mut self.requests, load).context(NAME);
        // SAFETY: declared as in zmq.h; each socket is live, and not used again.
        unsafe {
            let close = self.czmq.get::<Make<*mut c_void>>("zmq_close")?;
            for socket in sockets {
                close(socket);
            }
        }
        measured
    }
}

impl Drop for Czmq {
    fn drop(&mut self) {
        // SAFETY: as in `contestant`; the actor is not used again.
        unsafe {
            let destroy = self.czmq.get::<unsafe extern "C" fn(*mut *mut c_void)>("zactor_destroy");
            destroy.expect("a function of czmq")(&mut self.actor);
        }
    }
}
