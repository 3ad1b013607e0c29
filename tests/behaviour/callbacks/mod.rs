//! Callbacks of both kinds: their verdicts, limits and failures.

#[cfg(feature = "tokio")]
mod async_limits;
#[cfg(feature = "tokio")]
mod asynchronous;
mod blocking;
#[cfg(target_os = "linux")]
mod failures;
mod limits;
#[cfg(feature = "tokio")]
mod many;
mod secrets;
