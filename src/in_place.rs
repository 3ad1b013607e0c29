//! The choice between changing a table in place and in a copy, while decisions read it.

/// The number of changes that take some microseconds, for which decisions may wait.
const FEW: usize = 64;

/// Whether this many changes may be made under the lock that decisions need. Otherwise they are made in a copy that then
/// replaces the table, because many changes take long, and so does growing the table, which has `spare` places left.
pub(crate) fn fits_in_place(changes: usize, spare: usize) -> bool {
    changes <= FEW.min(spare)
}
