//! `[[gate]]` tables, several gates in one process, signals, readiness and the unit file.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use zmq_auth::zmq;

use super::{DEADLINE, Gate, Place, Process, frames};
use crate::run::{program, run};

fn add(place: &Place, tables: &str) {
    let policy = fs::read_to_string(place.path("policy.toml")).unwrap();
    fs::write(place.path("policy.toml"), format!("{policy}\n{tables}")).unwrap();
}

fn table(name: &str, kind: &str, back: &str, rest: &str) -> String {
    format!(
        "[[gate]]\nname = \"{name}\"\nfront = \"tcp://127.0.0.1:*\"\nback = \"{back}\"\nkind = \"{kind}\"\ndomain = \
         \"lab\"\nkey = \"server.key_secret\"\n{rest}\n"
    )
}

#[test]
fn several_gates_run_in_one_process_and_end_together() {
    let (place, context) = (Place::new(), zmq::Context::new());
    add(&place, &table("orders", "reply", &place.ipc("orders.sock"), "sender_frame = true\n"));
    add(&place, &table("log", "collect", &place.ipc("log.sock"), ""));
    let gate = place.gate_with(&[]);
    let log = gate.process.event("Listening");
    assert_eq!((log["gate"].as_str(), log["back"].as_str()), (Some("log"), Some(&*place.ipc("log.sock"))));
    let services = [(zmq::REP, "orders.sock"), (zmq::PULL, "log.sock")].map(|(socket_type, file)| {
        let service = context.socket(socket_type).unwrap();
        service.set_rcvtimeo(super::DEADLINE_MS).unwrap();
        service.bind(&place.ipc(file)).unwrap();
        service
    });
    let alice = place.connected(&context, zmq::REQ, "alice", &gate);
    let bob = place.client(&context, zmq::PUSH, "bob");
    bob.connect(log["front"].as_str().unwrap()).unwrap();
    alice.send("order", 0).unwrap();
    bob.send("line", 0).unwrap();
    assert_eq!(frames(&services[0])[1], "order");
    assert_eq!(frames(&services[1]), ["line"]);
    let passed = |gate: &Gate| gate.metric("zmq_auth_gate_messages_total", "gate=\"log\",to=\"service\"");
    gate.until("it is counted", |gate| passed(gate) == 1);
    assert_eq!(gate.metric("zmq_auth_answers_total", "status=\"200\",mechanism=\"CURVE\",domain=\"lab\""), 2);
    services[0].send("noted", 0).unwrap();
    assert_eq!(frames(&alice), ["noted"]);
    gate.stop();
}

/// A pending request gets its reply before the gate ends; one without a reply delays the end only for the allowed time.
#[test]
fn it_ends_when_what_is_under_way_is_through() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::DEALER);
    let mut gate = place.gate("reply", &["--drain", "60s"]);
    let alice = place.connected(&context, zmq::DEALER, "alice", &gate);
    alice.send_multipart(["", "under way"], 0).unwrap();
    let request = service.recv_multipart(0).unwrap();
    gate.process.signal(Signal::SIGTERM);
    gate.process.event("Stopping");
    assert!(gate.process.child.try_wait().unwrap().is_none(), "it waits for the reply");
    service.send_multipart(request, 0).unwrap();
    assert_eq!(frames(&alice), ["", "under way"]);
    assert!(gate.process.ended().success());

    let mut gate = place.gate("reply", &["--drain", "300ms"]);
    let alice = place.connected(&context, zmq::DEALER, "alice", &gate);
    alice.send_multipart(["", "never answered"], 0).unwrap();
    service.recv_multipart(0).unwrap();
    let stopped = std::time::Instant::now();
    gate.process.signal(Signal::SIGTERM);
    assert!(gate.process.ended().success());
    assert!(stopped.elapsed() >= std::time::Duration::from_millis(300), "{:?}", stopped.elapsed());
}

#[test]
fn a_hangup_reads_the_policy_again_and_a_bad_one_changes_nothing() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::REP);
    let gate = place.gate("reply", &[]);
    let alice = place.connected(&context, zmq::REQ, "alice", &gate);
    let ask = || {
        alice.send("still there?", 0).unwrap();
        frames(&service);
        service.send("yes", 0).unwrap();
        assert_eq!(frames(&alice), ["yes"]);
    };
    ask();
    let good = fs::read_to_string(place.path("policy.toml")).unwrap();
    fs::write(place.path("policy.toml"), "[domain.lab]\nnul = \"deny\"\n").unwrap();
    gate.process.signal(Signal::SIGHUP);
    gate.process.event("ReloadFailed");
    ask();
    fs::write(
        place.path("policy.toml"),
        good.replace("curve = ", "null = \"deny\"\ncurve = ").replace("clients", "nobody"),
    )
    .unwrap();
    fs::create_dir(place.path("nobody")).unwrap();
    gate.process.signal(Signal::SIGHUP);
    assert_eq!(gate.process.event("ClientDisconnected")["user_id"], "alice");
}

#[test]
fn mistakes_in_tables_are_told_with_their_line() {
    for (rest, says) in [
        ("kin = 1\n", ":7: in the table [[gate]] that begins here: unknown field `kin`"),
        ("plain = true\n", ":7: the mechanism of clients is one of key, plain and null"),
        ("sender_metadata = [\"team\"]\n", ":7: sender_metadata is for sender frames"),
        ("[[gate.allow]]\ntopics = [\"x\"]\n", ":7: only a gate of the kind publish has topics"),
    ] {
        let place = Place::new();
        add(&place, &table("orders", "reply", &place.ipc("app.sock"), rest));
        let outcome = run(place.directory.path(), &["gate", "policy.toml"]);
        assert!(outcome.code != 0 && outcome.stderr.contains(says), "{rest}: {}", outcome.stderr);
        if rest.starts_with("kin") {
            let lint = run(place.directory.path(), &["--json", "lint", "policy.toml"]).json();
            assert_eq!((&lint["problems"][0]["line"], &lint["problems"][0]["code"]), (&7.into(), &"bad-policy".into()));
        }
    }
    let place = Place::new();
    let outcome = run(place.directory.path(), &["gate", "policy.toml"]);
    assert!(outcome.code == 2 && outcome.stderr.contains("has no [[gate]] table"), "{}", outcome.stderr);
    add(&place, &table("one", "reply", &place.ipc("a.sock"), ""));
    add(&place, &table("one", "reply", &place.ipc("b.sock"), ""));
    let outcome = run(place.directory.path(), &["gate", "policy.toml"]);
    assert!(outcome.code == 2 && outcome.stderr.contains("two gates have the name one"), "{}", outcome.stderr);
}

#[test]
fn the_schema_has_the_tables() {
    let schema = run(Path::new("."), &["policy", "schema"]).json();
    let gate = &schema["properties"]["gate"]["items"];
    assert_eq!(gate["properties"]["front"]["type"], "string", "{gate}");
    assert_eq!(gate["additionalProperties"], false, "{gate}");
}

/// The gate tells systemd when it serves and when it stops.
#[test]
fn systemd_is_told_when_it_is_ready_and_when_it_ends() {
    let place = Place::new();
    let socket = UnixDatagram::bind(place.path("notify")).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let back = place.ipc("app.sock");
    let mut command = Command::new(program());
    command.args(["--json", "gate", "policy.toml", "--front", "tcp://127.0.0.1:*", "--back", &back, "--kind", "reply"]);
    command.args(["--domain", "lab", "--key", "server.key_secret"]).current_dir(place.directory.path());
    command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "1000000").env_remove("WATCHDOG_PID");
    let mut process = Process::start(command);
    let told = || {
        let mut buffer = [0; 256];
        let count = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).trim().to_owned()
    };
    assert_eq!(told(), "READY=1");
    let front = process.event("Listening")["front"].as_str().unwrap().to_owned();
    std::net::TcpStream::connect(front.trim_start_matches("tcp://")).unwrap();
    assert_eq!(told(), "WATCHDOG=1");
    process.signal(Signal::SIGTERM);
    let last = std::iter::repeat_with(told).find(|state| state != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert!(process.ended().success());
}

/// The unit file's options are options of the program.
#[test]
fn the_unit_file_starts_the_program_as_it_is() {
    let unit =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/gate/zmq-auth-gate.service"))
            .unwrap();
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).unwrap().to_owned();
    assert_eq!(value("Type"), "notify");
    let start = value("ExecStart");
    let arguments: Vec<&str> = start.split(' ').skip(1).collect();
    let place = Place::new();
    add(&place, &table("orders", "reply", &place.ipc("app.sock"), ""));
    let whole: Vec<String> = arguments
        .iter()
        .map(|argument| argument.replace("/etc/zmq-auth/policy.toml", "policy.toml").replace(":9100", ":0"))
        .collect();
    let mut command = Command::new(program());
    command.args(["--json"]).args(whole).current_dir(place.directory.path());
    let mut process = Process::start(command);
    process.event("Listening");
    process.signal(Signal::SIGTERM);
    assert!(process.ended().success());
}

#[test]
fn an_unread_front_end_is_no_reason_to_stop() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::REP);
    let gate = place.gate("reply", &[]);
    let Gate { mut process, front, metrics } = gate;
    // Its standard output isn't read any more.
    let (_, lines) = std::sync::mpsc::channel();
    process.lines = lines;
    let gate = Gate { process, front, metrics };
    for _ in 0..20 {
        let alice = place.connected(&context, zmq::REQ, "alice", &gate);
        alice.send("hello", 0).unwrap();
        assert_eq!(frames(&service), ["hello"]);
        service.send("there", 0).unwrap();
        assert_eq!(frames(&alice), ["there"]);
    }
    let mut gate = gate;
    gate.process.signal(Signal::SIGTERM);
    assert!(gate.process.child.wait().unwrap().success());
}
