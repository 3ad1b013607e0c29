//! The position of a follower in its stream, and the check whether it may resume there.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::contact::Moment;

/// What a run leaves for the next one. The module docs of `run` say how it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    /// When the stream was created, in nanoseconds: one that was deleted and created again has the same name.
    pub(super) created: i128,
    /// The number of the last entry that was applied.
    pub(super) sequence: u64,
    /// The moment for which contact was last proven.
    pub(super) proven: Moment,
    /// The slot of the proven heartbeat: 0 or 1.
    pub(super) slot: u8,
    /// Its number.
    pub(super) beat_sequence: u64,
    /// Its text, which nobody else writes.
    pub(super) beat: String,
    /// The entries that were applied after it, by name, each with its number. A bucket restored from a copy may lack
    /// them.
    pub(super) since: BTreeMap<String, u64>,
}

/// The stream as it is now.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamState {
    pub(super) created: i128,
    pub(super) first_sequence: u64,
    pub(super) last_sequence: u64,
}

/// A limit because, during the absence, the bucket may have had a configuration under which entries could vanish.
const LONGEST_ABSENCE: Duration = Duration::from_secs(10 * 60);
/// How many changes between two heartbeats are remembered. After more, a snapshot is as quick.
pub(super) const MOST_SINCE: usize = 100_000;

impl Position {
    /// Whether the stream may still hold everything that happened since; if not, only a snapshot shows what is gone.
    /// The run makes sure, by what it receives again.
    pub(super) fn may_resume(&self, stream: &StreamState) -> bool {
        self.created == stream.created
            // Fewer entries: it was restored from a copy.
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
