//! Certificate files: what is written, with which mode, and what is read.

#[path = "certificates/faults.rs"]
mod faults;
#[path = "certificates/known_names.rs"]
mod known_names;
#[path = "certificates/metadata.rs"]
mod metadata;
#[path = "certificates/peers.rs"]
mod peers;
#[path = "certificates/process.rs"]
mod process;
#[path = "harness/python.rs"]
mod python;
#[path = "certificates/pyzmq.rs"]
mod pyzmq;
#[path = "certificates/reading.rs"]
mod reading;
#[path = "certificates/umask.rs"]
mod umask;
#[path = "certificates/warnings.rs"]
mod warnings;
#[path = "certificates/writing.rs"]
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
