//! Micro-benchmarks: a decision by mechanism and size of store, address rules, Z85, certificates.
//!
//! ```sh
//! cargo bench -p zmq-auth-benches --bench inside                      # all, some minutes
//! cargo bench -p zmq-auth-benches --bench inside -- decide/curve      # what has this in its name
//! ```
//!
//! A decision is one `handle_zap_message`, including parsing and the reply's frames. Unlike in the handler, it
//! allocates its answer. Each benchmark cycles through many requests, half of them accepted, so that caches and branch
//! predictors don't learn one by heart. Without Cargo's `--bench`, as in `cargo test --benches`, everything runs once.

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use zmq_auth::{Authenticator, CURVE_ALLOW_ANY, Certificate, KeyDirectory, PublicKey, SecretKey, load_certificate};
use zmq_auth_benches::random::SplitMix64;

const SIZES: [usize; 3] = [1, 1_000, 100_000];
const REQUESTS: usize = 16_384;

/// The frames of a request, from the version on.
type Request = Vec<Vec<u8>>;

fn request(address: &str, mechanism: &str, credentials: &[&[u8]]) -> Request {
    let head = ["1.0", "1", "lab", address, "", mechanism].map(|frame| frame.as_bytes().to_vec());
    head.into_iter().chain(credentials.iter().map(|frame| frame.to_vec())).collect()
}

/// Decides one request after the other. Panics if the wrong number of them is accepted.
#[track_caller]
fn decide(c: &mut Criterion, id: BenchmarkId, auth: &Authenticator, requests: &[Request], allowed: usize) {
    let is_allowed = |request: &&Request| auth.handle_zap_message(request).unwrap()[2] == b"200";
    assert_eq!(requests.iter().filter(is_allowed).count(), allowed);
    let mut requests = requests.iter().cycle();
    c.bench_with_input(id, auth, |b, auth| b.iter(|| auth.handle_zap_message(black_box(requests.next().unwrap()))));
}

fn null(c: &mut Criterion) {
    let requests = [request("127.0.0.1", "NULL", &[])];
    decide(c, BenchmarkId::new("decide", "null"), &Authenticator::new(), &requests, 1);
}

/// PLAIN requests with right and wrong passwords and unknown users.
fn plain(c: &mut Criterion) {
    for users in SIZES {
        let name = |n: usize| format!("user-{n:07}");
        let password = |n: usize| format!("password of {n:07}");
        let auth = Authenticator::new();
        auth.configure_plain("lab", (0..users).map(|n| (name(n), password(n)))).unwrap();
        let mut numbers = SplitMix64(2);
        let requests: Vec<Request> = (0..REQUESTS)
            .map(|n| {
                let user = numbers.below(users);
                let (user, password) = match n % 4 {
                    0 | 1 => (name(user), password(user)),
                    2 => (name(user), password(user + 1)),
                    _ => (name(user + users), password(user)),
                };
                request("127.0.0.1", "PLAIN", &[user.as_bytes(), password.as_bytes()])
            })
            .collect();
        decide(c, BenchmarkId::new("decide/plain", users), &auth, &requests, REQUESTS / 2);
    }
}

/// CURVE requests of members and strangers in turn.
fn curve_requests(numbers: &mut SplitMix64, keys: &[[u8; 32]]) -> Vec<Request> {
    (0..REQUESTS)
        .map(|n| if n % 2 == 0 { keys[numbers.below(keys.len())] } else { numbers.bytes() })
        .map(|key| request("127.0.0.1", "CURVE", &[&key]))
        .collect()
}

fn curve(c: &mut Criterion) {
    for size in SIZES {
        let mut numbers = SplitMix64(3);
        let keys: Vec<_> = (0..size).map(|_| numbers.bytes()).collect();
        let auth = Authenticator::new();
        auth.configure_curve_keys("lab", keys.iter().copied().map(PublicKey::from)).unwrap();
        decide(c, BenchmarkId::new("decide/curve", size), &auth, &curve_requests(&mut numbers, &keys), REQUESTS / 2);
    }
    let mut numbers = SplitMix64(4);
    let keys: Vec<_> = (0..1_000).map(|_| numbers.bytes()).collect();
    let files = tempfile::tempdir().unwrap();
    for (n, key) in keys.iter().enumerate() {
        Certificate::from(PublicKey::from(*key)).save_public(files.path().join(format!("{n}.key"))).unwrap();
    }
    let auth = Authenticator::new();
    auth.configure_curve_store("lab", &KeyDirectory::open(files.path()).unwrap()).unwrap();
    decide(
        c,
        BenchmarkId::new("decide/curve directory", 1_000),
        &auth,
        &curve_requests(&mut numbers, &keys),
        REQUESTS / 2,
    );
    auth.configure_curve("lab", CURVE_ALLOW_ANY).unwrap();
    decide(c, BenchmarkId::new("decide/curve", "any"), &auth, &curve_requests(&mut numbers, &keys), REQUESTS);
}

/// NULL requests under allow rules, half of them from an allowed address. All rules are in 10.0.0.0/8 or fd00::/8, the
/// other requests come from elsewhere. Subnets have various lengths. Compare with `decide/null`, which has no rule.
fn addresses(c: &mut Criterion) {
    for version in ["v4", "v6"] {
        for kind in ["single", "subnet"] {
            for size in SIZES {
                let mut numbers = SplitMix64(5);
                let hosts: Vec<u32> = (0..size).map(|_| numbers.next_u64() as u32 & 0x00FF_FFFF).collect();
                let address = |outside: bool, host: u32| match version {
                    "v4" => Ipv4Addr::from(if outside { 192 << 24 } else { 10 << 24 } | host).to_string(),
                    _ => Ipv6Addr::from(if outside { 0x2001 << 112 } else { 0xFD00 << 112 } | u128::from(host))
                        .to_string(),
                };
                let whole = if version == "v4" { 32 } else { 128 };
                let rules: Vec<String> = hosts
                    .iter()
                    .map(|host| match kind {
                        "single" => address(false, *host),
                        _ => format!("{}/{}", address(false, *host), whole - 1 - numbers.below(8)),
                    })
                    .collect();
                let auth = Authenticator::new();
                // Subnets with bits behind the prefix cause warnings, but there is no logger.
                auth.allow(&rules).unwrap();
                let requests: Vec<Request> = (0..REQUESTS)
                    .map(|n| request(&address(n % 2 == 1, hosts[numbers.below(size)]), "NULL", &[]))
                    .collect();
                let id = BenchmarkId::new(format!("decide/address {version} {kind}"), size);
                decide(c, id, &auth, &requests, REQUESTS / 2);
            }
        }
    }
}

fn z85(c: &mut Criterion) {
    let key = PublicKey::from(SplitMix64(6).bytes());
    let secret = SecretKey::from(SplitMix64(7).bytes());
    let text = key.to_string();
    c.bench_function("z85/encode", |b| b.iter(|| black_box(&key).to_string()));
    c.bench_function("z85/encode secret, wiped", |b| b.iter(|| black_box(&secret).to_z85()));
    c.bench_function("z85/decode", |b| b.iter(|| black_box(&text).parse::<PublicKey>()));
    c.bench_function("z85/refuse", |b| b.iter(|| black_box(&text[1..]).parse::<PublicKey>()));
}

/// Loading certificates, including opening and reading the file.
fn certificates(c: &mut Criterion) {
    let files = tempfile::tempdir().unwrap();
    let mut certificate = Certificate::from(PublicKey::from(SplitMix64(8).bytes()));
    let bare = files.path().join("bare.key");
    certificate.save_public(&bare).unwrap();
    for n in 0..8 {
        certificate = certificate.with_metadata(format!("name-{n}"), "a value of some length").unwrap();
    }
    let full = files.path().join("full.key");
    certificate.save_public(&full).unwrap();
    for (name, file) in [("key alone", bare), ("8 lines of metadata", full)] {
        let id = BenchmarkId::new("certificate/read only", name);
        c.bench_with_input(id, &file, |b, file| b.iter(|| std::fs::read(file).unwrap()));
        let id = BenchmarkId::new("certificate/load", name);
        c.bench_with_input(id, &file, |b, file| b.iter(|| load_certificate(file).unwrap()));
    }
}

criterion_group!(inside, null, plain, curve, addresses, z85, certificates);
criterion_main!(inside);
