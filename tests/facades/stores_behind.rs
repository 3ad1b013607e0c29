//! The gauge `zmq_auth_stores_behind`: how many stores no longer match the disk.

use std::fs;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use zmq_auth::KeyDirectory;

/// Reads the gauge: `None` if it was never set. Reading resets it to 0.
fn gauge(recorder: &DebuggingRecorder) -> impl Fn() -> Option<f64> {
    let snapshots = recorder.snapshotter();
    move || {
        let all = snapshots.snapshot().into_vec();
        let gauge = all.into_iter().find(|(key, ..)| key.key().name() == "zmq_auth_stores_behind");
        gauge.map(|(_, _, _, value)| if let DebugValue::Gauge(value) = value { value.0 } else { f64::NAN })
    }
}

#[test]
fn a_store_that_is_behind_the_disk_is_counted_until_it_has_caught_up_or_is_gone() {
    let recorder = DebuggingRecorder::new();
    let behind = gauge(&recorder);
    metrics::with_local_recorder(&recorder, || {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        fs::create_dir(&path).unwrap();
        let keys = KeyDirectory::open(&path).unwrap();
        assert_eq!(behind(), None);
        fs::remove_dir(&path).unwrap();
        (0..2).for_each(|_| assert!(keys.reload().is_err()));
        assert_eq!(behind(), Some(1.0));
        fs::create_dir(&path).unwrap();
        keys.reload().unwrap();
        // Also true if nothing was set, because a snapshot resets it; the next value shows that it was.
        assert_eq!(behind(), Some(0.0));
        fs::remove_dir(&path).unwrap();
        keys.reload().unwrap_err();
        assert_eq!(behind(), Some(1.0));
        drop(keys);
    });

    // Changes without a recorder are still counted: the next change under a recorder shows the right total. In the same
    // test, because the total is the whole process's.
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        fs::create_dir(dir.path().join(name)).unwrap();
        KeyDirectory::open(dir.path().join(name)).unwrap()
    };
    let [early, late] = ["early", "late"].map(open);
    fs::remove_dir(dir.path().join("early")).unwrap();
    early.reload().unwrap_err();
    metrics::with_local_recorder(&recorder, || {
        fs::remove_dir(dir.path().join("late")).unwrap();
        late.reload().unwrap_err();
        assert_eq!(behind(), Some(2.0));
        drop(early);
        assert_eq!(behind(), Some(1.0));
    });
}
