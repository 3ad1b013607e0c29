//! Callbacks of both kinds: their verdicts, limits and failures.

#[cfg(feature = "tokio")]
mod async_limits;
#[cfg(feature = "tokio")]
mod asynchronous;
mod blocking;
#[cfg(target_os = "linux")]
mod failures;
mod fair_shares;
mod limits;
#[cfg(feature = "tokio")]
mod many;
mod rechecked;
mod secrets;

/// The payload of a panic, or what a future holds, that panics again when it is dropped.
struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a panic in a drop that a test makes");
        }
    }
}
