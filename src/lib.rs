//! Authentication for ZeroMQ sockets: a ZAP ([RFC 27]) handler for programs that use libzmq through the [`zmq`] crate.
//!
//! - [`Authenticator`] is the policy: address rules, PLAIN passwords, CURVE keys from directories, sets or callbacks.
//! - [`ThreadAuthenticator`] runs it: a thread that answers libzmq's requests while its guard lives.
//! - [`SocketExt`] sets up sockets so that they refuse every client when no handler answers.
//! - [`KeyPair`], [`Certificate`] and related functions make keys, and files that pyzmq reads and writes too.
//! - [`KeyDirectory`] and [`PasswordFile`] follow the disk; [`PushedCredentials`] hold what your program pushes.
//! - [`Sender`] says who sent a message, [`Connection`] disconnects that client, [`MonitoredSocket`] reports the outcome of
//!   a handshake.
//!
//! ```
//! use zmq_auth::{Authenticator, SocketExt, zmq};
//!
//! // A new policy accepts NULL clients only: PLAIN and CURVE are denied until they are configured.
//! let auth = Authenticator::new();
//! auth.allow(["127.0.0.1"])?;
//! auth.configure_plain("shop", [("alice", "correct horse battery staple")])?;
//!
//! // The handler runs from here until the guard is dropped.
//! let context = zmq::Context::new();
//! let _running = auth.start(&context)?;
//!
//! let mut server = context.socket(zmq::REP)?;
//! server.plain_server("shop")?;
//! server.bind("tcp://127.0.0.1:*")?;
//!
//! let mut client = context.socket(zmq::REQ)?;
//! client.plain_client("alice", "correct horse battery staple")?;
//! client.connect(&server.endpoint()?)?;
//! client.send("hello", 0)?;
//!
//! let message = server.recv_msg(0)?;
//! assert_eq!(zmq_auth::Sender::of(&message).user_id(), Some("alice"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which page answers what
//!
//! | question | page |
//! |---|---|
//! | How do I run a server: keys, policy, revocation, monitoring, floods? | [`operation`] |
//! | What does each command of the program do, and what is in its JSON? | [`program`] |
//! | How do I protect a service that has no security? | [`gate`] |
//! | How do many servers share one set of keys and users? | `fleet` (feature `nats`) |
//! | What changes when I come from pyzmq, czmq or omq.rs? | [`comparison`] |
//! | How do ZeroMQ stacks behave towards each other, and how do I test a peer? | [`harness`] |
//! | What does it cost, and how does that grow? | [`performance`] |
//!
//! What it protects against, and what it can't, is in `SECURITY.md` of the repository.
//!
//! # Which front end
//!
//! | | `ThreadAuthenticator` | `AsyncAuthenticator` (feature `tokio`) |
//! |---|---|---|
//! | for | any program | tokio programs, with `tmq` or plain `zmq` |
//! | threads when idle | one | none |
//! | sync callbacks | up to 64 threads, started on demand, ended after 30 s of idleness | the same |
//! | async callbacks | refused with 500 | up to 1,024 tasks |
//! | beyond that number, or past the deadline (5 s) | 300: the client retries by itself | the same |
//! | a callback that never returns | keeps its thread; its place is free again at the deadline, for up to 128 such callbacks; the handler stops without it | async: cancelled at its deadline |
//!
//! A slow callback delays only its own client, and occupies a thread or a task. An async callback that *blocks* occupies a
//! thread of the runtime, and can't be cancelled. [`Authenticator::limit_callbacks`] and `limit_async_callbacks` set the
//! limits.
//!
//! [RFC 27]: https://rfc.zeromq.org/spec/27/

#![deny(missing_docs)]

#[doc = include_str!("comparison.md")]
pub mod comparison {}

#[doc = include_str!("operation.md")]
pub mod operation {}

#[doc = include_str!("performance.md")]
pub mod performance {}

#[doc = include_str!("program.md")]
pub mod program {}

#[cfg(feature = "nats")]
#[doc = include_str!("fleet.md")]
pub mod fleet {}

#[doc = include_str!("gate.md")]
pub mod gate {}

#[doc = include_str!("harness.md")]
#[doc = include_str!("../tests/interop/last_run.md")]
pub mod harness {}

#[macro_use]
mod logging;

mod address;
mod audit;
mod authenticator;
mod callback;
mod certificate;
mod connection;
mod contact;
mod curve;
mod error;
mod escape;
mod fair_queue;
mod ffi;
mod foreign_code;
mod handler;
mod in_place;
mod keys;
mod metadata;
mod monitor;
#[cfg(feature = "nats")]
mod nats;
mod null;
mod plain;
#[cfg(feature = "policy")]
mod policy;
mod pushed;
mod reason;
mod regular_file;
mod reload;
mod sender;
mod socket;
mod version;
mod zap;

pub use address::{IpcCredentials, IpcRule};
pub use audit::{Counters, Event, EventKind, Events};
pub use authenticator::{AcceptedClient, Authenticator, CURVE_ALLOW_ANY, Explanation, MatchedDomain};
pub use callback::{Peer, Verdict};
pub use certificate::{Certificate, create_certificates, load_certificate, save_certificate};
pub use connection::Connection;
pub use contact::{Moment, OnStale};
pub use curve::{KeyDirectory, UserId, load_certificates};
pub use error::{Error, KeyProblem, Result};
pub use ffi::Errno;
#[cfg(feature = "tokio")]
pub use handler::AsyncAuthenticator;
pub use handler::ThreadAuthenticator;
pub use keys::{KeyPair, PublicKey, SecretKey, curve_available, curve_keypair, curve_public};
pub use metadata::Metadata;
pub use monitor::{Handshake, HandshakeEvent, MonitoredSocket, ProtocolError};
#[cfg(feature = "nats")]
pub use nats::{BucketEntry, FollowingServer, LastChange, NatsBucket, NatsFollower, NatsStatus, NatsWriter};
pub use null::NullAccess;
pub use plain::{Password, PasswordFile};
#[cfg(feature = "policy")]
pub use policy::PolicyFile;
pub use pushed::{PushedCredentials, PushedStatus};
pub use reload::{ReloadSummary, StoreProblem, StoreStatus};
pub use sender::{Received, Sender};
pub use socket::{Endpoint, Role, SocketExt};

// The crates whose types appear in this crate's API.
pub use {zeroize, zmq};

// Makes the README's program a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
