//! How far a follower has come, and whether it may go on from there.

use std::collections::BTreeMap;
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
    /// Under which of its two names its heartbeat is.
    pub(super) slot: u8,
    /// And where.
    pub(super) beat_sequence: u64,
    /// What it says: nobody else knows that.
    pub(super) beat: String,
    /// What was put in force since: where it was, by its name. A bucket that was put back has it no more.
    pub(super) since: BTreeMap<String, u64>,
}

/// The stream as it is now.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamState {
    pub(super) created: i128,
    pub(super) first_sequence: u64,
    pub(super) last_sequence: u64,
}

/// The bucket's configuration may have been another one meanwhile, by which entries could vanish.
const LONGEST_ABSENCE: Duration = Duration::from_secs(10 * 60);
/// So many changes between two heartbeats are remembered; after more, a snapshot is as quick.
pub(super) const MOST_SINCE: usize = 100_000;

impl Position {
    /// Whether all that has happened since may still be told by the stream. That its heartbeat comes again, and what was put
    /// in force since, has to show it; otherwise only a new snapshot shows what is gone.
    pub(super) fn may_resume(&self, stream: &StreamState) -> bool {
        self.created == stream.created
            // One that was put back from a copy has lost entries that were in force.
            && stream.last_sequence >= self.sequence
            && stream.first_sequence <= self.beat_sequence
            && self.since.len() <= MOST_SINCE
            && self.proven.elapsed() < LONGEST_ABSENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_goes_on_only_where_nothing_can_have_been_missed() {
        let (proven, beat, since) = (Moment::now(), "1".to_owned(), BTreeMap::new());
        let position = Position { created: 1, sequence: 7, proven, slot: 0, beat_sequence: 5, beat, since };
        let same = StreamState { created: 1, first_sequence: 5, last_sequence: 7 };
        assert!(position.may_resume(&same) && position.may_resume(&StreamState { last_sequence: 8, ..same }));
        assert!(!position.may_resume(&StreamState { created: 2, last_sequence: 8, ..same }), "made anew");
        assert!(!position.may_resume(&StreamState { last_sequence: 6, ..same }), "put back");
        assert!(!position.may_resume(&StreamState { first_sequence: 6, ..same }), "purged");
    }
}
