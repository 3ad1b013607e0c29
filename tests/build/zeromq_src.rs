//! Stands in for `zeromq-src`: it lays out sources as that does, and compiles nothing. `tests/build/scenery.rs` fills in what.

use std::path::{Path, PathBuf};

const FILES: (&[(&str, &str)], &str) = (&[/* files */]);

pub struct LibLocation;

impl LibLocation {
    pub fn new(_: impl Into<PathBuf>, _: impl Into<PathBuf>) -> Self {
        LibLocation
    }
}

pub struct Build;

impl Build {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Build
    }

    pub fn with_libsodium(&mut self, _: Option<LibLocation>) -> &mut Self {
        self
    }

    pub fn build(&mut self) {
        let out = std::env::var("OUT_DIR").unwrap();
        let write = |name: &str, text: &str| {
            let file = Path::new(&out).join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        let _ = std::fs::remove_dir_all(Path::new(&out).join("source"));
        for (name, text) in FILES.0 {
            write(&format!("source/src/{name}"), text);
        }
        write("source/include/zmq.h", FILES.1);
        write("lib/nothing", "");
    }
}
