//! The gauge of stores that are behind counts pushed credentials that are stale.

use std::time::{Duration, Instant};

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use zmq_auth::{Moment, OnStale, PushedCredentials};

const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn stale_credentials_are_counted_until_they_are_in_contact_or_gone() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    // Some changes come from a thread of the library.
    recorder.install().unwrap();
    let expect = |wanted: f64| {
        let end = Instant::now() + DEADLINE;
        let mut last = None;
        while last != Some(wanted) {
            assert!(Instant::now() < end, "{last:?}, not {wanted}");
            // A snapshot has the changes since the previous one.
            let all = snapshots.snapshot().into_vec();
            let gauge = all.into_iter().find(|(key, ..)| key.key().name() == "zmq_auth_stores_behind");
            let value = gauge.map(|(.., value)| if let DebugValue::Gauge(value) = value { value.0 } else { f64::NAN });
            last = value.or(last);
            std::thread::yield_now();
        }
    };
    let credentials = PushedCredentials::new("staff");
    expect(1.0);
    credentials.caught_up(Moment::now());
    expect(0.0);
    credentials.limit_age(Duration::from_millis(100), OnStale::Refuse).unwrap();
    expect(1.0);
    let other = PushedCredentials::new("others");
    expect(2.0);
    drop(other);
    expect(1.0);
    drop(credentials);
    expect(0.0);
}
