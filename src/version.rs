//! The oldest libzmq version that is accepted.

use crate::error::{Error, Result};

/// The first version without CVE-2019-13132 and CVE-2020-15166. It has `ZMQ_ZAP_ENFORCE_DOMAIN`.
const OLDEST: (i32, i32, i32) = (4, 3, 3);

/// Refuses an older libzmq, which can't protect a socket.
pub(crate) fn check_version() -> Result<()> {
    check(zmq::version())
}

fn check(version: (i32, i32, i32)) -> Result<()> {
    if version >= OLDEST {
        return Ok(());
    }
    let (major, minor, patch) = version;
    Err(Error::LibzmqTooOld { major, minor, patch })
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn versions_with_known_holes_are_refused() {
        assert!(check((4, 3, 2)).is_err());
        assert!(check((4, 2, 9)).is_err());
        assert!(check((4, 3, 3)).is_ok());
        assert!(check((5, 0, 0)).is_ok());
    }
}
