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
    /// When the whole bucket was last read.
    pub(super) read: Moment,
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

/// What a resumed run must receive again before its first proof: the proven heartbeat, then what was applied after it.
pub(super) struct Awaited {
    beat: Option<(u64, String)>,
    entries: BTreeMap<String, u64>,
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

impl Awaited {
    pub(super) fn of(position: Option<&Position>) -> Self {
        Awaited {
            beat: position.map(|position| (position.beat_sequence, position.beat.clone())),
            entries: position.map_or_else(BTreeMap::new, |position| position.since.clone()),
        }
    }

    /// Whether the proven heartbeat must be the next entry.
    pub(super) fn begins(&self) -> bool {
        self.beat.is_some()
    }

    /// Whether an entry with this number, and this text if it is a heartbeat, may be the next one.
    pub(super) fn may_be_next(&mut self, sequence: u64, text: Option<&str>) -> bool {
        self.beat.take().is_none_or(|(number, beat)| number == sequence && text == Some(beat.as_str()))
    }

    /// Whether this entry was replaced by one that was applied already. A replica that is behind delivers it, and the
    /// later one follows.
    pub(super) fn is_outdated(&mut self, name: &str, sequence: u64) -> bool {
        match self.entries.get(name) {
            Some(known) if sequence < *known => true,
            Some(_) => {
                self.entries.remove(name);
                false
            }
            None => false,
        }
    }

    /// Whether everything has come.
    pub(super) fn is_done(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(since: &[(&str, u64)]) -> Position {
        let since = since.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
        let (now, beat) = (Moment::now(), "1".to_owned());
        Position { created: 1, sequence: 7, read: now, proven: now, slot: 0, beat_sequence: 5, beat, since }
    }

    #[test]
    fn what_was_applied_comes_again_and_an_outdated_value_is_not_applied() {
        let mut awaited = Awaited::of(Some(&position(&[("alice", 9)])));
        assert!(awaited.begins() && !awaited.is_done());
        assert!(awaited.may_be_next(5, Some("1")) && !awaited.begins());
        assert!(awaited.may_be_next(6, None), "only the first is the heartbeat");
        // The replica doesn't have number 9 yet, by which Alice was removed.
        assert!(awaited.is_outdated("alice", 8) && !awaited.is_outdated("bob", 8));
        assert!(!awaited.is_done());
        assert!(!awaited.is_outdated("alice", 9) && awaited.is_done());
        assert!(!awaited.is_outdated("alice", 10));
        for (number, text) in [(6, Some("1")), (5, Some("2")), (5, None)] {
            assert!(!Awaited::of(Some(&position(&[]))).may_be_next(number, text), "{number} {text:?}");
        }
        let mut nothing = Awaited::of(None);
        assert!(!nothing.begins() && nothing.is_done() && nothing.may_be_next(1, None));
    }

    #[test]
    fn a_follower_resumes_only_where_nothing_can_have_been_missed() {
        let position = position(&[]);
        let same = StreamState { created: 1, first_sequence: 5, last_sequence: 7 };
        assert!(position.may_resume(&same) && position.may_resume(&StreamState { last_sequence: 8, ..same }));
        assert!(!position.may_resume(&StreamState { created: 2, last_sequence: 8, ..same }), "recreated");
        assert!(!position.may_resume(&StreamState { last_sequence: 6, ..same }), "restored from a copy");
        assert!(!position.may_resume(&StreamState { first_sequence: 6, ..same }), "purged");
    }
}
