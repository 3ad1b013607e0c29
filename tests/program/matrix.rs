//! `zmq-auth matrix`, with peers without ZeroMQ (`peer.py`) that make mistakes on request.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rexpect::session::{Options, spawn_with_options};
use serde_json::Value;
use tempfile::TempDir;

use crate::python::python;
use crate::run::{Outcome, program, run};

const REPORTS: &str = r#"reports = ["server-handshake", "client-handshake", "user-id", "address"]"#;
const CAN: &str = r#"can = ["reload", "address-rules", "certificates", "put-off"]"#;

/// A directory that contains a directory of peers.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new(peers: &[(&str, &str)]) -> Self {
        let place = Place { directory: tempfile::tempdir().unwrap() };
        for (name, mistake) in peers {
            place.peer(name, &format!("command = {}\n", command(mistake)));
        }
        place
    }

    /// Writes the peer.toml of a peer.
    fn peer(&self, name: &str, rest: &str) {
        let directory = self.directory.path().join("tests/interop/peers").join(name);
        fs::create_dir_all(&directory).unwrap();
        let text = format!(
            "name = {name:?}\nstack = \"none\"\nversion = \"1\"\nroles = [\"server\", \"client\"]\n\
             mechanisms = [\"null\", \"plain\", \"curve\"]\n{REPORTS}\n{CAN}\n{rest}"
        );
        fs::write(directory.join("peer.toml"), text).unwrap();
    }

    fn list(&self, text: &str) -> PathBuf {
        let file = self.directory.path().join("tests/interop/stack_differences.toml");
        fs::write(&file, text).unwrap();
        file
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        run(self.directory.path(), &[&["matrix", "--jobs", "4"], arguments].concat())
    }

    #[track_caller]
    fn json(&self, arguments: &[&str], code: i32) -> Value {
        let outcome = self.run(&[&["--json"], arguments].concat());
        assert_eq!(outcome.code, code, "{}{}", outcome.stdout, outcome.stderr);
        outcome.json()
    }
}

/// The command of a peer as TOML.
fn command(mistake: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peer.py");
    let mistake = if mistake.is_empty() { String::new() } else { format!(", {mistake:?}") };
    format!("[{:?}, {script:?}{mistake}]", python())
}

#[track_caller]
fn texts(report: &Value, field: &str) -> Vec<String> {
    report[field].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The cells of a server and a client.
fn cells<'a>(report: &'a Value, server: &str, client: &str) -> Vec<&'a Value> {
    let cells = report["cells"].as_array().unwrap().iter();
    cells.filter(|cell| cell["server"] == server && cell["client"] == client).collect()
}

fn names<'a>(cells: &[&'a Value], field: &str) -> Vec<&'a str> {
    cells.iter().map(|cell| cell[field].as_str().unwrap()).collect()
}

#[test]
fn peers_without_mistakes_are_as_expected() {
    let place = Place::new(&[("rust", ""), ("alpha", ""), ("beta", "")]);
    let report = place.json(&[], 0);
    assert_eq!(texts(&report, "unexpected"), [""; 0], "{report}");
    assert_eq!(texts(&report, "gone"), [""; 0]);
    let peers: Vec<&str> = report["peers"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(peers, ["rust", "alpha", "beta"]);
    let pairs = ["allowed", "denied address", "allowed", "wrong credential", "allowed", "wrong credential"];
    assert_eq!(names(&cells(&report, "alpha", "beta"), "case"), pairs);
    let against_rust = cells(&report, "alpha", "rust");
    let wanted = [
        ("null", "allowed", "accepted"),
        ("null", "denied address", "refused"),
        ("null", "allowed address", "accepted"),
        ("plain", "allowed", "accepted"),
        ("plain", "wrong credential", "refused"),
        ("plain", "denied address", "refused"),
        ("plain", "allowed address", "accepted"),
        ("plain", "put off", "unsupported"),
        ("curve", "allowed", "accepted"),
        ("curve", "wrong credential", "refused"),
        ("curve", "denied address", "refused"),
        ("curve", "allowed address", "accepted"),
        ("curve", "wrong server key", "refused"),
        ("curve", "added", "accepted"),
        ("curve", "revoked", "refused"),
        ("curve", "put off", "unsupported"),
        ("curve", "keys made by rust", "accepted"),
        ("curve", "keys made by alpha", "accepted"),
        ("curve", "keys made by beta", "accepted"),
    ];
    let seen: Vec<_> = against_rust
        .iter()
        .map(|cell| <(_, _, _)>::from(["mechanism", "case", "outcome"].map(|field| cell[field].as_str().unwrap())))
        .collect();
    assert_eq!(seen, wanted);
    // 4 pairs without rust, each with a case of NULL, 3 of PLAIN and 9 of CURVE.
    assert_eq!(report["left_out"], 52);
    // Retry: 5 pairs with rust, of PLAIN and CURVE.
    assert_eq!(report["unsupported"], 10);

    let accepted = cells(&report, "alpha", "rust")[3];
    assert_eq!(accepted["server_said"]["user_id"], "alice", "{accepted}");
    assert_eq!(accepted["server_said"]["requests"], 1);
    assert_eq!(accepted["client_said"]["reply"], "world");
    let refused = cells(&report, "alpha", "rust")[4];
    assert_eq!(refused["server_said"]["handshakes"][0]["code"], 400, "{refused}");
    assert_eq!(refused["client_said"]["no_reply"], "denied");

    // Three makers, each with 6 certificates, read by three.
    assert_eq!(report["certificates"].as_array().unwrap().len(), 3 * 6 * (1 + 3));
}

#[test]
fn the_tables_are_for_people_and_for_pages() {
    let place = Place::new(&[("rust", ""), ("alpha", "")]);
    let text = place.run(&["--mechanism", "plain"]).ok();
    assert!(
        text.contains("PLAIN wrong credential\n  server \\ client  rust  alpha\n  rust             ok    ok\n"),
        "{text}"
    );
    assert!(text.contains("PLAIN, other cases, against rust\n"), "{text}");
    assert!(text.contains("2 peers of 1 stacks, "), "{text}");
    assert!(!text.contains("CURVE,") && !text.contains("NULL") && !text.contains("Certificates"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
    let markdown = place.run(&["--mechanism", "plain", "--markdown"]).ok();
    let table = "**PLAIN allowed**\n\n| server \\ client | rust | alpha |\n|---|---|---|\n| rust | ok | ok |\n| alpha | ok | ok |\n";
    assert!(markdown.contains(table), "{markdown}");
    assert!(markdown.contains("| alpha | denied 400 | denied 400, denied |"), "{markdown}");
}

#[test]
fn a_terminal_has_colours_and_a_progress_bar() {
    let place = Place::new(&[("rust", "")]);
    let mut command = Command::new(program());
    command.args(["matrix", "--mechanism", "null"]).current_dir(&place.directory);
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    let options = Options { timeout_ms: Some(60_000), ..Options::default() };
    let text = spawn_with_options(command, options).unwrap().exp_eof().unwrap();
    assert!(text.contains("\x1b[32mok\x1b[0m"), "{text}");
    assert!(text.contains("/3 "), "of three cells: {text}");
}

#[test]
fn a_server_that_accepts_everybody_is_found() {
    let place = Place::new(&[("rust", ""), ("alpha", "accepts-all")]);
    let report = place.json(&["--mechanism", "plain"], 1);
    let unexpected = texts(&report, "unexpected");
    let cell = "alpha server, rust client, plain, wrong credential";
    for says in [
        "server: a request of a refused client",
        "client: a reply in spite of the refusal",
        "server: handshake succeeded",
        "client: handshake succeeded",
    ] {
        assert!(unexpected.contains(&format!("{cell}: {says}")), "{unexpected:#?}");
    }
    assert!(unexpected.iter().all(|text| text.starts_with("alpha server")), "{unexpected:#?}");
    let text = place.run(&["--mechanism", "plain"]);
    assert_eq!(text.code, 1);
    assert!(text.stdout.contains("alpha            WRONG  WRONG"), "{}", text.stdout);
    assert!(text.stdout.contains("Not as expected:"), "{}", text.stdout);
}

#[test]
fn a_server_that_goes_by_old_keys_is_found_and_so_is_one_that_makes_up_a_user() {
    let place = Place::new(&[("rust", ""), ("alpha", "reloads-nothing"), ("beta", "other-user")]);
    let unexpected = texts(&place.json(&["--mechanism", "curve,null"], 1), "unexpected");
    for text in [
        "alpha server, rust client, curve, added: server: no request",
        "alpha server, rust client, curve, added: client: no reply (denied)",
        "alpha server, rust client, curve, revoked: server: a request of a refused client",
        "alpha server, rust client, curve, revoked: client: a reply in spite of the refusal",
        "beta server, rust client, null, allowed: server: a user id that nobody has shown",
        "beta server, rust client, curve, revoked: before the change: server: another user id",
    ] {
        assert!(unexpected.contains(&text.to_owned()), "{text}: {unexpected:#?}");
    }
    assert!(!unexpected.iter().any(|text| text.starts_with("rust server")), "{unexpected:#?}");
}

#[test]
fn a_difference_is_listed_or_an_error_and_one_that_is_gone_too() {
    let place = Place::new(&[("rust", ""), ("alpha", "other-user"), ("beta", "says-nothing")]);
    let only = ["--mechanism", "plain"];
    let unexpected = texts(&place.json(&only, 1), "unexpected");
    let wanted = ["server: another user id", "client: no handshake reported"];
    assert!(unexpected.iter().all(|text| wanted.iter().any(|wanted| text.ends_with(wanted))), "{unexpected:#?}");

    let other_user = "[[difference]]\nname = \"other-user\"\nsays = [\"server: another user id\"]\nservers = [\"alpha\"]\n\
                      mechanisms = [\"plain\"]\ncases = [\"allowed\", \"allowed address\"]\nreason = \"It was asked to.\"\n";
    let silent = "[[difference]]\nname = \"silent\"\nsays = [\"client: no handshake reported\"]\nclients = [\"not:rust\"]\n\
                  cases = [\"allowed\", \"wrong credential\", \"denied address\", \"allowed address\"]\nreason = \"It was asked to.\"\n";
    place.list(&format!("{other_user}{}", silent.replace("not:rust", "beta")));
    let report = place.json(&only, 0);
    assert_eq!(report["known"][0]["name"], "other-user", "{report}");
    assert_eq!(report["known"][0]["seen"], 4);
    let cell = cells(&report, "alpha", "rust")[0];
    assert!(cell["known"][0] == "other-user" && cell["is_explained"] == true, "{cell}");

    // alpha reports its handshakes, so it isn't silent as a client.
    place.list(&format!("{other_user}{silent}"));
    let gone = texts(&place.json(&only, 1), "gone");
    assert!(gone.contains(&"silent: not seen with rust server, alpha client, plain, allowed".into()), "{gone:#?}");
    assert!(gone.iter().all(|text| text.contains("alpha client")), "{gone:#?}");
    place.list(&format!("{other_user}{silent}sometimes = true\n"));
    place.json(&only, 0);

    // A server that accepts everybody may be a known difference, but the table shows it.
    let open = Place::new(&[("rust", ""), ("alpha", "accepts-all")]);
    open.list(
        "[[difference]]\nname = \"open\"\nsays = [\"server: a request of a refused client\", \"client: a reply in spite of \
         the refusal\", \"server: handshake succeeded\", \"client: handshake succeeded\"]\nservers = [\"alpha\"]\n\
         cases = [\"wrong credential\", \"denied address\"]\nreason = \"It was asked to.\"\n",
    );
    let text = open.run(&only).ok();
    assert!(text.contains("alpha            accepted  accepted"), "{text}");

    // Another list in addition.
    let own = place.list(silent).with_file_name("own.toml");
    fs::write(&own, other_user).unwrap();
    place.list(&silent.replace("not:rust", "beta"));
    place.json(&[&only[..], &["--differences", own.to_str().unwrap()]].concat(), 0);
}

#[test]
fn a_list_that_makes_no_sense_is_an_error() {
    let place = Place::new(&[("rust", "")]);
    let entry = "[[difference]]\nname = \"one\"\nsays = [\"client: an error\"]\nreason = \"It is so.\"\n";
    for (text, error) in [
        (entry.replace("It is so.", " "), "needs what it says, and a reason"),
        (format!("{entry}servers = [\"alfa\"]\n"), "unknown peer \"alfa\""),
        (format!("{entry}{entry}"), "two differences have this name"),
        (format!("{entry}server = [\"rust\"]\n"), "unknown field `server`"),
    ] {
        place.list(&text);
        let outcome = place.run(&[]);
        assert!(outcome.code == 1 && outcome.stderr.contains(error), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("stack_differences.toml"), "{}", outcome.stderr);
    }
}

#[test]
fn a_missing_peer_is_named_with_its_hint_and_can_be_installed() {
    let place = Place::new(&[("rust", "")]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peer.py");
    let script = script.display();
    let install = format!("mkdir -p {{target}} && cp '{script}' {{target}}");
    place.peer("alpha", &format!("command = [{:?}, \"{{target}}/peer.py\"]\ninstall = {install:?}\n", python()));
    let only = ["--mechanism", "null"];
    let report = place.json(&only, 0);
    assert!(report["peers"][1]["missing"].as_str().unwrap().contains("peer.py"), "{report}");
    assert_eq!(report["peers"][1]["hint"], "zmq-auth matrix --install --only alpha");
    assert!(place.run(&only).ok().contains("Missing peers:\n\n  alpha: it exited: exit status: 2"));

    for required in ["alpha", "all"] {
        let outcome = place.run(&[&only[..], &["--require", required]].concat());
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("required peers are missing:\n  alpha: "), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("zmq-auth matrix --install"), "{}", outcome.stderr);
    }
    let target = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    command.args(["matrix", "--json", "--install", "--require", "all", "--mechanism", "null"]);
    let outcome = command.current_dir(&place.directory).env("CARGO_TARGET_DIR", target.path()).output().unwrap();
    assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stderr));
    assert!(target.path().join("peer.py").exists());
}

#[test]
fn an_install_command_that_fails_says_why() {
    let place = Place::new(&[("rust", "")]);
    place.peer("alpha", &format!("command = {}\ninstall = \"echo no network >&2; exit 7\"\n", command("")));
    let outcome = place.run(&["--install", "--require", "alpha", "--mechanism", "null"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("alpha: no network"), "{}", outcome.stderr);
}

#[test]
fn a_peer_from_outside_says_itself_what_it_cannot_do() {
    let place = Place::new(&[("rust", "")]);
    let mine = format!("mine={} {}/peer.py no-reload", python().display(), env!("CARGO_MANIFEST_DIR"));
    let report = place.json(&["--peer", &mine, "--only", "rust,mine", "--mechanism", "curve"], 0);
    let revoked = cells(&report, "mine", "rust").into_iter().find(|cell| cell["case"] == "revoked").unwrap();
    assert_eq!(revoked["outcome"], "unsupported", "{revoked}");
    assert_eq!(revoked["why"], "server: it reads its keys once");
    let text = place.run(&["--peer", &mine, "--mechanism", "curve"]).ok();
    assert!(text.contains("can't"), "{text}");
}

#[test]
fn a_peer_that_fails_costs_its_cells_alone() {
    let place = Place::new(&[("rust", ""), ("alpha", "dies"), ("beta", "garbage")]);
    let report = place.json(&["--mechanism", "null"], 1);
    let unexpected = texts(&report, "unexpected");
    let dead = "rust server, alpha client, null, allowed: client: it exited: exit status: 3: it fell over";
    assert!(unexpected.contains(&dead.to_owned()), "{unexpected:#?}");
    // The escape sequence that it printed is gone.
    let garbage = unexpected.iter().find(|text| text.contains("beta client")).unwrap();
    assert!(garbage.contains("it prints something unexpected") && !garbage.contains('\x1b'), "{garbage}");
    assert!(unexpected.iter().all(|text| !text.contains("rust client")), "{unexpected:#?}");
    assert_eq!(cells(&report, "beta", "rust")[0]["outcome"], "accepted");
    assert_eq!(cells(&report, "rust", "alpha")[0]["outcome"], "failed");
}

#[test]
fn a_secret_file_that_others_can_read_is_found() {
    let place = Place::new(&[("rust", ""), ("alpha", "readable-secrets")]);
    let report = place.json(&["--mechanism", "curve"], 1);
    let unexpected = texts(&report, "unexpected");
    assert_eq!(unexpected.len(), 6, "{unexpected:#?}");
    assert_eq!(unexpected[0], "certificate made by alpha: maker: others can read the secret file");
    assert_eq!(report["certificates"].as_array().unwrap().iter().filter(|c| c["is_explained"] == false).count(), 6);
}

#[test]
fn wrong_use_is_reported() {
    let place = Place::new(&[("rust", "")]);
    for (arguments, code, error) in [
        (&["--only", "alfa"][..], 2, "unknown peer \"alfa\"\nKnown peers: rust. --peer adds another one."),
        (&["--require", "alfa"], 2, "unknown peer \"alfa\""),
        (&["--peer", "mine"], 2, "write NAME='COMMAND'"),
        (&["--peer", "rust=sh"], 2, "a peer named \"rust\" exists already"),
        (&["--mechanism", "gssapi"], 2, "possible values: null, plain, curve"),
        (&["--jobs", "0"], 2, "invalid value '0'"),
        (&["--peers", "missing"], 1, "missing: No such file or directory"),
        (&["--markdown", "--json"], 2, "cannot be used with"),
    ] {
        let outcome = run(place.directory.path(), &[&["matrix"], arguments].concat());
        assert_eq!((outcome.code, outcome.stdout.as_str()), (code, ""), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(error), "{arguments:?}: {}", outcome.stderr);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let outcome = run(elsewhere.path(), &["matrix"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("--peers DIRECTORY"), "{}", outcome.stderr);
    place.peer("odd", "command = [\"true\"]\nabilities = []\n");
    let outcome = place.run(&[]);
    assert!(outcome.code == 1 && outcome.stderr.contains("odd/peer.toml: "), "{}", outcome.stderr);
}
