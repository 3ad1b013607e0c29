//! The counters, through the `metrics` facade.

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use zmq_auth::Authenticator;

#[test]
fn answers_are_counted_by_status() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let auth = Authenticator::new();
        auth.handle_zap_message(&["1.0", "1", "d", "127.0.0.1", "", "NULL"]);
        auth.handle_zap_message(&["1.0", "1", "d", "127.0.0.1", "", "WHAT"]);
        auth.handle_zap_message(&["1.0", "1", "d", "127.0.0.1", "", "WHAT"]);
        auth.handle_zap_message(&["1.0", "1", "e", "127.0.0.1", "", "CURVE", &"k".repeat(32)]);
        auth.handle_zap_message(&["1.0"]);
    });
    let mut counted: Vec<(String, u64)> = snapshots
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let labels: String =
                key.key().labels().map(|label| format!(" {}={}", label.key(), label.value())).collect();
            let DebugValue::Counter(count) = value else { panic!("a counter") };
            (format!("{}{labels}", key.key().name()), count)
        })
        .collect();
    counted.sort();
    let expected = [
        ("zmq_auth_answers_total status=200 mechanism=NULL domain=d", 1),
        ("zmq_auth_answers_total status=400 mechanism=CURVE domain=e", 1),
        ("zmq_auth_answers_total status=400 mechanism=other domain=d", 2),
        ("zmq_auth_dropped_total", 1),
    ];
    assert_eq!(counted, expected.map(|(name, count)| (name.to_owned(), count)));

    // However many domains there are, the labels are bounded.
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || {
        let auth = Authenticator::new();
        (0..300).for_each(|number| {
            auth.handle_zap_message(&["1.0", "1", &format!("domain {number}"), "127.0.0.1", "", "NULL"]);
        });
    });
    let labels: Vec<_> = recorder.snapshotter().snapshot().into_vec();
    assert_eq!(labels.len(), 100 - 2 + 1, "those of d and e are known, and all others are one");
}
