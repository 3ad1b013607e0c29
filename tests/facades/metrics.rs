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
        auth.handle_zap_message(&["1.0"]);
    });
    let mut counted: Vec<(String, u64)> = snapshots
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let labels: String = key.key().labels().map(|label| format!(" {}", label.value())).collect();
            let DebugValue::Counter(count) = value else { panic!("a counter") };
            (format!("{}{labels}", key.key().name()), count)
        })
        .collect();
    counted.sort();
    let expected =
        [("zmq_auth_answers_total 200", 1), ("zmq_auth_answers_total 400", 2), ("zmq_auth_dropped_total", 1)];
    assert_eq!(counted, expected.map(|(name, count)| (name.to_owned(), count)));
}
