//! The machine, the date and the versions that a section was measured with.

use std::ffi::{OsStr, c_int};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Setting {
    pub(super) date: String,
    machine: String,
    kernel: String,
    rustc: String,
    crate_and_libzmq: String,
    pyzmq: String,
    czmq: String,
}

impl Setting {
    pub(super) fn now() -> Self {
        let (major, minor, patch) = zmq::version();
        Setting {
            date: jiff::ZonedDateTime::now().date().to_string(),
            machine: machine(),
            kernel: kernel(),
            rustc: output_of("rustc", &["--version"]),
            // The workspace has one version.
            crate_and_libzmq: format!("{} with libzmq {major}.{minor}.{patch}", env!("CARGO_PKG_VERSION")),
            pyzmq: pyzmq(),
            czmq: czmq().unwrap_or_else(|| {
                "not installed, its columns are left out (Debian: `apt-get install libczmq4`)".into()
            }),
        }
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("Date", &*self.date),
            ("Machine", &self.machine),
            ("Kernel", &self.kernel),
            ("Compiler", &self.rustc),
            ("zmq-auth", &self.crate_and_libzmq),
            ("pyzmq", &self.pyzmq),
            ("czmq", &self.czmq),
        ]
        .into_iter()
    }

    pub(super) fn line(&self) -> String {
        self.lines().map(|(what, value)| format!("{what}: {value}")).collect::<Vec<_>>().join("; ")
    }
}

/// The kernel's name and version, without a distribution's suffix.
fn kernel() -> String {
    let full = output_of("uname", &["-sr"]);
    full.split('-').next().unwrap_or_default().to_owned()
}

fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim()));
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {count} CPUs", model.unwrap_or(std::env::consts::ARCH))
}

/// The pyzmq of the interpreter that tests and benchmarks use, if it is installed.
fn pyzmq() -> String {
    let chosen = std::env::var_os("ZMQ_AUTH_PYTHON").map(PathBuf::from);
    let made = || Some(super::target_directory().ok()?.join("pyzmq-venv/bin/python"));
    match chosen.or_else(made).filter(|python| python.exists()) {
        Some(python) => {
            let words = "import sys, zmq; print(zmq.__version__, 'with libzmq', zmq.zmq_version(), 'and Python', sys.version.split()[0])";
            output_of(python, &["-c", words])
        }
        None => "not used".into(),
    }
}

/// The version of the installed czmq, and of the libzmq that it uses.
#[allow(unsafe_code)]
fn czmq() -> Option<String> {
    type Version = unsafe extern "C" fn(*mut c_int, *mut c_int, *mut c_int);
    // SAFETY: the library's initialisers are those of an ordinary C library; each function is declared as in czmq.h or
    // zmq.h, and writes three ints.
    unsafe {
        let library = libloading::Library::new("libczmq.so.4").ok()?;
        let version = |name: &str| -> Option<String> {
            let tell = library.get::<Version>(name).ok()?;
            let (mut major, mut minor, mut patch) = (0, 0, 0);
            tell(&mut major, &mut minor, &mut patch);
            Some(format!("{major}.{minor}.{patch}"))
        };
        Some(format!("{} with libzmq {}", version("zsys_version")?, version("zmq_version")?))
    }
}

fn output_of(program: impl AsRef<OsStr>, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
