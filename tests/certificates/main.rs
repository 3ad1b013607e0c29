//! Certificate files: reading, writing, file modes, metadata, pyzmq's format, and disks and processes that fail.

#[path = "../harness/mod.rs"]
mod harness;

mod faults;
#[cfg(target_os = "linux")]
mod killed;
mod known_names;
mod metadata;
mod peers;
mod problems;
mod pyzmq;
mod reading;
#[cfg(target_os = "linux")]
mod saving;
mod shell;
mod umask;
mod warnings;
mod writing;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The key pair of the server in libzmq's own CURVE documentation.
const PUBLIC: &str = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
const SECRET: &str = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6";
/// The public key of the client there.
const OTHER: &str = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";

/// The names in a directory, sorted, hidden ones too.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o7777
}
