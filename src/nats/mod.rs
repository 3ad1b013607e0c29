//! Credentials in a bucket of NATS JetStream's key-value store: servers that follow it, and writers that change it.

mod blocking;
mod connect;
mod entry;
mod follow;
mod follower;
mod login;
mod look;
mod position;
mod run;
mod writer;

pub use connect::NatsBucket;
pub use follower::{NatsFollower, NatsStatus};
pub use look::LastChange;
pub use writer::{BucketEntry, FollowingServer, NatsWriter};
