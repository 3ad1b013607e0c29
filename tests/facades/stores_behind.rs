//! The gauge of stores that are behind the disk.

use std::fs;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use zmq_auth::KeyDirectory;

#[test]
fn a_store_that_is_behind_the_disk_is_counted_until_it_has_caught_up_or_is_gone() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    // Since the previous snapshot, which resets it.
    let behind = || {
        let all = snapshots.snapshot().into_vec();
        let gauge = all.into_iter().find(|(key, ..)| key.key().name() == "zmq_auth_stores_behind");
        gauge.map(|(_, _, _, value)| if let DebugValue::Gauge(value) = value { value.0 } else { f64::NAN })
    };
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
        assert_eq!(behind(), Some(0.0));
        fs::remove_dir(&path).unwrap();
        keys.reload().unwrap_err();
        assert_eq!(behind(), Some(1.0));
        drop(keys);
        assert_eq!(behind(), Some(0.0));
    });

    // A recorder that is installed when a store is already behind shows the truth from the next change on.
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
