//! pyzmq's authenticators, measured by `benches/python/slow_callbacks.py` in a separate process.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Extent, Measured, SLOW};

pub(crate) fn run(kind: &str, load: usize, extent: Extent) -> Measured {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/slow_callbacks.py");
    let seconds = |duration: Duration| duration.as_secs_f64().to_string();
    let output = Command::new(zmq_auth_benches::python())
        .arg(program)
        .args([kind, &load.to_string(), &seconds(SLOW)])
        .args([seconds(extent.every), seconds(extent.window), extent.at_least.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "pyzmq's {kind}: {}", output.status);
    let said = String::from_utf8(output.stdout).expect("text");
    let mut numbers = said.lines().map(|line| line.parse::<u64>().expect("a number"));
    let under_way = numbers.next().expect("the first line") as usize;
    Measured { latencies: numbers.map(Duration::from_nanos).collect(), under_way }
}
