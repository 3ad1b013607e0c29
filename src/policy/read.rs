//! The reader of policy files: from text to sources that can be applied, or to a list of problems.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;

use super::format::{
    Addresses, Callbacks, Curve, Domain, IpcRuleText, Limits, NullText, Plain, PolicyText, UserIdText,
};
#[cfg(feature = "nats")]
use super::format::{Nats, OnStaleText};
use super::stores::Stores;
use crate::address::{IpcRule, parse_rule};
use crate::authenticator::{
    Authenticator, CallbackLimit, FailureLimit, PolicyContent, Sources, check_async_at_once, check_domain,
};
use crate::curve::{CurveSource, KeySet, UserId};
use crate::error::{Error, Result};
use crate::escape::Escaped;
use crate::keys::PublicKey;
use crate::null::{NullAccess, NullSource};
use crate::plain::{PasswordTable, PlainSource};
use crate::reload::Unread;
#[cfg(feature = "nats")]
use crate::{
    contact::{MAX_AGE as DEFAULT_MAX_AGE, OnStale},
    nats::{NatsBucket, NatsFollower},
};

/// The content of a policy file, ready to be applied.
pub(super) struct ReadPolicy {
    pub(super) content: PolicyContent,
    /// The largest message, in bytes.
    pub(super) message_size: Option<u64>,
    /// The stores that the file names.
    pub(super) stores: Stores,
    pub(super) tables: Tables,
    pub(super) has_clear_passwords: bool,
}

/// A short hash of each of the file's tables, by name, to detect which have changed.
pub(super) type Tables = BTreeMap<String, u64>;

/// A problem of a policy file, and its position.
pub(super) struct Problem {
    place: Option<(usize, usize)>,
    text: String,
    /// Whether something couldn't be read that may become readable later.
    pub(super) unread: Unread,
}

impl Problem {
    pub(super) fn into_error(self, path: &Path) -> Error {
        Error::PolicyFile { path: path.to_owned(), place: self.place, problem: self.text }
    }
}

/// Reads the file's text. Stores that are in `stores` are reused, others are opened. An `Err` has at least one problem:
/// only the first if the syntax is wrong, otherwise all in the order of the lines.
pub(super) fn read(
    bytes: &[u8],
    directory: &Path,
    stores: &Stores,
    hasher: &RandomState,
    authenticator: &Authenticator,
) -> Result<ReadPolicy, Vec<Problem>> {
    let nowhere = |text: &str| Problem { place: None, text: text.into(), unread: Unread::Nothing };
    let text = std::str::from_utf8(bytes).map_err(|_| vec![nowhere("is not UTF-8")])?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parsed: PolicyText = toml::from_str(text).map_err(|error| {
        let place = error.span().map(|span| place_of(text, span.start));
        vec![Problem { place, text: grammar_problem(error.message()), unread: Unread::Nothing }]
    })?;
    let tables = tables(&parsed, hasher);
    if tables.is_empty() {
        return Err(vec![nowhere(
            "configures nothing, so only NULL clients would be accepted: is the rest of it missing?",
        )]);
    }
    let mut reader = Reader {
        text,
        directory,
        known: stores,
        used: Stores::default(),
        authenticator,
        problems: Vec::new(),
        #[cfg(feature = "nats")]
        nats: &parsed.nats,
    };
    let (content, message_size) = reader.policy(&parsed);
    if !reader.problems.is_empty() {
        reader.problems.sort_by_key(|problem| problem.place);
        return Err(reader.problems);
    }
    let is_clear = |domain: &Spanned<Domain>| {
        domain.get_ref().plain.as_ref().is_some_and(|plain| plain.get_ref().clear_passwords.is_some())
    };
    let has_clear_passwords = parsed.domain.values().any(is_clear);
    Ok(ReadPolicy { content, message_size, stores: reader.used, tables, has_clear_passwords })
}

/// The parser's message without the value that it quotes, which may be a password.
fn grammar_problem(message: &str) -> String {
    let quotes_a_value = ["invalid type: ", "invalid value: ", "unknown variant "];
    if !quotes_a_value.iter().any(|start| message.starts_with(start)) {
        return Escaped(message.as_bytes()).to_string();
    }
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("invalid value; expected {expected}"),
        None => "invalid value".into(),
    }
}

/// The line and column of a byte, counted from 1.
fn place_of(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

fn tables(parsed: &PolicyText, hasher: &RandomState) -> Tables {
    let mut tables = Tables::new();
    let mut add = |name: String, hash: Option<u64>| tables.extend(hash.map(|hash| (name, hash)));
    add("addresses".into(), parsed.addresses.as_ref().map(|table| hasher.hash_one(table)));
    add("limits".into(), parsed.limits.as_ref().map(|table| hasher.hash_one(table)));
    add("revocation".into(), parsed.revocation.as_ref().map(|table| hasher.hash_one(table)));
    #[cfg(feature = "nats")]
    for (name, nats) in &parsed.nats {
        add(format!("nats.{name}"), Some(hasher.hash_one(nats)));
    }
    for (name, domain) in &parsed.domain {
        add(format!("domain.{}", name.get_ref()), Some(hasher.hash_one(domain)));
    }
    tables
}

struct Reader<'a> {
    text: &'a str,
    directory: &'a Path,
    known: &'a Stores,
    used: Stores,
    authenticator: &'a Authenticator,
    problems: Vec<Problem>,
    #[cfg(feature = "nats")]
    nats: &'a BTreeMap<String, Spanned<Nats>>,
}

impl Reader<'_> {
    fn problem(&mut self, span: Range<usize>, text: impl Into<String>) {
        let place = Some(place_of(self.text, span.start));
        self.problems.push(Problem { place, text: text.into(), unread: Unread::Nothing });
    }

    /// Returns the value, or records its problem.
    fn take<T>(&mut self, span: Range<usize>, value: Result<T>) -> Option<T> {
        value.map_err(|error| self.problem(span, error.to_string())).ok()
    }

    /// Returns the store, or records its problem, which may be temporary.
    fn take_store<T>(&mut self, span: Range<usize>, store: Result<T>) -> Option<T> {
        let error = match store {
            Ok(store) => return Some(store),
            Err(error) => error,
        };
        let (place, unread) = (Some(place_of(self.text, span.start)), Unread::of(&error).max(Unread::Something));
        self.problems.push(Problem { place, text: error.to_string(), unread });
        None
    }

    fn policy(&mut self, parsed: &PolicyText) -> (PolicyContent, Option<u64>) {
        let mut content = PolicyContent::default();
        if let Some(addresses) = &parsed.addresses {
            self.addresses(addresses, &mut content);
        }
        let message_size = parsed.limits.as_ref().and_then(|limits| self.limits(limits, &mut content));
        content.mark_clients = parsed.revocation.as_ref().is_some_and(|revocation| revocation.checks);
        for (name, domain) in &parsed.domain {
            if self.take(name.span(), check_domain(name.get_ref())).is_none() {
                continue;
            }
            let sources = self.domain(name.get_ref(), domain.get_ref());
            if !domain.get_ref().names_a_mechanism() {
                let what = "the domain names no mechanism, so \"*\" would decide: add null = \"deny\", or leave it out";
                self.problem(name.span(), what);
            }
            content.domains.insert(name.get_ref().clone(), sources);
        }
        (content, message_size)
    }

    fn addresses(&mut self, addresses: &Addresses, content: &mut PolicyContent) {
        const EMPTY: &str = "an empty allow list would refuse nobody: remove it, or list who is accepted";
        if let Some(list) = &addresses.allow {
            if list.get_ref().is_empty() {
                self.problem(list.span(), EMPTY);
            }
            content.allow = Some(self.rules(list.get_ref()));
        }
        content.deny = addresses.deny.as_ref().map(|list| self.rules(list));
        if let Some(list) = &addresses.allow_ipc {
            if list.get_ref().is_empty() {
                self.problem(list.span(), EMPTY);
            }
            content.allow_ipc = Some(ipc_rules(list.get_ref()));
        }
        content.deny_ipc = addresses.deny_ipc.as_deref().map(ipc_rules);
    }

    fn rules(&mut self, rules: &[Spanned<String>]) -> Vec<IpNet> {
        rules.iter().filter_map(|rule| self.take(rule.span(), parse_rule(rule.get_ref()))).collect()
    }

    fn limits(&mut self, limits: &Limits, content: &mut PolicyContent) -> Option<u64> {
        if let Some(failures) = &limits.failures {
            let table = failures.get_ref();
            let limit = FailureLimit::new(table.count, table.within.0, table.pause.0);
            content.failures = self.take(failures.span(), limit);
        }
        if let Some(callbacks) = &limits.callbacks {
            let Callbacks { at_once, async_at_once, deadline } = callbacks.get_ref();
            if at_once.is_some() || deadline.is_some() {
                let default = CallbackLimit::DEFAULT;
                let deadline: Duration = deadline.map_or(default.deadline, |deadline| deadline.0);
                let limit = CallbackLimit::new(at_once.unwrap_or(default.at_once), deadline);
                content.callbacks = self.take(callbacks.span(), limit);
            }
            content.async_callbacks =
                async_at_once.and_then(|at_once| self.take(callbacks.span(), check_async_at_once(at_once)));
        }
        let size = limits.message_size.as_ref()?;
        let bytes = size.get_ref().as_u64();
        if !(MIN_MESSAGE_SIZE..=i64::MAX.unsigned_abs()).contains(&bytes) {
            self.problem(size.span(), "must be 4 KiB (handshakes are messages too) to 8 EiB");
        }
        Some(bytes)
    }

    fn domain(&mut self, name: &str, domain: &Domain) -> Sources {
        let access = |text| match text {
            NullText::Allow => NullAccess::Allow,
            NullText::Deny => NullAccess::Deny,
        };
        Sources {
            null: domain.null.map(|text| NullSource::Access(access(text))),
            plain: domain.plain.as_ref().and_then(|plain| self.plain(name, plain)),
            curve: domain.curve.as_ref().and_then(|curve| self.curve(name, curve)),
            gssapi: domain.gssapi.as_ref().and_then(|accepted| self.gssapi(accepted)),
        }
    }

    fn gssapi(&mut self, accepted: &Spanned<bool>) -> Option<()> {
        if !accepted.get_ref() {
            self.problem(
                accepted.span(),
                "gssapi = false has no effect: \"*\" decides if the domain names nothing; remove it",
            );
        }
        accepted.get_ref().then_some(())
    }

    /// The follower of a bucket with keys or users.
    #[cfg(feature = "nats")]
    fn follower(
        &mut self,
        domain: &str,
        cluster: &Spanned<String>,
        bucket: Option<&str>,
    ) -> Option<std::sync::Arc<NatsFollower>> {
        let Some(nats) = self.nats.get(cluster.get_ref()) else {
            self.problem(cluster.span(), "names no cluster: there is no such table below [nats]");
            return None;
        };
        let Some(bucket) = bucket else {
            self.problem(cluster.span(), "must name a bucket, too");
            return None;
        };
        let Nats { urls, server, login, ca, heartbeat, max_age, on_stale } = nats.get_ref();
        let directory = self.directory;
        let ready = |credentials| {
            let mut bucket = NatsBucket::new(urls, bucket)?;
            if let Some(login) = login {
                bucket = bucket.login_file(directory.join(login))?;
            }
            if let Some(ca) = ca {
                bucket = bucket.ca_file(directory.join(ca));
            }
            if let Some(heartbeat) = heartbeat {
                bucket = bucket.heartbeat(heartbeat.0)?;
            }
            bucket.ready_to_follow(domain, server, credentials)
        };
        let limits = |follower: &NatsFollower| {
            let max_age = max_age.map_or(DEFAULT_MAX_AGE, |max_age| max_age.0);
            follower.check_age(max_age)?;
            let keeps = matches!(on_stale, Some(OnStaleText::Keep));
            Ok((max_age, if keeps { OnStale::KeepConnected } else { OnStale::Refuse }))
        };
        let heartbeat = heartbeat.map(|heartbeat| heartbeat.0);
        let connection = format!("{urls}\n{server}\n{login:?}\n{ca:?}\n{heartbeat:?}");
        let place = (cluster.get_ref().clone(), bucket.to_owned(), domain.to_owned());
        let followed = self.used.follower(place, self.known, connection, ready, limits);
        self.take_store(cluster.span(), followed)
    }

    #[cfg_attr(not(feature = "nats"), expect(unused_variables, reason = "no source is followed by its domain"))]
    fn plain(&mut self, domain: &str, plain: &Spanned<Plain>) -> Option<PlainSource> {
        match plain.get_ref() {
            #[cfg(feature = "nats")]
            Plain { nats: Some(cluster), bucket, file: None, clear_passwords: None } => {
                let follower = self.follower(domain, cluster, bucket.as_deref())?;
                Some(self.authenticator.pushed_users_source(follower.credentials()))
            }
            #[cfg(feature = "nats")]
            Plain { nats: Some(_), .. } | Plain { bucket: Some(_), .. } => {
                self.problem(plain.span(), "must name one of file, clear_passwords, and nats with bucket");
                None
            }
            Plain { file: Some(file), clear_passwords: None, .. } => {
                let opened = self.used.password_file(&self.directory.join(file), self.known);
                let file = self.take_store(plain.span(), opened)?;
                Some(self.authenticator.password_file_source(&file))
            }
            Plain { file: None, clear_passwords: Some(users), .. } => {
                let users = users.iter().map(|(name, password)| (name.as_str(), password.0.clone()));
                let table = PasswordTable::from_passwords(users);
                Some(PlainSource::Table(self.take(plain.span(), table)?))
            }
            _ => {
                self.problem(plain.span(), "must name one of file and clear_passwords");
                None
            }
        }
    }

    #[cfg_attr(not(feature = "nats"), expect(unused_variables, reason = "no source is followed by its domain"))]
    fn curve(&mut self, domain: &str, curve: &Spanned<Curve>) -> Option<CurveSource> {
        let Curve { directory, keys, any, user_id, .. } = curve.get_ref();
        if let (Some(user_id), None) = (user_id, directory) {
            self.problem(user_id.span(), "user_id is only for a directory: these clients have their keys as user ids");
            return None;
        }
        #[cfg(feature = "nats")]
        if let Curve { nats: Some(cluster), bucket, directory: None, keys: None, any: false, .. } = curve.get_ref() {
            let follower = self.follower(domain, cluster, bucket.as_deref())?;
            return Some(self.authenticator.pushed_keys_source(follower.credentials()));
        }
        #[cfg(feature = "nats")]
        if curve.get_ref().nats.is_some() || curve.get_ref().bucket.is_some() {
            self.problem(curve.span(), "must name one of directory, keys, any = true, and nats with bucket");
            return None;
        }
        match (directory, keys, any) {
            (Some(directory), None, false) => {
                let opened = self.used.key_directory(&self.directory.join(directory), self.known);
                let keys = self.take_store(curve.span(), opened)?;
                let user_id = match user_id.as_ref().map(Spanned::get_ref) {
                    None | Some(UserIdText::Key) => UserId::Key,
                    Some(UserIdText::Name) => UserId::FileName,
                    Some(UserIdText::Metadata(name)) => UserId::Metadata(name.clone()),
                };
                Some(self.authenticator.key_directory_source(&keys, Some(user_id)))
            }
            (None, Some(keys), false) => {
                let mut set = KeySet::default();
                for key in keys {
                    let parsed = key.get_ref().parse::<PublicKey>();
                    set.extend(self.take(key.span(), parsed));
                }
                Some(CurveSource::Keys(set))
            }
            (None, None, true) => Some(CurveSource::Any),
            _ => {
                self.problem(curve.span(), "must name one of directory, keys and any = true");
                None
            }
        }
    }
}

/// Enough for a handshake with some metadata.
const MIN_MESSAGE_SIZE: u64 = 4096;

fn ipc_rules(rules: &[IpcRuleText]) -> Vec<IpcRule> {
    let rule = |rule: &IpcRuleText| match *rule {
        IpcRuleText::Any => IpcRule::Any,
        IpcRuleText::User(user) => IpcRule::User(user),
        IpcRuleText::Group(group) => IpcRule::Group(group),
    };
    rules.iter().map(rule).collect()
}
