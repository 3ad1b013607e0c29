//! The cases: each a policy, and requests that all get the same status.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use zmq_auth::{Authenticator, KeyDirectory, PublicKey, save_certificate};
use zmq_auth_benches::random::SplitMix64;

/// The number of different requests of a case: enough that the position of one in a hash table matters little.
const REQUESTS: usize = 500;
const USERS: usize = 1_000;
const ADDRESS: &str = "127.0.0.1";

/// A case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    set_up: fn(&mut SplitMix64) -> Result<Setup>,
}

/// The policy and the requests of a case.
struct Setup {
    authenticator: Authenticator,
    requests: Vec<Request>,
    status: &'static str,
    _files: Option<TempDir>,
}

/// The frames of a request after its delimiter.
type Request = Vec<Vec<u8>>;

impl Case {
    /// All cases, large ones last.
    pub(crate) fn all() -> Vec<Case> {
        fn case(name: &'static str, set_up: fn(&mut SplitMix64) -> Result<Setup>) -> Case {
            Case { name, set_up }
        }
        vec![
            case("NULL", null),
            case("NULL, IPv4 allowed by one of 1,000 rules", |numbers| addresses(numbers, Origin::Allowed)),
            case("NULL, IPv4 outside of 1,000 allow rules", |numbers| addresses(numbers, Origin::Outside)),
            case("NULL, IPv4 denied by one of 1,000 rules", |numbers| addresses(numbers, Origin::Denied)),
            case("NULL, IPv6 allowed by one of 1,000 rules", |numbers| addresses(numbers, Origin::AllowedIpv6)),
            case("PLAIN, right password", |_| plain(|n| (user(n), password(n)), "200")),
            case("PLAIN, wrong password", |_| plain(|n| (user(n), password(n + 1)), "400")),
            case("PLAIN, unknown user", |_| plain(|n| (user(n + USERS), password(n)), "400")),
            case("CURVE, any key", any_key),
            case("CURVE, member of 1 key", |numbers| keys(numbers, 1, true)),
            case("CURVE, stranger to 1 key", |numbers| keys(numbers, 1, false)),
            case("CURVE, member of a directory of 1,000", |numbers| directory(numbers, true)),
            case("CURVE, stranger to a directory of 1,000", |numbers| directory(numbers, false)),
            case("CURVE, member of 100,000 keys", |numbers| keys(numbers, 100_000, true)),
            case("CURVE, stranger to 100,000 keys", |numbers| keys(numbers, 100_000, false)),
        ]
    }

    pub(crate) fn named(name: &str) -> Result<Case> {
        Case::all().into_iter().find(|case| case.name == name).with_context(|| format!("no case {name:?}"))
    }

    /// Lets a handler decide this many requests, which are all queued before it starts, so that every run wakes up
    /// equally often.
    pub(crate) fn run(&self, decisions: usize) -> Result<()> {
        let setup = (self.set_up)(&mut SplitMix64(1))?;
        let context = zmq::Context::new();
        let socket = context.socket(zmq::DEALER)?;
        socket.set_linger(0)?;
        socket.set_sndhwm(0)?;
        socket.set_rcvhwm(0)?;
        // A missing answer is an error, but valgrind is slow.
        socket.set_rcvtimeo(120_000)?;
        socket.connect("inproc://zeromq.zap.01")?;
        for request in setup.requests.iter().cycle().take(decisions) {
            socket.send_multipart(request, 0)?;
        }
        let running = setup.authenticator.start(&context)?;
        for _ in 0..decisions {
            let reply = socket.recv_multipart(0).context("no answer")?;
            ensure!(reply.get(3).is_some_and(|status| status == setup.status.as_bytes()), "{}: {reply:?}", self.name);
        }
        running.stop()?;
        Ok(())
    }
}

fn request(domain: &str, address: &str, mechanism: &str, credentials: &[&[u8]]) -> Request {
    let head = ["", "1.0", "1", domain, address, "", mechanism].map(|frame| frame.as_bytes().to_vec());
    head.into_iter().chain(credentials.iter().map(|frame| frame.to_vec())).collect()
}

fn null(_: &mut SplitMix64) -> Result<Setup> {
    let requests = vec![request("lab", ADDRESS, "NULL", &[])];
    Ok(Setup { authenticator: Authenticator::new(), requests, status: "200", _files: None })
}

/// The origin of a client in an address case.
#[derive(Clone, Copy, PartialEq)]
enum Origin {
    Allowed,
    Outside,
    Denied,
    AllowedIpv6,
}

/// Rules: half single addresses, half subnets of all lengths from /16 to /28.
fn addresses(numbers: &mut SplitMix64, origin: Origin) -> Result<Setup> {
    let mut rules = Vec::new();
    let mut inside = Vec::new();
    for n in 0..1_000 {
        // All rules are in 10.0.0.0/8 and fd00::/8; every second one is a single address.
        let host = numbers.next_u64() as u32 & 0x00FF_FFFE;
        let prefix = 16 + numbers.below(13) as u32;
        let (ip, net) = match origin {
            Origin::AllowedIpv6 => (format!("fd00::{:x}:{:x}", host >> 16, host & 0xFFFF), 96 + prefix),
            _ => (Ipv4Addr::from(0x0A00_0000 | host).to_string(), prefix),
        };
        rules.push(if n % 2 == 0 { ip.clone() } else { format!("{ip}/{net}") });
        inside.push(ip);
    }
    let outside = || (0..1_000_u32).map(|n| Ipv4Addr::from(0xC000_0200 + n * 65_537).to_string()).collect();
    let authenticator = Authenticator::new();
    match origin {
        Origin::Denied => authenticator.deny(&rules)?,
        _ => authenticator.allow(&rules)?,
    }
    let from: Vec<String> = if origin == Origin::Outside { outside() } else { inside };
    let requests = from.iter().map(|address| request("lab", address, "NULL", &[])).collect();
    let status = if matches!(origin, Origin::Allowed | Origin::AllowedIpv6) { "200" } else { "400" };
    Ok(Setup { authenticator, requests, status, _files: None })
}

fn user(n: usize) -> String {
    format!("user-{n:05}")
}

fn password(n: usize) -> String {
    format!("password of {n:05}")
}

fn plain(credentials: impl Fn(usize) -> (String, String), status: &'static str) -> Result<Setup> {
    let authenticator = Authenticator::new();
    authenticator.configure_plain("shop", (0..USERS).map(|n| (user(n), password(n))))?;
    let request = |n| {
        let (user, password) = credentials(n);
        request("shop", ADDRESS, "PLAIN", &[user.as_bytes(), password.as_bytes()])
    };
    Ok(Setup { authenticator, requests: (0..REQUESTS).map(request).collect(), status, _files: None })
}

fn curve(authenticator: Authenticator, keys: &[[u8; 32]], member: bool, files: Option<TempDir>) -> Setup {
    let requests = keys.iter().map(|key| request("lab", ADDRESS, "CURVE", &[key])).collect();
    Setup { authenticator, requests, status: if member { "200" } else { "400" }, _files: files }
}

fn random_keys(numbers: &mut SplitMix64, count: usize) -> Vec<[u8; 32]> {
    (0..count).map(|_| numbers.bytes()).collect()
}

/// Members, spread evenly over the store, or strangers.
fn clients(numbers: &mut SplitMix64, stored: &[[u8; 32]], member: bool) -> Vec<[u8; 32]> {
    if !member {
        return random_keys(numbers, REQUESTS);
    }
    stored.iter().step_by((stored.len() / REQUESTS).max(1)).copied().collect()
}

fn any_key(numbers: &mut SplitMix64) -> Result<Setup> {
    let authenticator = Authenticator::new();
    authenticator.configure_curve("lab", zmq_auth::CURVE_ALLOW_ANY)?;
    Ok(curve(authenticator, &random_keys(numbers, REQUESTS), true, None))
}

fn keys(numbers: &mut SplitMix64, count: usize, member: bool) -> Result<Setup> {
    let stored = random_keys(numbers, count);
    let authenticator = Authenticator::new();
    authenticator.configure_curve_keys("lab", stored.iter().copied().map(PublicKey::from))?;
    Ok(curve(authenticator, &clients(numbers, &stored, member), member, None))
}

/// A watched directory, in which every second certificate has metadata.
fn directory(numbers: &mut SplitMix64, member: bool) -> Result<Setup> {
    let files = tempfile::tempdir()?;
    let stored = random_keys(numbers, 1_000);
    save_certificate(files.path().join("0.key"), &PublicKey::from(stored[0]), None)?;
    let text = std::fs::read_to_string(files.path().join("0.key"))?;
    for (n, key) in stored.iter().enumerate().skip(1) {
        let text = text.replace(&PublicKey::from(stored[0]).to_string(), &PublicKey::from(*key).to_string());
        let text = if n % 2 == 0 { text } else { text.replace("metadata\n", "metadata\n    role = \"reader\"\n") };
        std::fs::write(files.path().join(format!("{n}.key")), text)?;
    }
    let authenticator = Authenticator::new();
    authenticator.configure_curve_store("lab", &KeyDirectory::open(files.path())?)?;
    Ok(curve(authenticator, &clients(numbers, &stored, member), member, Some(files)))
}
