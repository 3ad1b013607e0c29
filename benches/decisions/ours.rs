//! This crate's two front ends.

use std::sync::Arc;

use anyhow::Result;
use zmq_auth::{AsyncAuthenticator, Authenticator, PublicKey, ThreadAuthenticator};

use super::DOMAIN;
use super::contestant::InProcess;
use super::driver::Driver;
use super::population::{self, Population};
use super::requests::Requests;

pub(crate) const THREAD: &str = "zmq-auth";
pub(crate) const TOKIO: &str = "zmq-auth tokio";

/// A policy that accepts exactly the population.
pub(crate) fn policy(population: Population) -> Result<Authenticator> {
    let policy = Authenticator::new();
    match population {
        Population::Keys(size) => {
            policy.configure_curve_keys(DOMAIN, (0..size.into()).map(|number| population::key(number).into()))?;
        }
        Population::Users(size) => {
            let user = |number| (population::user(number), population::password(number));
            policy.configure_plain(DOMAIN, (0..size.into()).map(user))?;
        }
        Population::Addresses(family, shape, size) => {
            policy.allow((0..size.into()).map(|number| population::rule(family, shape, number)))?;
        }
    }
    Ok(policy)
}

pub(crate) fn key(number: u64) -> PublicKey {
    population::key(number).into()
}

/// The thread front end, under the given name.
pub(crate) fn thread(
    name: &'static str,
    driver: &Arc<Driver>,
    requests: &Requests,
    policy: &Authenticator,
) -> Result<InProcess<ThreadAuthenticator>> {
    let context = zmq::Context::new();
    let handler = policy.start(&context)?;
    Ok(InProcess {
        name,
        allows_all: false,
        _handler: handler,
        context,
        driver: driver.clone(),
        requests: requests.clone(),
    })
}

/// The tokio front end, in a runtime like that of `#[tokio::main]`.
pub(crate) struct InRuntime {
    // Dropped before its runtime.
    _handler: AsyncAuthenticator,
    _runtime: tokio::runtime::Runtime,
}

pub(crate) fn tokio(driver: &Arc<Driver>, requests: &Requests, policy: &Authenticator) -> Result<InProcess<InRuntime>> {
    let context = zmq::Context::new();
    let runtime = tokio::runtime::Runtime::new()?;
    let handler = InRuntime { _handler: runtime.block_on(policy.start_async(&context))?, _runtime: runtime };
    Ok(InProcess {
        name: TOKIO,
        allows_all: false,
        _handler: handler,
        context,
        driver: driver.clone(),
        requests: requests.clone(),
    })
}
