//! The load driver: `driver.c`, compiled here and loaded.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use libloading::Library;

use super::requests::Requests;

/// The compiled driver, and its file.
pub(crate) struct Driver {
    library: Library,
    file: PathBuf,
    _directory: tempfile::TempDir,
}

/// The load on a contestant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) sockets: usize,
    /// The number of outstanding requests of each socket.
    pub(crate) window: u64,
    pub(crate) seconds: f64,
    /// The number of answers before the clock starts.
    pub(crate) warm_up: u64,
    /// Whether the latency of each answer is recorded.
    pub(crate) latencies: bool,
}

/// The result of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured {
    pub(crate) counts: Counts,
    /// In nanoseconds, sorted.
    pub(crate) latencies: Vec<u32>,
}

/// `struct result` of driver.c.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
pub(crate) struct Counts {
    asked: u64,
    expected: u64,
    allowed: u64,
    refused: u64,
    other: u64,
    answers: u64,
    latencies: u64,
    seconds: f64,
    own_cpu: f64,
    other_cpu: f64,
}

/// `struct load` of driver.c.
#[repr(C)]
struct CLoad {
    requests: *const u8,
    size: u64,
    cursor: u64,
    mechanism: *const c_char,
    credentials: u64,
    window: u64,
    warm_up: u64,
    seconds: f64,
    latencies: *mut u32,
    room: u64,
}

/// The functions of one libzmq: `struct functions` of driver.c.
#[repr(transparent)]
pub(crate) struct Functions([*const c_void; NAMES.len()]);

/// In the order of `struct functions`.
pub(crate) const NAMES: [&str; 9] = [
    "zmq_send",
    "zmq_msg_init",
    "zmq_msg_recv",
    "zmq_msg_data",
    "zmq_msg_size",
    "zmq_msg_more",
    "zmq_msg_close",
    "zmq_poll",
    "zmq_errno",
];

/// The most latencies that are recorded.
pub(crate) const ROOM: usize = 1 << 21;

type Drive = unsafe extern "C" fn(*const Functions, *mut *mut c_void, c_int, *mut CLoad, *mut Counts) -> c_int;

impl Functions {
    /// The functions of the libzmq that this program is linked with.
    pub(crate) fn linked() -> Self {
        Functions([
            zmq_sys::zmq_send as *const c_void,
            zmq_sys::zmq_msg_init as *const c_void,
            zmq_sys::zmq_msg_recv as *const c_void,
            zmq_sys::zmq_msg_data as *const c_void,
            zmq_sys::zmq_msg_size as *const c_void,
            zmq_sys::zmq_msg_more as *const c_void,
            zmq_sys::zmq_msg_close as *const c_void,
            zmq_sys::zmq_poll as *const c_void,
            zmq_sys::zmq_errno as *const c_void,
        ])
    }

    /// The functions of a loaded library.
    pub(crate) fn of(library: &Library) -> Result<Self> {
        let mut functions = [std::ptr::null(); NAMES.len()];
        for (function, name) in functions.iter_mut().zip(NAMES) {
            // SAFETY: nothing is called here; only the address is taken.
            *function = unsafe { *library.get::<*const c_void>(name)? };
        }
        Ok(Functions(functions))
    }
}

impl Driver {
    /// Compiles the driver. Needs a C compiler, as libzmq itself does.
    pub(crate) fn compile() -> Result<Self> {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let file = directory.path().join("driver.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("decisions/driver.c");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(compiler);
        command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&file).arg(source);
        let status = command.status().context("a C compiler is needed (Debian, Ubuntu: apt-get install gcc)")?;
        ensure!(status.success(), "{command:?}: {status}");
        // SAFETY: it has no initialisers.
        let library = unsafe { Library::new(&file)? };
        Ok(Driver { library, file, _directory: directory })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Asks through these sockets, which must be live, connected, of the library of `functions`, and used only by the
    /// caller.
    pub(crate) fn drive(
        &self,
        functions: &Functions,
        sockets: &mut [*mut c_void],
        requests: &mut Requests,
        load: &Load,
    ) -> Result<Measured> {
        let mut latencies = vec![0u32; if load.latencies { ROOM } else { 0 }];
        let mut to_drive = CLoad {
            requests: requests.bytes.as_ptr(),
            size: requests.bytes.len() as u64,
            cursor: requests.cursor,
            mechanism: requests.mechanism.as_ptr(),
            credentials: requests.credentials,
            window: load.window,
            warm_up: load.warm_up,
            seconds: load.seconds,
            latencies: if load.latencies { latencies.as_mut_ptr() } else { std::ptr::null_mut() },
            room: latencies.len() as u64,
        };
        let mut counts = Counts::default();
        // SAFETY: the function and the structs are declared as in driver.c; every pointer is valid for its length and
        // outlives the call, and the requests have the format that driver.c reads.
        let failed = unsafe {
            let drive = self.library.get::<Drive>("drive")?;
            drive(functions, sockets.as_mut_ptr(), sockets.len() as c_int, &mut to_drive, &mut counts)
        };
        ensure!(failed == 0, "no answer, or libzmq failed: {counts:?}");
        requests.cursor = to_drive.cursor;
        latencies.truncate(counts.latencies as usize);
        latencies.sort_unstable();
        Ok(Measured { counts, latencies })
    }
}

impl Measured {
    /// Checks that every request was answered, and that exactly half were accepted (all of them, by a contestant that
    /// accepts everything).
    pub(crate) fn check(&self, allows_all: bool) -> Result<()> {
        let Counts { asked, expected, allowed, refused, other, answers, .. } = self.counts;
        let right = if allows_all { asked } else { expected };
        ensure!(other == 0 && allowed + refused == asked, "answers that are none: {:?}", self.counts);
        ensure!(allowed == right && expected * 2 == asked, "wrong decisions: {:?}", self.counts);
        ensure!(answers > 0, "nothing on the clock: {:?}", self.counts);
        Ok(())
    }

    pub(crate) fn rate(&self) -> f64 {
        self.counts.answers as f64 / self.counts.seconds
    }

    /// The handler's CPU time for each decision, in µs: that of all threads of the process except the asking one.
    pub(crate) fn handler_cpu(&self) -> f64 {
        self.counts.other_cpu * 1e6 / self.counts.answers as f64
    }

    /// A quantile of the latency, in µs.
    pub(crate) fn latency(&self, quantile: f64) -> f64 {
        let place = (self.latencies.len() as f64 * quantile) as usize;
        f64::from(self.latencies[place.min(self.latencies.len() - 1)]) / 1e3
    }
}
