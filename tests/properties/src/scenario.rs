//! Policies and requests made from bytes, from small sets, so that they match often.

use arbitrary::{Result, Unstructured};

use crate::change::{Change, DIRECTORY};
use crate::model::address::Ipc;

/// What happens.
#[derive(Debug, Clone)]
pub enum Step {
    Change(Change),
    Ask(Vec<Vec<u8>>),
}

/// The steps that the bytes stand for, until they are used up.
pub fn steps(bytes: &[u8]) -> Vec<Step> {
    let (mut u, mut steps) = (Unstructured::new(bytes), Vec::new());
    while !u.is_empty() && steps.len() < 64 {
        if u.ratio(1, 3).unwrap_or_default() {
            let Ok(change) = change(&mut u, &steps) else { continue };
            let question = aimed_at(&change);
            // Before and after, to show whether the change made a difference.
            steps.extend(question.clone().map(Step::Ask));
            steps.push(Step::Change(change));
            steps.extend(question.map(Step::Ask));
        } else {
            steps.extend(request(&mut u).map(Step::Ask));
        }
    }
    steps
}

const USERS: [&str; 6] = ["alice", "bob", "carol", "dave", "é", "f\0g"];
const PASSWORDS: [&str; 4] = ["secret", "Secret", "secret ", "s\0cret"];
const DOMAINS: [&str; 8] = ["a", "a", "b", "*", "*", "A", "", "a\0"];
const MECHANISMS: [&str; 6] = ["NULL", "PLAIN", "CURVE", "GSSAPI", "curve", ""];
const NETS: [&str; 8] =
    ["10.0.0.0/8", "10.0.0.1", "0.0.0.0/0", "::/0", "fe80::/10", "::ffff:10.0.0.0/104", "2001:db8::/32", "::1"];
const ADDRESSES: [&str; 12] = [
    "10.0.0.1",
    "10.0.0.2",
    "::ffff:10.0.0.1",
    "::ffff:a00:1",
    "192.0.2.1",
    "::1",
    "fe80::1%eth0",
    "fe80::1%",
    "10.0.0.1%eth0",
    "2001:db8::7",
    "localhost:1000:100:1",
    "localhost:0:0:x",
];

fn change(u: &mut Unstructured<'_>, before: &[Step]) -> Result<Change> {
    if u.ratio(1, 4)?
        && let Some(change) = undone(u, before)?
    {
        return Ok(change);
    }
    let domain = domain(u)?;
    Ok(match u.int_in_range(0..=19)? {
        0 => Change::Plain(domain, some(u, |u| Ok((name(u)?, password(u)?)))?),
        1 => Change::PlainCallback(domain),
        2 => Change::CurveAny(domain),
        3 => Change::CurveDirectory(domain),
        4 => Change::CurveStore(domain),
        5 => Change::CurveKeys(domain, some(u, key)?),
        6 => Change::CurveCallback(domain),
        7 => Change::AddKey(domain, key(u)?),
        8 => Change::RemoveKey(domain, key(u)?),
        9 => Change::Gssapi(domain),
        10 => Change::RemoveDomain(domain),
        // With an allow list, most requests are refused.
        11..=16 if u.ratio(1, 3)? => Change::SetAddresses(Vec::new(), Vec::new()),
        11..=16 if u.ratio(1, 2)? => Change::SetIpc(Vec::new(), Vec::new()),
        11 => Change::Allow(some(u, rule)?),
        12 => Change::Deny(some(u, rule)?),
        13 => Change::SetAddresses(some(u, rule)?, some(u, rule)?),
        14 => Change::AllowIpc(some(u, ipc)?),
        15 => Change::DenyIpc(some(u, ipc)?),
        16 => Change::SetIpc(some(u, ipc)?, some(u, ipc)?),
        17 => Change::MapNames,
        18 => Change::Mark,
        // After it, little can be distinguished.
        _ if u.ratio(1, 8)? => Change::Limit,
        _ => Change::RemoveDomain(domain),
    })
}

/// Undoes an earlier change.
fn undone(u: &mut Unstructured<'_>, before: &[Step]) -> Result<Option<Change>> {
    let given = before.iter().filter_map(|step| match step {
        Step::Change(Change::AddKey(domain, key)) => Some((domain, Some(*key))),
        Step::Change(Change::CurveKeys(domain, keys)) => Some((domain, keys.last().copied())),
        Step::Change(Change::CurveDirectory(domain) | Change::CurveStore(domain)) => Some((domain, Some(DIRECTORY[1]))),
        Step::Change(Change::Plain(domain, _) | Change::CurveAny(domain) | Change::Gssapi(domain)) => {
            Some((domain, None))
        }
        _ => None,
    });
    let given: Vec<_> = given.collect();
    if given.is_empty() {
        return Ok(None);
    }
    let (domain, key) = *u.choose(&given)?;
    Ok(Some(match key {
        Some(key) if u.ratio(3, 4)? => Change::RemoveKey(domain.clone(), key),
        _ => Change::RemoveDomain(domain.clone()),
    }))
}

/// A request that the change affects.
fn aimed_at(change: &Change) -> Option<Vec<Vec<u8>>> {
    let curve = |domain: &String, key: [u8; 32]| Some((domain.clone(), ADDRESSES[0], "CURVE", vec![key.to_vec()]));
    let null = |address| Some((String::new(), address, "NULL", Vec::new()));
    let (domain, address, mechanism, credentials) = match change {
        Change::Plain(domain, users) => {
            let (user, password) = users.last()?;
            let credentials = vec![user.clone().into_bytes(), password.clone()];
            Some((domain.clone(), ADDRESSES[0], "PLAIN", credentials))
        }
        Change::PlainCallback(domain) => {
            Some((domain.clone(), ADDRESSES[0], "PLAIN", vec![USERS[0].into(), PASSWORDS[0].into()]))
        }
        Change::CurveAny(domain) | Change::CurveCallback(domain) => curve(domain, [5; 32]),
        Change::CurveDirectory(domain) | Change::CurveStore(domain) => curve(domain, DIRECTORY[1]),
        Change::CurveKeys(domain, keys) => curve(domain, *keys.last()?),
        Change::AddKey(domain, key) | Change::RemoveKey(domain, key) => curve(domain, *key),
        Change::Gssapi(domain) => Some((domain.clone(), ADDRESSES[0], "GSSAPI", vec![USERS[0].into()])),
        Change::RemoveDomain(domain) => curve(domain, DIRECTORY[1]),
        Change::Allow(_) | Change::Deny(_) | Change::SetAddresses(..) => null(ADDRESSES[2]),
        Change::AllowIpc(_) | Change::DenyIpc(_) | Change::SetIpc(..) => null(ADDRESSES[10]),
        Change::MapNames | Change::Mark | Change::Limit => curve(&DOMAINS[0].to_owned(), DIRECTORY[1]),
    }?;
    let frames = [b"1.0".to_vec(), b"1".to_vec(), domain.into(), address.into(), Vec::new(), mechanism.into()];
    Some(frames.into_iter().chain(credentials).collect())
}

fn request(u: &mut Unstructured<'_>) -> Result<Vec<Vec<u8>>> {
    let mechanism = *u.choose(&MECHANISMS)?;
    let domain = domain(u)?.into_bytes();
    let mut frames = vec![b"1.0".to_vec(), id(u)?, domain, address(u)?, Vec::new(), mechanism.into()];
    match mechanism {
        "PLAIN" if u.ratio(1, 16)? => frames.extend([bytes(u)?, password(u)?]),
        "PLAIN" => frames.extend([name(u)?.into_bytes(), password(u)?]),
        "CURVE" => frames.push(key(u)?.to_vec()),
        "GSSAPI" => frames.push(name(u)?.into_bytes()),
        _ => {}
    }
    if u.ratio(1, 4)? {
        spoil(u, &mut frames)?;
    }
    Ok(frames)
}

/// One thing that libzmq wouldn't send.
fn spoil(u: &mut Unstructured<'_>, frames: &mut Vec<Vec<u8>>) -> Result<()> {
    let at = u.choose_index(frames.len())?;
    match u.int_in_range(0..=6)? {
        0 => frames.truncate(at),
        1 => frames.push(bytes(u)?),
        2 => frames.insert(at, bytes(u)?),
        3 => drop(frames.remove(at)),
        4 => frames[at] = bytes(u)?,
        5 => drop(frames[at].pop()),
        _ => frames[at].push(u.arbitrary()?),
    }
    Ok(())
}

/// Up to three.
fn some<'a, T>(u: &mut Unstructured<'a>, one: fn(&mut Unstructured<'a>) -> Result<T>) -> Result<Vec<T>> {
    (0..u.int_in_range(0..=3)?).map(|_| one(u)).collect()
}

fn domain(u: &mut Unstructured<'_>) -> Result<String> {
    edge(u, &DOMAINS)
}

fn name(u: &mut Unstructured<'_>) -> Result<String> {
    edge(u, &USERS)
}

fn password(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    if u.ratio(1, 8)? { bytes(u) } else { Ok(edge(u, &PASSWORDS)?.into_bytes()) }
}

/// One of these, or rarely one at the limits of a length.
fn edge(u: &mut Unstructured<'_>, usual: &[&str]) -> Result<String> {
    Ok(match u.int_in_range(0..=31)? {
        0 => "x".repeat(255),
        1 => "x".repeat(256),
        2 => String::new(),
        3 => u.arbitrary::<char>()?.into(),
        _ => (*u.choose(usual)?).into(),
    })
}

fn key(u: &mut Unstructured<'_>) -> Result<[u8; 32]> {
    Ok(if u.ratio(1, 2)? { *u.choose(&DIRECTORY)? } else { [u.int_in_range(0..=7)?; 32] })
}

fn id(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    if u.ratio(1, 8)? { bytes(u) } else { Ok(b"1".to_vec()) }
}

fn bytes(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = u.int_in_range(0..=40)?.min(u.len());
    Ok(u.bytes(length)?.into())
}

fn rule(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(match u.int_in_range(0..=7)? {
        0 => format!("10.{}.0.{}/{}", u.int_in_range(0..=1)?, u.int_in_range(0..=3)?, u.int_in_range(0..=34)?),
        1 => format!("::ffff:10.0.0.{}/{}", u.int_in_range(0..=3)?, u.int_in_range(90..=130)?),
        2 => format!("2001:db8::{:x}/{}", u.int_in_range(0..=16)?, u.int_in_range(0..=130)?),
        3 => edge(u, &ADDRESSES)?,
        _ => edge(u, &NETS)?,
    })
}

fn address(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(match u.int_in_range(0..=7)? {
        0 => format!("10.{}.0.{}", u.int_in_range(0..=1)?, u.int_in_range(0..=3)?).into_bytes(),
        1 => format!("localhost:{}:{}:1", u.int_in_range(999..=1001)?, u.int_in_range(99..=101)?).into_bytes(),
        2 => format!("2001:db8::{:x}", u.int_in_range(0..=16)?).into_bytes(),
        3 if u.ratio(1, 4)? => bytes(u)?,
        _ => edge(u, &ADDRESSES)?.into_bytes(),
    })
}

fn ipc(u: &mut Unstructured<'_>) -> Result<Ipc> {
    Ok(match u.int_in_range(0..=2)? {
        0 => Ipc::Any,
        1 => Ipc::User(u.int_in_range(999..=1001)?),
        _ => Ipc::Group(u.int_in_range(99..=101)?),
    })
}
