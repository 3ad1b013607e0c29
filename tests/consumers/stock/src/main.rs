//! A program that uses published crates as they are.

#[path = "../../shared/no_curve.rs"]
mod no_curve;
#[path = "../../shared/null_and_plain.rs"]
mod null_and_plain;
#[path = "../../shared/wire.rs"]
mod wire;

fn main() -> wire::Outcome {
    let (major, minor, patch) = zmq::version();
    println!("libzmq {major}.{minor}.{patch}");
    null_and_plain::null()?;
    null_and_plain::plain()?;
    no_curve::no_curve()
}
