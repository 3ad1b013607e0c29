//! Credentials in a bucket of NATS JetStream's key-value store: servers that follow it, and writers that change it.
//!
//! `connect` and `login` describe the bucket, `entry` what is in it. `follower` is the handle of a follower, `follow`
//! its loop of connections, `run` the work on one connection, with the proof of contact, and `position` what one run
//! leaves for the next. `writer`, `removal`, `look`, `list` and `servers` are for administrators, through the `blocking`
//! connection.

mod blocking;
mod connect;
mod entry;
mod follow;
mod follower;
mod list;
mod login;
mod look;
mod position;
mod removal;
mod run;
mod servers;
mod writer;

pub use connect::NatsBucket;
pub use follower::{NatsFollower, NatsStatus};
pub use look::LastChange;
pub use servers::FollowingServer;
pub use writer::{BucketEntry, NatsWriter};
