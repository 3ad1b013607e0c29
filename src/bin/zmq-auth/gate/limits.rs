//! How many subscriptions a client may have, and how often it may change them; the same for all connections of a user.

use std::time::Instant;

use zmq_auth::AcceptedClient;

/// The most that a connection can make libzmq store: subscriptions, and bytes of their topics.
const SUBSCRIPTIONS: usize = 10_000;
const TOPIC_BYTES: usize = 1024 * 1024;

/// Changes of a connection's subscriptions: this many at once, then this many a second. A change is passed on to the
/// service through a queue without a high-water mark, so a long topic counts as several.
const CHANGES: f64 = 20_000.0;
const CHANGES_A_SECOND: f64 = 1_000.0;
const BYTES_A_CHANGE: usize = 128;

/// All connections of a user together may have this many times as much.
const USER: usize = 4;

/// What a connection uses, or a user.
pub(super) struct Usage {
    /// How many times the limits of one connection apply.
    times: usize,
    /// Refused subscriptions included.
    subscriptions: usize,
    bytes: usize,
    /// Changes that haven't been forgotten yet.
    changes: f64,
    changed: Instant,
}

impl Usage {
    pub(super) fn of_connection() -> Self {
        Usage { times: 1, subscriptions: 0, bytes: 0, changes: 0.0, changed: Instant::now() }
    }

    pub(super) fn of_user() -> Self {
        Usage { times: USER, ..Usage::of_connection() }
    }

    /// Counts a change. Returns whether there were not too many.
    pub(super) fn change(&mut self, topic: &[u8], now: Instant) -> bool {
        self.changes = self.changes_at(now) + 1.0 + (topic.len() / BYTES_A_CHANGE) as f64;
        self.changed = now;
        self.changes <= CHANGES * self.times as f64
    }

    fn changes_at(&self, now: Instant) -> f64 {
        let forgotten = now.saturating_duration_since(self.changed).as_secs_f64() * CHANGES_A_SECOND;
        (self.changes - forgotten * self.times as f64).max(0.0)
    }

    pub(super) fn has_room(&self, topic: &[u8]) -> bool {
        self.subscriptions < SUBSCRIPTIONS * self.times
            && self.bytes.saturating_add(topic.len()) <= TOPIC_BYTES * self.times
    }

    pub(super) fn add(&mut self, topic: &[u8]) {
        self.subscriptions += 1;
        self.bytes += topic.len();
    }

    pub(super) fn remove(&mut self, topic: &[u8]) {
        self.subscriptions -= 1;
        self.bytes -= topic.len();
    }

    /// Removes from a user's what one of its connections had.
    pub(super) fn remove_all(&mut self, connection: &Usage) {
        self.subscriptions -= connection.subscriptions;
        self.bytes -= connection.bytes;
    }

    /// Whether a new `Usage` would be the same.
    pub(super) fn is_unused(&self, now: Instant) -> bool {
        self.subscriptions == 0 && self.changes_at(now) == 0.0
    }
}

/// The user that a client counts as: its user id, or for want of one where it comes from: its IPv4 address, its IPv6
/// network of 64 bits, or its local user.
pub(super) fn user(client: &AcceptedClient) -> String {
    match client.user_id() {
        Some(user_id) if !user_id.is_empty() => format!("user {user_id}"),
        _ => format!("address {}", origin(client.address())),
    }
}

fn origin(address: &str) -> String {
    if let Ok(ip) = address.parse::<std::net::Ipv6Addr>() {
        return match ip.to_ipv4_mapped() {
            Some(ip) => ip.to_string(),
            None => format!("{:x?}", &ip.segments()[..4]),
        };
    }
    // localhost:UID:GID:PID
    match address.strip_prefix("localhost:").and_then(|rest| rest.split(':').next()) {
        Some(uid) => format!("localhost:{uid}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn changes_are_forgotten_with_time() {
        let mut usage = Usage::of_connection();
        let start = usage.changed;
        assert!((0..20_000).all(|_| usage.change(b"topic", start)));
        assert!(!usage.change(b"topic", start));
        let later = start + Duration::from_secs(1);
        assert!((0..999).all(|_| usage.change(b"topic", later)) && !usage.change(b"topic", later));
        assert!(!usage.is_unused(later) && usage.is_unused(later + Duration::from_secs(21)));
        // A long topic counts as several changes, a user as several connections.
        let (mut long, mut user) = (Usage::of_connection(), Usage::of_user());
        assert!((0..2_000).all(|_| long.change(&[0; 9 * 128], start)) && !long.change(b"", start));
        assert!((0..80_000).all(|_| user.change(b"", start)) && !user.change(b"", start));
    }

    #[test]
    fn a_client_without_a_user_id_counts_as_where_it_comes_from() {
        let same = [
            ("192.0.2.7", "::ffff:192.0.2.7"),
            ("2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6"),
            ("localhost:1000:100:1", "localhost:1000:7:2"),
        ];
        same.iter().for_each(|(one, other)| assert_eq!(origin(one), origin(other)));
        let others =
            [("192.0.2.7", "192.0.2.8"), ("2001:db8:1:2::1", "2001:db8:1:3::1"), ("localhost:1:", "localhost:2:")];
        others.iter().for_each(|(one, other)| assert_ne!(origin(one), origin(other)));
    }
}
