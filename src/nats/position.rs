//! How far a follower has come, and whether it may go on from there.

use std::time::Duration;

use crate::contact::Moment;

/// How far a follower has come in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    /// When the stream was created, in nanoseconds: one that was made anew has the same name.
    pub(super) created: i128,
    /// The last entry that is in force here.
    pub(super) sequence: u64,
    /// The last proof of contact.
    pub(super) proven: Moment,
}

/// The stream as it is now.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamState {
    pub(super) created: i128,
    pub(super) last_sequence: u64,
    /// How long a marker of a removed entry stays at least.
    pub(super) marker_lifetime: Duration,
}

/// Markers that don't expire by themselves may be purged by hand: they are relied on for so long.
pub(super) const LONGEST_ABSENCE: Duration = Duration::from_secs(10 * 60);

impl Position {
    /// Whether all that has happened since is still told by the stream. Otherwise only a new snapshot shows what is gone.
    pub(super) fn may_resume(&self, stream: &StreamState) -> bool {
        self.created == stream.created
            // One that was put back from a copy has lost entries that were in force.
            && stream.last_sequence >= self.sequence
            && self.proven.elapsed() < stream.marker_lifetime.min(LONGEST_ABSENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_goes_on_only_where_nothing_can_have_been_missed() {
        let position = Position { created: 1, sequence: 7, proven: Moment::now() };
        let same = StreamState { created: 1, last_sequence: 7, marker_lifetime: Duration::from_secs(3600) };
        assert!(position.may_resume(&same) && position.may_resume(&StreamState { last_sequence: 8, ..same }));
        assert!(!position.may_resume(&StreamState { created: 2, last_sequence: 8, ..same }), "made anew");
        assert!(!position.may_resume(&StreamState { last_sequence: 6, ..same }), "put back");
        assert!(!position.may_resume(&StreamState { marker_lifetime: Duration::ZERO, ..same }), "markers have expired");
    }
}
