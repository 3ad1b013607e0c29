//! Log records. If the program's logger panics, only the record is lost.

/// The target of every log record of this crate.
pub(crate) const LOG_TARGET: &str = "zmq_auth";

/// One record at a level of `log::Level`. Use the macros below.
macro_rules! log_record {
    ($level:ident, $($arg:tt)+) => {
        $crate::foreign_code::contain(|| {
            log::log!(target: $crate::logging::LOG_TARGET, log::Level::$level, $($arg)+);
        })
        .unwrap_or_default()
    };
}

macro_rules! log_error {
    ($($arg:tt)+) => { log_record!(Error, $($arg)+) };
}

macro_rules! log_warn {
    ($($arg:tt)+) => { log_record!(Warn, $($arg)+) };
}

macro_rules! log_info {
    ($($arg:tt)+) => { log_record!(Info, $($arg)+) };
}

macro_rules! log_debug {
    ($($arg:tt)+) => { log_record!(Debug, $($arg)+) };
}

/// Whether the program's logger wants records of this level.
macro_rules! log_enabled {
    ($level:ident) => {
        log::Level::$level <= log::max_level()
            && $crate::foreign_code::contain(|| {
                log::log_enabled!(target: $crate::logging::LOG_TARGET, log::Level::$level)
            }) == Ok(true)
    };
}
