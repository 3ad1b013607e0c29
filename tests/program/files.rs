//! File helpers for the tests of several commands.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::run::{program, run};

/// The server's key pair in libzmq's CURVE documentation.
pub(crate) const PUBLIC: &str = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
pub(crate) const SECRET: &str = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6";
/// The client's public key there.
pub(crate) const OTHER: &str = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";

pub(crate) fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o7777
}

/// Runs the program with this umask, by a shell.
pub(crate) fn run_with_umask(directory: &Path, umask: &str, arguments: &[&str]) {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "umask \"$0\"; exec \"$@\"", umask]).arg(program()).args(arguments);
    let output = command.current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// All files below a directory, including hidden ones, with content and mode.
pub(crate) fn all(directory: &Path) -> BTreeMap<String, (Vec<u8>, u32)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(all(&path).into_iter().map(|(below, file)| (format!("{name}/{below}"), file)));
        } else {
            found.insert(name, (fs::read(&path).unwrap_or_default(), mode(&path)));
        }
    }
    found
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    all(directory).into_keys().collect()
}

/// The names in a directory, including hidden ones, without reading the files.
pub(crate) fn listed(directory: &Path) -> Vec<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Makes a pair with `keygen`, and returns its public key.
pub(crate) fn keygen(directory: &Path, arguments: &[&str]) -> String {
    run(directory, &[&["keygen"], arguments].concat()).ok().trim_end().to_owned()
}

/// A public certificate with these lines of metadata.
pub(crate) fn certificate(key: &str, metadata: &[&str]) -> String {
    let lines: String = metadata.iter().map(|line| format!("    {line}\n")).collect();
    format!("metadata\n{lines}curve\n    public-key = \"{key}\"\n")
}
