//! Calls of code from outside this crate: callbacks, the logger, the metrics recorder. Their panics are contained.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The called code panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Runs code that may panic.
pub(crate) fn contain<T>(code: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        drop_payload(payload);
        Panicked
    })
}

/// Drops a panic's payload. That runs foreign code again: if dropping payloads keeps panicking with new ones, the last is
/// leaked.
pub(crate) fn drop_payload(mut payload: Box<dyn Any + Send>) {
    for _ in 0..4 {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    std::mem::forget(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::panic_any;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_panic_is_contained_and_its_payload_is_dropped() {
        let payload = Arc::new(());
        let carried = payload.clone();
        assert_eq!(contain(|| 7), Ok(7));
        assert_eq!(contain(move || panic_any(carried)), Err(Panicked));
        assert_eq!(Arc::strong_count(&payload), 1, "the payload leaked");
    }

    /// Panics with another of its kind when dropped.
    struct Again(Arc<AtomicUsize>);

    impl Drop for Again {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic_any(Again(self.0.clone()));
        }
    }

    #[test]
    fn a_payload_that_panics_when_dropped_is_given_up_after_some_tries() {
        let drops = Arc::new(AtomicUsize::new(0));
        let again = Again(drops.clone());
        assert_eq!(contain(move || panic_any(again)), Err(Panicked));
        assert_eq!(drops.load(Ordering::Relaxed), 4);
    }
}
