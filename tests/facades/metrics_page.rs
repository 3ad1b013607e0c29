//! The metrics of the operator's page: exactly those that exist, each with an alert that uses existing names and labels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use metrics_util::debugging::{DebuggingRecorder, Snapshotter};
use zmq_auth::{Authenticator, KeyDirectory, SocketExt, zmq};

const PAGE: &str = include_str!("../../src/operation.md");
const DEADLINE: Duration = Duration::from_secs(60);

/// Name, labels, alert.
fn page() -> BTreeMap<String, (BTreeSet<String>, String)> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `zmq_auth_"));
    let code = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [name, labels, _, alert] = cells[..] else { panic!("{row}: four cells") };
        let [name, alert] = [name, alert].map(|cell| code(cell).join(" "));
        (name, (code(labels).into_iter().collect(), alert))
    })
    .collect()
}

/// The names that were recorded, with their labels.
fn recorded(snapshots: &Snapshotter) -> BTreeMap<String, BTreeSet<String>> {
    let all = snapshots.snapshot().into_vec();
    all.into_iter()
        .map(|(key, ..)| {
            let labels = key.key().labels().map(|label| label.key().to_owned()).collect();
            (key.key().name().to_owned(), labels)
        })
        .collect()
}

#[test]
fn the_page_has_every_metric_and_its_alert_asks_for_it() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    recorder.install().unwrap();
    let page = page();

    let auth = Authenticator::new();
    auth.handle_zap_message(&["1.0"]);
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("keys")).unwrap();
    let keys = KeyDirectory::open(dir.path().join("keys")).unwrap();
    std::fs::remove_dir(dir.path().join("keys")).unwrap();
    keys.reload().unwrap_err();

    // One callback at a time, which doesn't return: others are refused, it times out, is replaced, and is left behind.
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    auth.limit_callbacks(1, Duration::from_millis(100)).unwrap();
    auth.configure_plain_callback("shop", move |_, _, _| released.lock().unwrap().recv().is_ok()).unwrap();
    let context = zmq::Context::new();
    let running = auth.start(&context).unwrap();
    let mut server = context.socket(zmq::REP).unwrap();
    server.plain_server("shop").unwrap();
    server.bind("tcp://127.0.0.1:*").unwrap();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let mut client = context.socket(zmq::REQ).unwrap();
            client.plain_client("alice", "correct horse").unwrap();
            client.set_linger(0).unwrap();
            client.connect(&server.endpoint().unwrap()).unwrap();
            client
        })
        .collect();
    let start = Instant::now();
    let counters = || auth.counters();
    while counters().calls_refused == 0 || counters().calls_timed_out == 0 || counters().calls_replaced == 0 {
        assert!(start.elapsed() < DEADLINE, "{:?}", counters());
        std::thread::yield_now();
    }
    running.stop().unwrap();
    drop((clients, server, release));

    let recorded = recorded(&snapshots);
    assert_eq!(page.keys().collect::<Vec<_>>(), recorded.keys().collect::<Vec<_>>());
    for (name, (labels, alert)) in &page {
        assert_eq!(labels, &recorded[name], "{name}");
        let selectors = selectors(alert);
        assert!(selectors.iter().any(|(selected, _)| selected == name), "{name}: {alert}");
        for (selected, matched) in selectors {
            let (labels, _) = page.get(&selected).unwrap_or_else(|| panic!("{name}: no metric {selected}"));
            assert!(matched.is_subset(labels), "{name}: {alert}");
        }
    }
}

/// The metrics that a PromQL expression uses, with the labels in braces after them.
fn selectors(alert: &str) -> Vec<(String, BTreeSet<String>)> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut found = Vec::new();
    for start in alert.match_indices("zmq_auth_").map(|(start, _)| start) {
        let rest = &alert[start..];
        let (name, rest) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
        let braces = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(braces, _)| braces);
        let labels =
            braces.split(',').filter_map(|matcher| matcher.split_once('=')).map(|(label, _)| label.trim().to_owned());
        found.push((name.to_owned(), labels.collect()));
    }
    found
}
