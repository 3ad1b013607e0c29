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

/// A panic's payload, or a value in a future, that panics again when dropped.
struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a panic in a drop that a test makes");
        }
    }
}
