//! Idle handlers, and policies of a certain size.

use std::net::Ipv4Addr;

use anyhow::Result;
use zmq_auth::Authenticator;

use super::usage::Usage;

/// A context whose libzmq threads are already running.
pub(crate) fn context() -> Result<zmq::Context> {
    let context = zmq::Context::new();
    // The first socket starts them.
    drop(context.socket(zmq::PAIR)?);
    Ok(context)
}

pub(crate) fn thread() -> Result<Usage> {
    let context = context()?;
    let before = Usage::now()?;
    let running = Authenticator::new().start(&context)?;
    let grown = before.grown()?;
    running.stop()?;
    Ok(grown)
}

pub(crate) fn tokio() -> Result<Usage> {
    let context = context()?;
    let runtime = ::tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async { ::tokio::task::yield_now().await });
    let before = Usage::now()?;
    let running = runtime.block_on(Authenticator::new().start_async(&context))?;
    let grown = before.grown()?;
    runtime.block_on(running.stop())?;
    Ok(grown)
}

pub(crate) fn domains(count: usize) -> Result<Usage> {
    let before = Usage::now()?;
    let authenticator = Authenticator::new();
    for number in 0..count {
        authenticator.configure_plain(&format!("domain-{number}"), [("alice", "correct horse")])?;
    }
    before.grown()
}

pub(crate) fn addresses(count: usize) -> Result<Usage> {
    rules(count, |number| scattered(number).to_string())
}

pub(crate) fn subnets(count: usize) -> Result<Usage> {
    rules(count, |number| format!("{}/28", Ipv4Addr::from(u32::from(scattered(number)) & !15)))
}

/// An address anywhere in the address space: neighbours would share most of a tree of prefixes.
fn scattered(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(number.wrapping_mul(0x9E37_79B1))
}

fn rules(count: usize, rule: impl Fn(u32) -> String) -> Result<Usage> {
    let authenticator = Authenticator::new();
    let before = Usage::now()?;
    authenticator.deny((0..u32::try_from(count)?).map(rule))?;
    before.grown()
}
