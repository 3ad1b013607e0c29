//! The choice between changing a table in place and changing a copy of it, while decisions read the table.

/// As many changes as take some microseconds, for which decisions may wait.
const FEW: usize = 64;

/// Whether so many changes may be made under the lock that decisions read the table with. Otherwise they are made in a
/// copy that then replaces the table: many take long, and so does growing the table, which has `spare` places left.
pub(crate) fn fits_in_place(changes: usize, spare: usize) -> bool {
    changes <= FEW.min(spare)
}
