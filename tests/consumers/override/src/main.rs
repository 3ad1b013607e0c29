//! A program that makes Cargo link a libzmq with CURVE.

#[path = "../../shared/curve.rs"]
mod curve;
#[path = "../../shared/null_and_plain.rs"]
mod null_and_plain;
#[path = "../../shared/wire.rs"]
mod wire;

fn main() -> wire::Outcome {
    let (major, minor, patch) = zmq::version();
    println!("libzmq {major}.{minor}.{patch}");
    null_and_plain::null()?;
    null_and_plain::plain()?;
    curve::curve()
}
