//! The handler: start and stop, the end of its context or runtime, and load; with every front end.

#[path = "../harness/mod.rs"]
mod harness;

#[cfg(target_os = "linux")]
mod contexts;
mod dropped_handlers;
mod lifecycle;
mod panicking_logger;
#[cfg(feature = "tokio")]
mod runtime;
#[cfg(feature = "tokio")]
mod sharing;
mod stop_while_logging;
#[cfg(feature = "tokio")]
mod stopping;
#[cfg(feature = "tokio")]
mod under_load;
